"""PURE: an EPCIS document in XML, read piece by piece: each event as it would stand in JSON.

Owns the differences of the two bindings (EPCIS 2.0, 9.5 and 10). No entity is ever declared, so
nothing is expanded and nothing fetched. Bytes come from the caller, who owns the file.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final
from xml.parsers.expat import ErrorString, ExpatError, ParserCreate

from bridges.epcis.document import VALUE_CHARS_MAX, BrokenDocument, Entry
from bridges.epcis.vocabulary import GS1_CONTEXT, URNS

DEPTH_MAX: Final = 64
_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_WRAPPERS: Final = frozenset({"extension", "baseExtension"})
_EPCS: Final = frozenset({"epcList", "childEPCs", "inputEPCList", "outputEPCList"})
_QUANTITIES: Final = frozenset(
    {"quantityList", "childQuantityList", "inputQuantityList", "outputQuantityList"}
)
_TYPED: Final = frozenset({"bizTransactionList", "sourceList", "destinationList"})
_LISTS: Final = frozenset({"correctiveEventIDs", "set", "unset", "sensorReport", "sensorElement"})
_NUMBERS: Final = frozenset(
    {"value", "minValue", "maxValue", "meanValue", "sDev", "percRank", "percValue", "quantity"}
)
_HEADER: Final = ("schemaVersion", "creationDate")


class _Element:
    """An element that is being read: `name` with the prefix of its namespace."""

    __slots__ = ("attributes", "children", "line", "name", "text")

    def __init__(self, name: str, attributes: dict[str, str], line: int) -> None:
        self.name, self.attributes, self.line = name, attributes, line
        self.children: list[_Element] = []
        self.text: list[str] = []

    @property
    def content(self) -> str:
        return "".join(self.text).strip()

    def members(self) -> Iterator["_Element"]:
        """Its children; those of a wrapper of EPCIS 1.2 are its own."""
        for child in self.children:
            if child.name in _WRAPPERS:
                yield from child.members()
            else:
                yield child


def read_xml(chunks: Iterable[bytes]) -> Iterator[Entry | dict[str, Any]]:
    """As document.read_json; a header says which prefixes there are."""
    reader = _Reader()
    try:
        for chunk in chunks:
            reader.parse(chunk, is_final=False)
            yield from reader.taken()
        reader.parse(b"", is_final=True)
    except ExpatError as error:
        raise BrokenDocument(f"line {error.lineno}: not XML: {ErrorString(error.code)}") from None
    yield from reader.taken()
    yield reader.header()


class _Reader:
    def __init__(self) -> None:
        self._parser = ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.EntityDeclHandler = self._entity
        self._parser.SkippedEntityHandler = self._entity
        self._parser.StartNamespaceDeclHandler = self._namespace
        self._prefixes: dict[str, str] = {}
        self._open: list[_Element] = []
        self._list_depth = 0
        self._size = 0
        self._found: list[Entry] = []
        self._number = 0
        self._header: dict[str, Any] = {}

    def parse(self, chunk: bytes, *, is_final: bool) -> None:
        self._parser.Parse(chunk, is_final)

    def taken(self) -> list[Entry]:
        found, self._found = self._found, []
        return found

    def header(self) -> dict[str, Any]:
        if not self._list_depth:
            raise BrokenDocument("no EventList in EPCISBody: nothing is told")
        names = {prefix: uri for uri, prefix in self._prefixes.items() if uri != _XSI}
        return {"@context": [GS1_CONTEXT, names], **self._header}

    def _namespace(self, prefix: str | None, uri: str) -> None:
        if prefix:
            self._prefixes.setdefault(uri, prefix)

    def _entity(self, name: str, *_rest: object) -> None:
        raise BrokenDocument(
            f"line {self._line}: it uses an entity of its own, {name!r}: write its text"
        )

    @property
    def _line(self) -> int:
        return int(self._parser.CurrentLineNumber)

    def _named(self, name: str) -> str:
        uri, found, local = name.rpartition(" ")
        return f"{self._prefixes.get(uri, uri)}:{local}" if found else name

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) >= DEPTH_MAX:
            raise BrokenDocument(f"line {self._line}: nested deeper than {DEPTH_MAX}")
        kept = {
            self._named(key): value
            for key, value in attributes.items()
            if not key.startswith(f"{_XSI} ")
        }
        element = _Element(self._named(name), kept, self._line)
        if not self._open:
            self._begin(element)
        self._size += len(name) + sum(map(len, kept.values()))
        self._check_size()
        self._open.append(element)
        if element.name.rpartition(":")[2] == "EventList" and not self._list_depth:
            self._list_depth = len(self._open)

    def _begin(self, root: _Element) -> None:
        name = root.name.rpartition(":")[2]
        if name not in ("EPCISDocument", "EPCISQueryDocument"):
            raise BrokenDocument(f"line {root.line}: <{root.name}> is no EPCIS document")
        self._header = {"type": name}
        for key in _HEADER:
            if key in root.attributes:
                self._header[key] = root.attributes[key]

    def _characters(self, text: str) -> None:
        self._size += len(text)
        self._check_size()
        if self._open:
            self._open[-1].text.append(text)

    def _check_size(self) -> None:
        if self._size > VALUE_CHARS_MAX:
            raise BrokenDocument(f"line {self._line}: longer than {VALUE_CHARS_MAX} characters")

    def _end(self, _name: str) -> None:
        element, depth = self._open.pop(), len(self._open)
        if self._list_depth and depth == self._list_depth:
            self._told(element)
            self._size = 0
        elif self._list_depth and depth > self._list_depth:
            self._open[-1].children.append(element)

    def _told(self, element: _Element) -> None:
        for event in element.members() if element.name in _WRAPPERS else (element,):
            self._found.append(Entry(self._number, event.line, _event(event)))
            self._number += 1


def _event(element: _Element) -> dict[str, Any]:
    return {"type": element.name, **_object(element)}


def _object(element: _Element) -> dict[str, Any]:
    """The fields of an element: what stands several times, and what JSON has in a list, is one."""
    fields: dict[str, Any] = {k: _plain(k, v) for k, v in element.attributes.items()}
    for child in element.members():
        name, value = _field(child)
        if name in fields and isinstance(fields[name], list):
            fields[name] += value if isinstance(value, list) else [value]
        else:
            fields[name] = [fields[name], value] if name in fields else value
    return fields


def _field(child: _Element) -> tuple[str, Any]:
    name = child.name
    if read := _SPECIAL.get(name):
        return name, read(child)
    value = _object(child) if child.children or child.attributes else _plain(name, child.content)
    return name, [value] if name in _LISTS else value


def _texts(element: _Element) -> list[str]:
    return [one.content for one in element.members()]


def _objects(element: _Element) -> list[dict[str, Any]]:
    return [_object(one) for one in element.members()]


def _typed(element: _Element) -> list[dict[str, str]]:
    """`<source type="…">id</source>` is an object of both."""
    return [
        {**{k: _word(v) for k, v in one.attributes.items()}, one.name: one.content}
        for one in element.members()
    ]


_SPECIAL: Final[dict[str, Callable[[_Element], Any]]] = {
    **dict.fromkeys(_EPCS, _texts),
    **dict.fromkeys(_QUANTITIES, _objects),
    **dict.fromkeys(_TYPED, _typed),
    "correctiveEventIDs": _texts,
    "sensorElementList": _objects,
    "ilmd": _object,
}


def _plain(name: str, text: str) -> Any:
    if name in _NUMBERS:
        with suppress(ValueError):
            return int(text) if text.lstrip("+-").isdigit() else float(text)
    if name == "booleanValue" and text in ("true", "false"):
        return text == "true"
    return _word(text)


def _word(text: str) -> str:
    """A word of CBV by its short name: in JSON it has no other."""
    for urn in URNS:
        if text.startswith(urn):
            return text.removeprefix(urn)
    return text
