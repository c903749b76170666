"""PURE: what a counterpart is, to this bridge: how it is told, asked and read.

Owns the shape of an adapter and what an answer means by its status. Knows no counterpart by name,
and no socket.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote, urlencode

from bridges.erp_rest.confirmation import Confirmation
from bridges.erp_rest.errors import MappingError
from uns.codec import parse_value

Document = dict[str, Any]
Verdict = Literal["taken", "later", "unsure", "refused"]
ORDERS_A_PAGE: Final = 100
REASON_LENGTH_MAX: Final = 300
PIECES: Final = "pcs"
NOT_FOUND: Final = 404
_BY_STATUS: Final[dict[int, Verdict]] = {
    401: "later",
    403: "later",
    408: "later",
    409: "unsure",
    425: "later",
    429: "later",
    503: "later",
}
"""What an answer says of the request, where its class does not (RFC 9110, 15).

401 and 403 are our credentials': everything would be dead before somebody renews them.
409: it may be there already.
"""
_BY_CLASS: Final[dict[int, Verdict]] = {2: "taken", 3: "later", 4: "refused", 5: "unsure"}
_TAKEN: Final = 2
_REASONS: Final = (
    ("error", "message", "value"),
    ("error", "message"),
    ("reason",),
    ("message",),
    ("exception",),
    ("error",),
)


class Request(NamedTuple):
    """A request below the counterpart's URL; `path` is encoded, with its query."""

    method: Literal["GET", "POST", "PUT"]
    path: str
    document: Document | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Answer(NamedTuple):
    """What came back; the names of headers are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def document(self) -> Any:
        """The JSON value of the body, by our own rules of JSON. Raises MappingError."""
        try:
            return parse_value(self.body)
        except ValueError as error:
            raise MappingError(
                f"status {self.status}, and the body cannot be read: {error}"
            ) from None

    @property
    def is_page(self) -> bool:
        """Whether it is for people: a login or a proxy's notice. Then it says nothing of us."""
        return any(kind.lower().startswith("text/html") for kind in self.values("content-type"))

    def values(self, name: str) -> list[str]:
        """The values of a header."""
        return [value for known, value in self.headers if known == name]


class Terms(NamedTuple):
    """The counterpart's words, from the settings. zone: of times without an offset."""

    operations: Mapping[str, str]
    items: Mapping[str, str]
    units: Mapping[str, str]
    constants: Mapping[str, str]
    zone: str

    def item_there(self, item: str | None) -> str:
        """Our item in the counterpart's word."""
        return self.items.get(item or "", item or "")

    def unit_there(self, unit: str) -> str:
        """Our unit in the counterpart's word."""
        return self.units.get(unit, unit)

    def item_here(self, item: str) -> str:
        """The counterpart's item in our word."""
        return next((ours for ours, theirs in self.items.items() if theirs == item), item)


class Page(NamedTuple):
    """Orders in the counterpart's words, and where the next page begins; empty: as before.

    read: how many there were in all, with those that are not to be made.
    """

    rows: list[Document]
    cursor: str
    read: int


class Adapter(NamedTuple):
    """One counterpart.

    authorization: the header's value, from the token file's line.
    post: the request that tells a confirmation; None: of this one the counterpart is told nothing.
        Its third argument is the answer to `prepare`, which changes nothing there; without one
        the request is shown as far as it is known.
    ask: the question whether a confirmation was taken. taken: what its answer says; None: nothing.
    orders: the question for orders changed since a cursor (empty: all), less so many of the first
        of them. page: its answer.
    order: one row of a page as our document.
    is_more: whether a confirmation needs a further request after this answer to its last one; then
        it is prepared and posted again, so both go by what stands there.
    All may raise MappingError.
    """

    authorization: Callable[[str], str]
    post: Callable[[Confirmation, Terms, Answer | None], Request | None]
    ask: Callable[[Confirmation, Terms], Request]
    taken: Callable[[Confirmation, Answer], bool | None]
    orders: Callable[[str, int, Terms], Request]
    page: Callable[[Answer], Page]
    order: Callable[[Document, Terms], Document]
    prepare: Callable[[Confirmation, Terms], Request | None] = lambda _confirmation, _terms: None
    is_more: Callable[[Confirmation, Answer], bool] = lambda _confirmation, _answer: False


def verdict_of(answer: Answer) -> Verdict:
    """What an answer says of its request: `later` was not taken, `unsure` may have been."""
    if answer.status // 100 == _TAKEN and answer.is_page:
        return "unsure"
    return _BY_STATUS.get(answer.status) or _BY_CLASS.get(answer.status // 100, "unsure")


def is_ok(answer: Answer) -> bool:
    """Whether a question was answered."""
    return verdict_of(answer) == "taken"


def reason_of(answer: Answer) -> str:
    """Why, in the counterpart's words: one line, fit for a terminal."""
    try:
        document = answer.document
    except MappingError:
        document = None
    found = (_at(document, path) for path in _REASONS)
    words = next((text for text in found if text), answer.body.decode(errors="replace"))
    return printable(f"{answer.status} {words}".strip())


def printable(text: str) -> str:
    """Text of a stranger on one line."""
    line = " ".join(text.split())[:REASON_LENGTH_MAX]
    return "".join(one if one.isprintable() else "?" for one in line)


def path_with(path: str, **query: str) -> str:
    """A path with a query, encoded; a leading `_` of a name stands for `$`, as OData has it."""
    named = {f"${name[1:]}" if name.startswith("_") else name: v for name, v in query.items()}
    return f"{quote(path)}?{urlencode(named, quote_via=quote)}"


def rows_at(answer: Answer, *path: str) -> list[Document]:
    """The objects of a list in an answer. Raises MappingError."""
    rows = _at(answer.document, path) if path else answer.document
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise MappingError(f"no list of objects at {'.'.join(path) or 'the top'} of the answer")
    return rows


def whole_pieces(value: Any, field: str) -> int:
    """A number of pieces, as a number or as text. Raises MappingError."""
    try:
        number = float(value)
        if number == int(number):
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise MappingError(f"{field}: {value!r} is no whole number of pieces")


def instant_of(since_1970_ms: int, field: str) -> datetime:
    """An instant in UTC. Raises MappingError where no calendar has it."""
    try:
        return datetime.fromtimestamp(since_1970_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        raise MappingError(f"{field}: {since_1970_ms} ms since 1970 is in no calendar") from None


def text_at(row: Mapping[str, Any], field: str) -> str:
    """A text that must be there. Raises MappingError."""
    value = row.get(field)
    if not isinstance(value, str) or not value.strip():
        raise MappingError(f"{field}: missing in {printable(json.dumps(row, default=str))}")
    return value.strip()


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
