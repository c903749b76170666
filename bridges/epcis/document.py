"""PURE: an EPCIS document in JSON, read piece by piece: its events one after the other.

Owns the walk to the event list and the bounds of memory: of a document of any length, one event is
held. What an event must say is in checks.py. Texts come from the caller, who owns the file.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

VALUE_CHARS_MAX: Final = 1_000_000
KEYS_MAX: Final = 100
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_LEADS_TO_EVENTS: Final = frozenset({"epcisBody", "queryResults", "resultsBody"})
EVENTS: Final = "eventList"


class BrokenDocument(ValueError):  # noqa: N818 - the name says what happened
    """The text is no document that can be read; the message has the line and the reason."""


class Entry(NamedTuple):
    """An event of a document: its number from 0, its line, and what stands there."""

    number: int
    line: int
    value: Any

    @property
    def place(self) -> str:
        """`eventList[3] (line 57)`."""
        line = f" (line {self.line})" if self.line else ""
        return f"{EVENTS}[{self.number}]{line}"


def read_json(texts: Iterable[str]) -> Iterator[Entry | dict[str, Any]]:
    """The events as they come, and at the end the document without them.

    A document that is one event has just that. Raises BrokenDocument at the first fault, when what
    came before has been handed out: look at the whole once before you use a part.
    """
    walk = _Walk(_Text(texts))
    yield from walk.document()


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {twice!r} stands twice in one object")
    return document


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_refuse)


class _Text:
    """The text that is not read yet, as much of it as is needed."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = iter(texts)
        self._text, self._at, self._line, self._is_over = "", 0, 1, False

    @property
    def line(self) -> int:
        """The line that is being read, from 1."""
        return self._line + self._text.count("\n", 0, self._at)

    def next(self) -> str:
        """The next character that is no space; nothing at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, wanted: str) -> str:
        """Read one character, which must be one of those."""
        char = self.next()
        if not char or char not in wanted:
            found = repr(char) if char else "the end of the file"
            raise self.broken(f"{' or '.join(wanted)} is missing before {found}")
        self._at += 1
        return char

    def value(self) -> Any:
        """Read one whole JSON value, at most VALUE_CHARS_MAX long."""
        self.next()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if not self._more():
                    raise self.broken(error.msg) from None
            except RecursionError:
                raise self.broken("nested too deep") from None
            except ValueError as error:
                raise self.broken(str(error)) from None
            else:
                if end < len(self._text) or not self._more():
                    self._at = end
                    return value

    def broken(self, why: str) -> BrokenDocument:
        """What is said of a fault here."""
        return BrokenDocument(f"line {self.line}: {why}")

    def _more(self) -> bool:
        """Read on, to twice as much as is there; False at the end."""
        if self._is_over:
            return False
        self._line, rest = self.line, self._text[self._at :]
        if len(rest) > VALUE_CHARS_MAX:
            raise self.broken(f"longer than {VALUE_CHARS_MAX} characters, or never closed")
        parts, length = [rest], 0
        while length <= len(rest):
            part = next(self._texts, None)
            if part is None:
                self._is_over = True
                break
            parts.append(part)
            length += len(part)
        self._text, self._at = "".join(parts), 0
        return length > 0


class _Walk:
    """From the top of a document down to its events."""

    def __init__(self, text: _Text) -> None:
        self._text = text
        self._is_listed = False

    def document(self) -> Iterator[Entry | dict[str, Any]]:
        header: dict[str, Any] = {}
        if self._text.next() != "{":
            raise self._text.broken("no JSON object: a document begins with {")
        yield from self._object(header)
        if self._text.next():
            raise self._text.broken("something stands behind the document")
        if not self._is_listed and str(header.get("type", "")).endswith("Event"):
            yield Entry(0, 1, header)
        elif not self._is_listed:
            raise BrokenDocument(f"no {EVENTS} in epcisBody: nothing is told")
        yield header

    def _object(self, seen: dict[str, Any]) -> Iterator[Entry]:
        self._text.take("{")
        if self._text.next() == "}":
            self._text.take("}")
            return
        while True:
            name = self._name(seen)
            if name == EVENTS and self._text.next() == "[":
                self._is_listed, seen[name] = True, []
                yield from self._events()
            elif name in _LEADS_TO_EVENTS and self._text.next() == "{":
                seen[name] = {}
                yield from self._object(seen[name])
            else:
                seen[name] = self._text.value()
            if self._text.take(",}") == "}":
                return

    def _name(self, seen: dict[str, Any]) -> str:
        if self._text.next() != '"':
            raise self._text.broken("a field's name is missing")
        name = self._text.value()
        if name in seen:
            raise self._text.broken(f"the field {name!r} stands twice in one object")
        if len(seen) >= KEYS_MAX:
            raise self._text.broken(f"more than {KEYS_MAX} fields")
        self._text.take(":")
        return str(name)

    def _events(self) -> Iterator[Entry]:
        self._text.take("[")
        if self._text.next() == "]":
            self._text.take("]")
            return
        number = 0
        while True:
            self._text.next()
            line = self._text.line
            yield Entry(number, line, self._text.value())
            number += 1
            if self._text.take(",]") == "]":
                return
