"""Genealogy: what a lot or unit is made of and went into, at any depth, over a store's edges.

Owns which questions are asked, and how deep what is found lies. How edges are walked is the store's
(sql/*/0011): each lot or unit once, the nearest first.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

from uns.historian.answers import ROWS_MAX, TIMEOUT_S_MAX, Result
from uns.historian.errors import TooMuchMemory
from uns.historian.reader import Reader

WALK: Final = """
SELECT e.input_id, e.output_id, SUM(e.quantity) AS quantity, e.unit, e.order_id, e.cell,
    at_utc(MIN(e.at_ms)) AS "at"
FROM {edges} AS e
GROUP BY e.input_id, e.output_id, e.unit, e.order_id, e.cell
ORDER BY MIN(e.at_ms), e.input_id, e.output_id
"""
BY_STEP: Final = """(
    SELECT t.*
    FROM (SELECT id FROM {direction}_by_step($1) LIMIT $2) AS r JOIN edges AS t ON t.{near} = r.id
)"""
"""The edges at the nearest, where memory does not hold all edges at once."""
Direction = Literal["contents_of", "where_used"]


class Way(NamedTuple):
    """How a direction is walked: by which edges, from the near end to the far one."""

    edges: str
    near: str
    far: str


WAYS: Final[dict[Direction, Way]] = {
    "contents_of": Way("edges_up", "output_id", "input_id"),
    "where_used": Way("edges_down", "input_id", "output_id"),
}


def related(reader: Reader, identifier: str, direction: Direction) -> tuple[list[str], bool]:
    """Every lot or unit on the way, each once, the nearest first; True: there are more than these.

    At most ROWS_MAX, without the one asked for.
    """
    sql = f"SELECT id FROM {direction}($1)"  # noqa: S608 - a name of ours
    found = _walked(reader, sql, sql.replace("($1)", "_by_step($1)"), (identifier,))
    return [id_ for (id_,) in found.rows if id_ != identifier], found.truncated


def trace(reader: Reader, identifier: str, nearest: int = ROWS_MAX) -> dict[str, Any]:
    """Both directions of a lot's or unit's genealogy, at any depth, each edge once.

    {"id", "contents_of": [edge…], "where_used": [edge…], "verdicts": [verdict…], "truncated":
    [which of the lists were cut, at ROWS_MAX edges or by their size]}; an edge is
    {"id", "input_id", "output_id", "depth", "quantity", "unit", "order_id", "cell", "at"}: `id` is
    the end that lies `depth` steps from the one asked for. Edges beyond the `nearest` so many may
    be left out; which, a list longer than that does not tell.
    """
    verdicts = reader.query(
        "SELECT * FROM verdicts WHERE unit_id = $1 OR lot = $1 ORDER BY at_ms, sample_id",
        (identifier,),
    )
    walks = {way: _walk(reader, identifier, way, nearest) for way in WAYS}
    found = {str(way): edges for way, (edges, _) in walks.items()}
    cut = [str(way) for way, (_, truncated) in walks.items() if truncated]
    cut += ["verdicts"] if verdicts.truncated else []
    return {"id": identifier, **found, "verdicts": verdicts.documents(), "truncated": cut}


def _walked(reader: Reader, sql: str, by_step: str, params: Sequence[Any]) -> Result:
    try:
        return reader.query(sql, params, ROWS_MAX)
    except TooMuchMemory:
        return reader.query(by_step, params, ROWS_MAX, TIMEOUT_S_MAX)


def _walk(
    reader: Reader, start: str, direction: Direction, nearest: int
) -> tuple[list[dict[str, Any]], bool]:
    """The edges by depth, and whether some are missing: those that no way leads to are left out.

    To each that is reached but the first an edge leads from one before it, so the edges that go on
    from `nearest` + 2 of them are more than `nearest`, if there are more.
    """
    way = WAYS[direction]
    params = start, min(nearest + 2, ROWS_MAX)
    sql = WALK.format(edges=f"{way.edges}($1, $2)")
    by_step = WALK.format(edges=BY_STEP.format(direction=direction, near=way.near))
    answer = _walked(reader, sql, by_step, params)
    found = answer.documents()
    depth = _depths(start, ((edge[way.near], edge[way.far]) for edge in found))
    edges = [
        {
            "id": edge[way.far],
            "input_id": edge["input_id"],
            "output_id": edge["output_id"],
            "depth": depth[edge[way.near]] + 1,
            **{key: edge[key] for key in ("quantity", "unit", "order_id", "cell", "at")},
        }
        for edge in found
        if edge[way.near] in depth
    ]
    truncated = answer.truncated or len(edges) < len(found)
    return sorted(edges, key=lambda edge: edge["depth"]), truncated


def _depths(start: str, pairs: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Fewest steps from `start` to each id; a cycle ends where it began."""
    beyond: dict[str, list[str]] = {}
    for near, far in pairs:
        beyond.setdefault(near, []).append(far)
    depth, queue = {start: 0}, deque([start])
    while queue:
        here = queue.popleft()
        for far in beyond.get(here, ()):
            if far not in depth:
                depth[far] = depth[here] + 1
                queue.append(far)
    return depth
