"""What a lot or unit contains, and where it went: at any depth, cycle-safe, bounded."""

import re
from typing import Any, Final, Literal

from uns.historian import walks
from uns.historian.errors import QueryRefused
from uns.historian.history.period import PAGE_DEFAULT, Answer, Instant, Page, page_size
from uns.historian.reader import Reader
from uns.historian.walks import Direction

EDGES_DEFAULT: Final = 1_000
EDGES_MAX: Final = 20_000
Part = Literal["contents_of", "where_used", "verdicts"]
PARTS: Final[tuple[Part, ...]] = ("contents_of", "where_used", "verdicts")
_CURSOR: Final = re.compile(r"[0-9]{1,9}")


class GenealogyEdge(Answer):
    """`quantity` of input_id is in output_id; `id` is the far end, `depth` steps away."""

    id: str
    input_id: str
    output_id: str
    depth: int
    quantity: float
    unit: str
    order_id: str | None
    cell: str
    at: str


class GivenVerdict(Answer):
    """A verdict on the lot or unit, with what was judged."""

    sample_id: str
    unit_id: str | None
    lot: str | None
    item: str | None
    order_id: str | None
    cell: str
    verdict: str
    specification: str | None
    at_ms: Instant
    characteristics: tuple[dict[str, Any], ...]


class Trace(Answer):
    """Both directions of a genealogy, nearest first; `truncated` names what was cut."""

    id: str
    contents_of: tuple[GenealogyEdge, ...]
    where_used: tuple[GenealogyEdge, ...]
    verdicts: tuple[GivenVerdict, ...]
    truncated: tuple[Part, ...]


class Related(Page[str]):
    """Lots and units in one direction, the nearest first. total: of all pages together.

    truncated: on record are more than `total`, which is as many as an answer may hold.
    """

    id: str
    direction: Direction
    total: int
    truncated: bool


def related(
    reader: Reader,
    identifier: str,
    direction: Direction,
    limit: int = PAGE_DEFAULT,
    after: str | None = None,
) -> Related:
    """Which others went into a lot or unit, or which it went into: at any depth, each once."""
    start = _told(after)
    end = start + page_size(limit)
    ids, truncated = walks.related(reader, identifier, direction)
    return Related(
        items=tuple(ids[start:end]),
        after=str(end) if end < len(ids) else None,
        id=identifier,
        direction=direction,
        total=len(ids),
        truncated=truncated,
    )


def _told(after: str | None) -> int:
    """How many the pages before held."""
    if after is None:
        return 0
    if not _CURSOR.fullmatch(after):
        raise QueryRefused(f"{after!r:.40} is no page: use the `after` of the page before")
    return int(after)


def trace(reader: Reader, identifier: str, limit: int = EDGES_DEFAULT) -> Trace:
    """The genealogy of a lot or unit, each list at most `limit` (up to EDGES_MAX) long."""
    if not 1 <= limit <= EDGES_MAX:
        raise QueryRefused(f"limit {limit}: use 1 to {EDGES_MAX}")
    found = walks.trace(reader, identifier, limit)
    lost = found["truncated"]
    cut = tuple(part for part in PARTS if part in lost or len(found[part]) > limit)
    parts = {part: found[part][:limit] for part in PARTS}
    return Trace.model_validate({"id": identifier, **parts, "truncated": cut})
