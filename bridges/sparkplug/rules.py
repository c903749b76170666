"""How a tag of the tree is named in Sparkplug, and which tag a Sparkplug name stands for.

Owns the patterns of a map and their escape. Pure: knows no plant, no settings and no MQTT.

A placeholder stands for the same original name on both sides. The tree shows it as a topic
segment (uns.model.path.key_of); a Sparkplug name shows it as it is, but for the characters that
would end it there, which become %XX. Both ways are reversible, so a rule is a bijection.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Final, NamedTuple

from uns.model.path import LEVELS, SEGMENT, TopicError, id_of, key_of
from uns.sparkplug.naming import UNFIT

DELIMITER: Final = "{delimiter}"
_TOKEN: Final = re.compile(r"\{([a-z_]+)\}|([^{}]+)")


class Leaf(NamedTuple):
    """A tag by its cell and name."""

    cell: str
    tag: str


class Origin(NamedTuple):
    """Where a metric lives: path + node + device tokens + metric.

    Sparkplug 3.0 has one path token, the group, and at most one device token. Sparkplug 4 drops
    the group for a topic prefix of several levels and allows several device tokens: both are
    then tokens joined by '/', which no token may contain, and nothing else here changes.
    """

    group: str
    edge_node: str
    device: str | None
    metric: str


class PatternError(ValueError):
    """A pattern of a map cannot be read both ways; the message says why."""


class _Part(NamedTuple):
    name: str | None
    literal: str


def placeholders(text: str) -> tuple[str, ...]:
    """The placeholders of a pattern in order, the delimiter apart; PatternError for bad braces."""
    return tuple(part.name for part in _parts(text.replace(DELIMITER, ":")) if part.name)


def check_path(path: str, tag: str) -> None:
    """PatternError, unless each level of the path and the tag is a name or one placeholder."""
    levels = [*path.split("/"), tag]
    if len(levels) != len(LEVELS) + 1:
        raise PatternError(f"path {path!r}: write {'/'.join(f'{{{name}}}' for name in LEVELS)}")
    for level in levels:
        if not (re.fullmatch(r"\{[a-z_]+\}", level) or SEGMENT.fullmatch(level)):
            raise PatternError(f"{level!r} is neither a name nor one placeholder")


def _parts(text: str) -> list[_Part]:
    parts = [_Part(name or None, literal) for name, literal in _TOKEN.findall(text)]
    if "".join(f"{{{p.name}}}" if p.name else p.literal for p in parts) != text or not text:
        raise PatternError(f"{text!r}: a placeholder is written {{name}}")
    for before, after in pairwise(parts):
        if before.name and after.name:
            raise PatternError(f"{text!r}: nothing parts {{{before.name}}} from {{{after.name}}}")
    return parts


class Pattern:
    """A Sparkplug name with placeholders.

    forbidden: characters that no name in this place may contain.
    """

    def __init__(self, text: str, delimiter: str, forbidden: str = "") -> None:
        self._parts = _parts(text.replace(DELIMITER, delimiter))
        inner = self._parts[:-1]
        ends = {p.literal[0] for i, p in enumerate(inner) if i and not p.name}
        reserved = "".join(sorted(ends | set(forbidden)))
        codes = "|".join(f"{ord(char):02X}" for char in reserved + "%")
        free = f"[^{re.escape(reserved)}]+" if reserved else ".+"
        self._code = re.compile(f"%({codes})")
        self._unsafe = re.compile(
            f"%(?={codes})" + (f"|[{re.escape(reserved)}]" if reserved else "")
        )
        self._whole = re.compile(
            "".join(f"({free})" if p.name else re.escape(p.literal) for p in self._parts),
            re.DOTALL,
        )

    def write(self, names: Mapping[str, str]) -> str:
        """The Sparkplug name for original names."""
        return "".join(self._escaped(names[p.name]) if p.name else p.literal for p in self._parts)

    def read(self, text: str) -> list[tuple[str, str]] | None:
        """The original names in a Sparkplug name; None when it is not of this pattern."""
        found = self._whole.fullmatch(text)
        if found is None:
            return None
        texts = list(found.groups())
        names = [self._code.sub(lambda code: chr(int(code[1], 16)), one) for one in texts]
        if [self._escaped(name) for name in names] != texts:
            return None
        return list(zip((p.name for p in self._parts if p.name), names, strict=True))

    def _escaped(self, name: str) -> str:
        return self._unsafe.sub(lambda char: f"%{ord(char[0]):02X}", name)


class Rule:
    """One row of a map: leaf <-> origin. The patterns were checked with namespace.yaml."""

    def __init__(self, origin: Origin, leaf: Leaf, delimiter: str) -> None:
        group, edge_node, device, metric = origin
        self.levels = [*leaf.cell.split("/"), leaf.tag]
        self._group = Pattern(group, delimiter, UNFIT)
        self._edge_node = Pattern(edge_node, delimiter, UNFIT)
        self._device = device and Pattern(device, delimiter, UNFIT)
        self._metric = Pattern(metric, delimiter)

    def origin_of(self, leaf: Leaf) -> Origin | None:
        """The metric that feeds a leaf; None when the rule is not for it."""
        names = self._original_names([*leaf.cell.split("/"), leaf.tag])
        if names is None:
            return None
        device = self._device.write(names) if self._device else None
        return Origin(
            self._group.write(names),
            self._edge_node.write(names),
            device,
            self._metric.write(names),
        )

    def leaf_of(self, origin: Origin) -> Leaf | None:
        """The leaf that a metric feeds; None when the rule is not for it."""
        names = self._names_in(origin)
        if names is None:
            return None
        try:
            keys = {f"{{{name}}}": key_of(original) for name, original in names.items()}
        except TopicError:
            return None
        *cell, tag = (keys.get(level, level) for level in self.levels)
        return Leaf("/".join(cell), tag)

    def covers(self, other: "Rule") -> bool:
        """Whether it is for every leaf that another rule is for."""
        return all(_is_open(a) or a == b for a, b in self._pairs(other))

    def meets(self, other: "Rule") -> bool:
        """Whether some leaf may be of both rules."""
        return all(_is_open(a) or _is_open(b) or a == b for a, b in self._pairs(other))

    def _pairs(self, other: "Rule") -> list[tuple[str, str]]:
        return list(zip(self.levels, other.levels, strict=True))

    def _original_names(self, segments: list[str]) -> dict[str, str] | None:
        names = dict[str, str]()
        for level, segment in zip(self.levels, segments, strict=True):
            if not _is_open(level):
                if level != segment:
                    return None
                continue
            try:
                original = id_of(segment)
            except TopicError:
                return None
            if names.setdefault(level[1:-1], original) != original:
                return None
        return names

    def _names_in(self, origin: Origin) -> dict[str, str] | None:
        pairs = [
            (self._group, origin.group),
            (self._edge_node, origin.edge_node),
            (self._metric, origin.metric),
        ]
        if self._device and origin.device is not None:
            pairs.append((self._device, origin.device))
        elif self._device or origin.device is not None:
            return None
        names = dict[str, str]()
        for pattern, text in pairs:
            found = pattern.read(text)
            if found is None or any(names.setdefault(k, v) != v for k, v in found):
                return None
        return names


def _is_open(level: str) -> bool:
    return level.startswith("{")
