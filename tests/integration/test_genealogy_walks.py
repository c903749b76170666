"""Walks over edges against an independent graph library: reach, depth, and what went where.

Any edges at all, with cycles, loops and pairs told twice, on each store; and fifty steps deep.
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import count, pairwise, product
from pathlib import Path
from typing import Any, Final, NamedTuple

import networkx as nx  # type: ignore[import-untyped]  # it ships no types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.recorded import Recorded
from tests.speech import output
from uns.historian import walks
from uns.historian.answers import Question, Result
from uns.historian.errors import QueryRefused, TooMuchMemory
from uns.historian.history import genealogy
from uns.historian.reader import Reader, open_reader

NODES: Final = 9
EDGES_MAX: Final = 24
DEEP: Final = 50
nodes = st.integers(0, NODES - 1)
edges = st.lists(st.tuples(nodes, nodes, st.integers(1, 9)), max_size=EDGES_MAX)

Edge = tuple[str, str, int]


class Graphs(NamedTuple):
    """A store that takes one graph after another; each has ids of its own."""

    recorded: Recorded
    names: Iterator[int]
    seqs: Iterator[int]

    def told(self, pairs: list[tuple[int, int, int]]) -> tuple[list[Edge], str]:
        """The edges as they were recorded, and the id of node 0."""
        name = next(self.names)
        found = [(f"{name}-{near}", f"{name}-{far}", quantity) for near, far, quantity in pairs]
        self.recorded.says(*(self._said(*edge) for edge in found))
        self.recorded.store.close()
        return found, f"{name}-0"

    def _said(self, near: str, far: str, quantity: int) -> Any:
        body = {"input_id": near, "output_id": far, "quantity": quantity, "unit": "pcs"}
        return output(next(self.seqs), "genealogy", "edge", body)

    @property
    def reader(self) -> Reader:
        return open_reader(self.recorded.location)


@pytest.fixture(scope="module")
def graphs(shared_location: str) -> Iterator[Graphs]:
    opened = Recorded(shared_location)
    yield Graphs(opened, count(), count(1))
    opened.store.close()


def graph(told: list[Edge], start: str) -> Any:
    """What networkx makes of the edges."""
    found = nx.MultiDiGraph()
    found.add_node(start)
    found.add_weighted_edges_from(told, weight="quantity")
    return found


def flows(graph: Any, reached: set[str]) -> Counter[tuple[str, str]]:
    """How much went from what was reached, to each that it went to."""
    found = Counter[tuple[str, str]]()
    for near, far, quantity in graph.out_edges(reached, data="quantity"):
        found[near, far] += quantity
    return found


@settings(max_examples=25, deadline=None)
@given(edges)
def test_a_walk_finds_what_a_graph_library_finds(
    graphs: Graphs, pairs: list[tuple[int, int, int]]
) -> None:
    told, start = graphs.told(pairs)
    down = graph(told, start)
    with graphs.reader as reader:
        found = walks.trace(reader, start)
        for direction, (_, near, far) in walks.WAYS.items():
            whole = down if direction == "where_used" else down.reverse()
            steps = nx.single_source_shortest_path_length(whole, start)
            ids = genealogy.related(reader, start, direction).items
            assert sorted(ids) == sorted(nx.descendants(whole, start))
            assert [steps[id_] for id_ in ids] == sorted(steps[id_] for id_ in ids)
            assert {
                e["id"]: e["depth"] for e in found[direction] if e["depth"] == steps[e["id"]]
            } == {id_: depth for id_, depth in steps.items() if depth}
            assert all(e["depth"] == steps[e[near]] + 1 for e in found[direction])
            assert {(e[near], e[far]): e["quantity"] for e in found[direction]} == flows(
                whole, set(steps)
            )
    assert found["truncated"] == []


def ladder() -> list[tuple[int, int, int]]:
    """Fifty steps, each of two that both go into the next two; every tenth goes back three."""
    rungs = [(2 * n + 1, 2 * n + 2) for n in range(DEEP)]
    found = [(0, one, 1) for one in rungs[0]]
    found += [(near, far, 1) for here, there in pairwise(rungs) for near in here for far in there]
    return found + [(rungs[n][0], rungs[n - 3][1], 1) for n in range(9, DEEP - 1, 10)]


def test_the_nearest_edges_are_the_beginning_of_all(graphs: Graphs) -> None:
    _, start = graphs.told(ladder())
    with graphs.reader as reader:
        whole = genealogy.trace(reader, start).where_used
        parts = {n: genealogy.trace(reader, start, n) for n in (1, 2, 3, 7, 60)}
    assert [edge.depth for edge in whole][-1] == DEEP
    assert (len(whole), whole[0].depth) == (len(ladder()), 1)
    for n, part in parts.items():
        assert [e.depth for e in part.where_used] == [e.depth for e in whole[:n]]
        assert set(part.where_used) <= set(whole)
        assert part.truncated == ("where_used",)


class Poor(NamedTuple):
    """A store without the memory for all edges at once."""

    reader: Reader

    def query(self, question: Question) -> Result:
        if "edges_" in question.sql or re.search(r"(where_used|contents_of)\(", question.sql):
            raise TooMuchMemory("too much")
        return self.reader.query(*question[:4])

    def close(self) -> None:
        self.reader.close()


def test_what_memory_does_not_hold_is_walked_step_by_step(tmp_path: Path) -> None:
    graphs = Graphs(Recorded(str(tmp_path / "store.duckdb")), count(), count(1))
    _, start = graphs.told(ladder())
    last = start.replace("-0", f"-{2 * DEEP}")
    with graphs.reader as reader:
        poor = Reader(Poor(reader))
        for identifier, nearest in product((start, last), (5, 1_000)):
            slow = genealogy.trace(poor, identifier, nearest)
            quick = genealogy.trace(reader, identifier, nearest)
            assert [e.depth for e in slow.where_used] == [e.depth for e in quick.where_used]
            assert [e.depth for e in slow.contents_of] == [e.depth for e in quick.contents_of]
            assert slow.truncated == quick.truncated
        down = genealogy.related(poor, start, "where_used")
        up = genealogy.related(poor, last, "contents_of")
        assert down == genealogy.related(reader, start, "where_used")
        assert up == genealogy.related(reader, last, "contents_of")
        assert (down.total, up.total) == (2 * DEEP, 2 * DEEP - 1)


def test_related_come_page_by_page(graphs: Graphs) -> None:
    _, start = graphs.told(ladder())
    with graphs.reader as reader:
        whole = genealogy.related(reader, start, "where_used")
        page, pages = genealogy.related(reader, start, "where_used", 40), list[str]()
        while page.after:
            pages += page.items
            page = genealogy.related(reader, start, "where_used", 40, page.after)
        beyond = genealogy.related(reader, start, "where_used", 40, "1000")
        for limit, after in ((0, None), (10, "x"), (10, "-1")):
            with pytest.raises(QueryRefused):
                genealogy.related(reader, start, "where_used", limit, after)
    assert (*pages, *page.items) == whole.items
    assert (whole.total, page.total, whole.truncated, beyond.items) == (
        2 * DEEP,
        2 * DEEP,
        False,
        (),
    )
