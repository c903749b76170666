"""The backlog of an edge node, in memory and on disk: one contract, and what a file adds."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from bridges.sparkplug_edge.store import Store
from uns.sparkplug.edge_metrics import Scalar
from uns.sparkplug.edge_queue import Backlog, BacklogLimits, Entry, MemoryBacklog

Make = Callable[[BacklogLimits], Backlog]


@pytest.fixture(params=["memory", "disk"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "memory":
        return MemoryBacklog
    return lambda limits: Store(tmp_path / "edge.db", limits)


def values(backlog: Backlog, now_ms: int = 0) -> list[object]:
    return [kept.entry.value for kept in backlog.after(0, 100, now_ms)]


def entry(value: Scalar, at_ms: int = 0) -> Entry:
    return Entry(None, "m", value, at_ms, 192)


def test_a_backlog_keeps_order_and_types(make: Make) -> None:
    backlog = make(BacklogLimits())
    backlog.append([entry(value) for value in (1, 1.0, True, "ü", None)])
    assert [repr(value) for value in values(backlog)] == ["1", "1.0", "True", "'ü'", "None"]
    assert backlog.after(0, 1, 0)[0].entry == entry(1)
    second = backlog.after(0, 2, 0)[1].position
    assert [kept.entry.value for kept in backlog.after(second, 1, 0)] == [True]
    backlog.forget(second)
    assert (len(backlog), values(backlog)[0]) == (3, True)
    backlog.append([entry("last")])
    assert (len(backlog), values(backlog)[-1], backlog.dropped) == (4, "last", 0)


def test_a_backlog_drops_the_oldest_and_counts_them(make: Make) -> None:
    backlog = make(BacklogLimits(entries_max=3, age_ms_max=100))
    backlog.append([entry(number, number) for number in range(5)])
    assert (values(backlog), len(backlog), backlog.dropped) == ([2, 3, 4], 3, 2)
    assert (values(backlog, now_ms=103), backlog.dropped) == ([3, 4], 3)
    assert (values(backlog, now_ms=999), len(backlog), backlog.dropped) == ([], 0, 5)
    backlog.append([entry(9, 999)])
    assert values(backlog, now_ms=999) == [9]


def test_what_is_replaced_is_not_dropped_but_what_is_too_much_for_the_limit(make: Make) -> None:
    backlog = make(BacklogLimits(entries_max=4))
    backlog.append([entry(number) for number in range(4)])
    second = backlog.after(0, 2, 0)[1].position
    backlog.replace(second, [entry(12), entry(13)])
    assert (values(backlog), backlog.dropped) == ([0, 1, 12, 13], 0)
    third = backlog.after(second, 9, 0)[0].position
    assert [kept.entry.value for kept in backlog.after(third, 9, 0)] == [13]
    backlog.replace(second, [entry(number) for number in (22, 23, 24)])
    assert (values(backlog), len(backlog), backlog.dropped) == ([1, 22, 23, 24], 4, 1)
    backlog.replace(0, [])
    assert (values(backlog), len(backlog), backlog.dropped) == ([], 0, 1)


def test_a_store_counts_what_was_dropped_over_restarts_and_only_what_it_kept(
    tmp_path: Path,
) -> None:
    def opened() -> Store:
        return Store(tmp_path / "edge.db", BacklogLimits(entries_max=2))

    store = opened()
    store.append([entry(number) for number in range(5)])
    store.close()
    store = opened()
    assert store.dropped == 3
    broken = entry("x")._replace(name=None)  # type: ignore[arg-type]  # so that the disk refuses
    with pytest.raises(sqlite3.Error):
        store.append([entry(9), broken])
    assert (len(store), values(store), store.dropped) == (2, [3, 4], 3)
    store.append([entry(5)])
    assert (values(store), store.dropped) == ([4, 5], 4)
    store.close()


def test_a_store_survives_its_process(tmp_path: Path) -> None:
    store = Store(tmp_path / "a" / "edge.db", BacklogLimits())
    assert store.bd_seq is None
    store.remember(7)
    store.append([entry(1), entry(2)])
    store.close()
    store = Store(tmp_path / "a" / "edge.db", BacklogLimits())
    assert (store.bd_seq, len(store), values(store)) == (7, 2, [1, 2])
    store.close()
