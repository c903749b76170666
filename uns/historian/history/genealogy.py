"""What a lot or unit contains, and where it went: at any depth, cycle-safe, bounded."""

from typing import Any, Final, Literal

from uns.historian import queries
from uns.historian.errors import QueryRefused
from uns.historian.history.period import Answer, Instant
from uns.historian.reader import Reader

EDGES_DEFAULT: Final = 1_000
EDGES_MAX: Final = 20_000
Part = Literal["contents_of", "where_used", "verdicts"]
PARTS: Final[tuple[Part, ...]] = ("contents_of", "where_used", "verdicts")


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


def trace(reader: Reader, identifier: str, limit: int = EDGES_DEFAULT) -> Trace:
    """The genealogy of a lot or unit, each list at most `limit` (up to EDGES_MAX) long."""
    if not 1 <= limit <= EDGES_MAX:
        raise QueryRefused(f"limit {limit}: use 1 to {EDGES_MAX}")
    found = queries.trace(reader, identifier)
    lost = found["truncated"]
    cut = tuple(part for part in PARTS if part in lost or len(found[part]) > limit)
    parts = {part: found[part][:limit] for part in PARTS}
    return Trace.model_validate({"id": identifier, **parts, "truncated": cut})
