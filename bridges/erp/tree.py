"""Documents as trees of keys, from XML or from JSON alike, and how to find things in them.

Owns the reading of XML: without DTD, so without entities; nothing is ever fetched. An element is a
mapping of its children by name, a list where one stands several times; its attributes stand under
`@name` and its own text under `$`, as in B2MML-JSON. An element with text only is that text.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple
from xml.parsers.expat import ErrorString, ExpatError, ParserCreate, errors

DEPTH_MAX: Final = 64
ELEMENTS_MAX: Final = 1_000_000
"""Of one document: a small archive may hold many."""
TEXT: Final = "$"
FOREIGN: Final = "{"
_ENDS_IN_THE_MIDDLE: Final = frozenset(
    {
        errors.XML_ERROR_NO_ELEMENTS,
        errors.XML_ERROR_UNCLOSED_TOKEN,
        errors.XML_ERROR_PARTIAL_CHAR,
        errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    }
)


class Element(dict[str, Any]):
    """An element of XML: its children, attributes and text; `line` is where it begins, from 1."""

    __slots__ = ("line",)

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


class Root(NamedTuple):
    """The outermost element of an XML document."""

    name: str
    namespace: str
    content: Mapping[str, Any]


class XmlError(ValueError):
    """The bytes are no XML that is read; `line` and `column` from 1."""

    def __init__(self, line: int, column: int, reason: str, *, is_half: bool = False) -> None:
        super().__init__(reason)
        self.line, self.column, self.is_half = line, column, is_half


def parse_xml(raw: bytes) -> Root:
    """Read XML (1.0, in UTF-8 or as its declaration says). Raises XmlError."""
    building = _Building()
    try:
        building.parser.Parse(raw, True)  # noqa: FBT003 - expat takes positions only
    except ExpatError as error:
        text = ErrorString(error.code)
        place = (error.lineno, error.offset + 1)
        raise XmlError(*place, f"not XML: {text}", is_half=text in _ENDS_IN_THE_MIDDLE) from None
    except XmlError:
        raise
    except (LookupError, ValueError) as error:  # the codec of the encoding that it says
        raise XmlError(1, 1, f"not XML that is read: {error}: save it as UTF-8") from None
    return building.root()


class _Building:
    """The elements that are open while a document is read."""

    def __init__(self) -> None:
        self.parser = ParserCreate(namespace_separator=FOREIGN)
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self._open: list[tuple[str, Element]] = [("", Element(1))]
        self._namespace: str | None = None
        self._elements = 0

    def root(self) -> Root:
        """The document, once it is read."""
        ((name, content),) = self._open[0][1].items()
        tree = content if isinstance(content, Element) else {TEXT: content}
        return Root(name, self._namespace or "", tree)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) > DEPTH_MAX:
            raise self._error(f"nested deeper than {DEPTH_MAX}")
        self._elements += 1
        if self._elements > ELEMENTS_MAX:
            raise self._error(f"more than {ELEMENTS_MAX} elements: split it")
        namespace, _, local = name.rpartition(FOREIGN)
        if self._namespace is None:
            self._namespace = namespace
        shown = local if namespace == self._namespace else f"{FOREIGN}{namespace}}}{local}"
        element = Element(self.parser.CurrentLineNumber)
        element |= {f"@{key.rpartition(FOREIGN)[2]}": value for key, value in attributes.items()}
        self._open.append((shown, element))

    def _end(self, _name: str) -> None:
        name, element = self._open.pop()
        text = str(element.pop(TEXT, ""))
        if text.strip() and any(not key.startswith("@") for key in element):
            raise self._error(f"text between the elements of {name}")
        if element and text:
            element[TEXT] = text
        _add(self._open[-1][1], name, element or text)

    def _text(self, text: str) -> None:
        element = self._open[-1][1]
        if TEXT in element or not text.isspace():
            element[TEXT] = element.get(TEXT, "") + text

    def _doctype(self, *_: object) -> None:
        raise self._error("a DOCTYPE is refused: no DTD, no entities")

    def _error(self, reason: str) -> XmlError:
        return XmlError(self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber + 1, reason)


def _add(parent: Element, name: str, child: Any) -> None:
    if name not in parent:
        parent[name] = child
    elif isinstance(parent[name], list):
        parent[name].append(child)
    else:
        parent[name] = [parent[name], child]


def many(tree: Mapping[str, Any], name: str) -> list[Any]:
    """What stands under a name, however often."""
    found = tree.get(name)
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def text_of(value: Any) -> str | None:
    """A leaf as text, also the only one of a list; None for what is empty or no leaf."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, Mapping):
        value = value.get(TEXT)
    if value is None or isinstance(value, bool | list | Mapping):
        return None
    return str(value).strip() or None


def find(tree: Mapping[str, Any], path: str) -> Any:
    """What stands at a path of names, `Header/Material`; None where there is nothing.

    A name may hold a slash itself. Raises ValueError where an element on the way stands more than
    once.
    """
    if path in tree:
        return _only(tree[path], path)
    node: Any = tree
    for step in path.split("/"):
        node = _only(node[step], path) if isinstance(node, Mapping) and step in node else None
    return node


def find_all(tree: Mapping[str, Any], path: str) -> Iterator[Any]:
    """Everything that stands at a path of names."""
    first, _, rest = path.partition("/")
    for child in many(tree, first):
        if not rest:
            yield child
        elif isinstance(child, Mapping):
            yield from find_all(child, rest)


def _only(value: Any, path: str) -> Any:
    if isinstance(value, list) and len(value) > 1:
        raise ValueError(f"{path!r} stands {len(value)} times")
    return value[0] if isinstance(value, list) and value else value
