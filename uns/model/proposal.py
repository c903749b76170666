"""The text of a proposed mapping: names, quoted values and remarks that fit into namespace.yaml.

Owns how foreign words become segments and YAML. Does not know any protocol: what is proposed
comes from the bridges.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final
from unicodedata import normalize

from uns.model.path import SEGMENT_LENGTH_MAX

REMARK_LENGTH_MAX: Final = 60
NAMELESS: Final = "tag"
_YAML_WORDS: Final = frozenset({"true", "false", "null"})
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BETWEEN: Final = re.compile(r"[^a-z0-9]+")


def segment_of(words: str) -> str:
    """Words as a segment: `BathTemperature [°C]` is `bath-temperature-c`; may be empty."""
    plain = normalize("NFKD", _HUMP.sub("-", words)).casefold()
    bare = plain.encode("ascii", "ignore").decode()
    return _BETWEEN.sub("-", bare).strip("-")[:SEGMENT_LENGTH_MAX].rstrip("-")


class Names:
    """Gives every place of a tree a name that no other place was given.

    A name is the place's own word and that of its parent; more of the path, or a number at the
    end, where that is taken already. The same places in the same order get the same names.
    """

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def take(self, path: Sequence[str]) -> str:
        """A name for the place at the end of a path of foreign words."""
        name = ""
        for name in _candidates(path):
            if name not in self._taken:
                self._taken[name] = 1
                return name
        return self._numbered(name)

    def _numbered(self, name: str) -> str:
        while True:
            self._taken[name] += 1
            end = f"-{self._taken[name]}"
            numbered = name[: SEGMENT_LENGTH_MAX - len(end)] + end
            if numbered not in self._taken:
                self._taken[numbered] = 1
                return numbered


def _candidates(path: Sequence[str]) -> Iterator[str]:
    """The name with its parent's, then with more of the path; alone only where it has no parent."""
    *parents, name = [part for part in map(segment_of, path) if part] or [NAMELESS]
    if not parents:
        yield _key(name)
    while parents and len(name) <= SEGMENT_LENGTH_MAX:
        parent = parents.pop()
        if name != parent and not name.startswith(f"{parent}-"):
            name = f"{parent}-{name}"
        yield _key(name[-SEGMENT_LENGTH_MAX:].lstrip("-"))


def _key(name: str) -> str:
    """The name, unless YAML takes it for a number, a boolean or nothing (YAML 1.2.2, 10.3.2)."""
    if name[0].isalpha() and name not in _YAML_WORDS:
        return name
    return f"{NAMELESS}-{name}"[:SEGMENT_LENGTH_MAX].rstrip("-")


def quoted(text: str) -> str:
    """A text as a double-quoted YAML scalar, whatever is in it (YAML 1.2.2, 7.3.1)."""
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(one: str) -> str:
    if one in '"\\':
        return f"\\{one}"
    return one if one.isprintable() else f"\\U{ord(one):08x}"


def remark(text: str, length_max: int = REMARK_LENGTH_MAX) -> str:
    """Foreign text inside of a comment: on one line, printable, not long."""
    shown = "".join(one if one.isprintable() else "?" for one in text)
    return shown if len(shown) <= length_max else f"{shown[: length_max - 1]}…"
