"""The views and the questions asked of them: the same names, columns and answers on every store."""

from typing import Any

import pytest

from tests.speech import (
    LINE,
    MILL,
    NOON,
    WASH,
    Sent,
    event,
    new_writer,
    output,
    record,
    state,
    tag,
)
from uns.historian import queries, walks
from uns.historian.errors import QueryRefused
from uns.historian.reader import Reader, open_reader
from uns.historian.store import open_store
from uns.model.path import TopicError

COLUMNS = {
    "tags": "topic at at_ms value value_text quality unit reason",
    "events": "id type path source epoch seq at_ms received_ms topic payload",
    "states": "topic rev at_ms received_ms document",
    "orders": "order_id item quantity dispatch_status good scrap rework started remaining line "
    "released_ms started_ms completed_ms due_ms at_ms",
    "stops": "stop_id cell state reason start_ms end_ms duration_ms micro order_id",
    "verdicts": "sample_id unit_id lot item order_id cell verdict specification at_ms "
    "characteristics",
    "genealogy_edges": "input_id output_id quantity unit order_id cell at",
    "oee_intervals": "cell line element state start_ms end_ms shift_id order_id item pq gq sq rq "
    "ideal_ms ideal_good_ms policy_id",
    "rejects": "reject_class reason topic origin at_ms original_base64 original_sha256",
    "gaps": "source epoch from_seq to_seq seen_by at_ms",
}


@pytest.fixture
def told(location: str) -> "Told":
    return Told(location)


class Told:
    """A store to say things to and to read from."""

    def __init__(self, location: str) -> None:
        self._location = location
        self._seq = 0
        self.record()

    def record(self, *messages: Sent) -> None:
        """Write messages."""
        store = open_store(self._location, lambda: NOON)
        record(new_writer(store), *messages)
        store.close()

    def processor(self, kind: str, body: dict[str, Any], **where: Any) -> None:
        """Write an event of a processor."""
        self._seq += 1
        self.record(output(self._seq, "any", kind, body, **where))

    def edge(self, pair: str, quantity: float = 1, **where: Any) -> None:
        """Write a genealogy edge, from the first word to the second."""
        input_id, output_id = pair.split()
        body = {"input_id": input_id, "output_id": output_id, "quantity": quantity, "unit": "pcs"}
        self.processor("edge", body, **where)

    @property
    def reader(self) -> Reader:
        """A reader of all that was written."""
        return open_reader(self._location)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with self.reader as reader:
            return reader.query(sql).rows


def order(status: str, good: int, **more: Any) -> dict[str, Any]:
    """An order's document."""
    return {
        "order_id": "PO-1",
        "item": "housing-a",
        "quantity": 100,
        "dispatch_status": status,
        "good": good,
        "scrap": 1,
        "rework": 0,
        "started": good + 1,
        "remaining": 100 - good,
        "released_ms": NOON,
        "started_ms": None,
        "completed_ms": None,
        "due_ms": None,
        "at_ms": NOON + good,
        **more,
    }


def test_the_columns_are_the_contract(told: Told) -> None:
    with told.reader as reader:
        found = {view: reader.query(f"TABLE {view}").columns for view in COLUMNS}
    assert found == {view: tuple(columns.split()) for view, columns in COLUMNS.items()}


def test_an_order_is_its_newest_document(told: Told) -> None:
    told.record(state("order/po-1--u3", 2, order("ready", 0)))
    told.record(state("order/po-1--u3", 10, order("running", 40, started_ms=NOON + 5)))
    told.record(state("order/po-1--u3", 9, order("running", 30)), state("queue/orders", 1, {}))
    query = "SELECT order_id, dispatch_status, good, started_ms, line, at_ms FROM orders"
    assert told.rows(query) == [("PO-1", "running", 40, NOON + 5, LINE, NOON + 40)]
    closed = order("completed", 100, completed_ms=NOON + 9)
    told.processor(
        "order-closed", {"order_id": "PO-1", "document": closed}, path=LINE, at_ms=NOON + 1
    )
    assert told.rows("SELECT dispatch_status, good, line FROM orders") == [("completed", 100, LINE)]


def test_a_document_with_nonsense_in_it_breaks_no_view(told: Told) -> None:
    told.record(state("order/a", 1, order("ready", 0, quantity="many", due_ms=1.5, scrap=True)))
    told.record(state("order/b", 1, {"order_id": None}), state("order/c", 1, {"order_id": ["x"]}))
    found = told.rows("SELECT order_id, quantity FROM orders ORDER BY order_id")
    assert found[:1] == [("PO-1", None)]


def test_a_stop_is_open_until_it_ended(told: Told) -> None:
    stop = {"stop_id": "s1", "state": "ABORTED", "reason": "jam", "order_id": "PO-1"}
    told.processor("stopped", stop, at_ms=NOON)
    query = "SELECT stop_id, cell, state, start_ms, end_ms, duration_ms, micro FROM stops"
    assert told.rows(query) == [("s1", MILL, "ABORTED", NOON, None, None, None)]
    ended = {**stop, "start_ms": NOON, "duration_ms": 700, "micro": True}
    told.processor("stop-ended", ended, at_ms=NOON + 700)
    assert told.rows(query) == [("s1", MILL, "ABORTED", NOON, NOON + 700, 700, True)]


def test_a_verdict_is_the_newest_of_its_sample(told: Told) -> None:
    bore = {"name": "bore", "value": None, "lower": 1, "upper": 2.5, "unit": "mm"}
    for at_ms, value, verdict in ((NOON, None, "pending"), (NOON + 5, 9.5, "fail")):
        judged = {**bore, "value": value, "verdict": verdict}
        body = {"sample_id": "S1", "verdict": verdict, "lot": "L1", "characteristics": [judged]}
        told.processor("verdict", body, at_ms=at_ms)
    found = told.rows("SELECT sample_id, cell, verdict, lot, characteristics FROM verdicts")
    judged = {**bore, "value": 9.5, "verdict": "fail", "gauge": None}
    assert found == [("S1", MILL, "fail", "L1", [judged])]


def test_edges_add_up(told: Told) -> None:
    told.edge("L1 P1", 1.5, at_ms=NOON + 5)
    told.edge("L1 P1", 2, at_ms=NOON)
    told.edge("L1 P1", 4, path=WASH, at_ms=NOON + 9)
    query = (
        'SELECT input_id, output_id, quantity, unit, cell, "at" FROM genealogy_edges ORDER BY cell'
    )
    assert told.rows(query) == [
        ("L1", "P1", 3.5, "pcs", MILL, "2025-12-11T12:00:00.000Z"),
        ("L1", "P1", 4.0, "pcs", WASH, "2025-12-11T12:00:00.009Z"),
    ]


def test_trace_goes_both_ways_at_any_depth(told: Told) -> None:
    for pair in ("bar blank", "bolt pump", "blank part", "part pump", "pump box", "box pallet"):
        told.edge(pair)
    with told.reader as reader:
        found = walks.trace(reader, "part")
    assert [(e["id"], e["depth"]) for e in found["contents_of"]] == [("blank", 1), ("bar", 2)]
    assert [(e["id"], e["depth"]) for e in found["where_used"]] == [
        ("pump", 1),
        ("box", 2),
        ("pallet", 3),
    ]
    assert found["where_used"][0] == {
        "id": "pump",
        "input_id": "part",
        "output_id": "pump",
        "depth": 1,
        "quantity": 1.0,
        "unit": "pcs",
        "order_id": None,
        "cell": MILL,
        "at": "2025-12-11T12:00:00.004Z",
    }


def test_trace_ends_on_cycles_and_shows_each_edge_once(told: Told) -> None:
    for pair in ("a b", "b c", "c a", "a c", "d d"):
        told.edge(pair)
    with told.reader as reader:
        found = walks.trace(reader, "a")
        alone = walks.trace(reader, "d")
        nobody = walks.trace(reader, "a' OR 1=1 --")
    assert sorted((e["input_id"], e["output_id"]) for e in found["where_used"]) == [
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
        ("c", "a"),
    ]
    assert len(found["contents_of"]) == 4
    assert [e["depth"] for e in alone["where_used"]] == [1]
    assert (nobody["contents_of"], nobody["where_used"]) == ([], [])


def test_trace_through_a_long_chain(told: Told) -> None:
    told.record(
        *(
            output(
                n,
                "chain",
                "edge",
                {"input_id": f"n{n}", "output_id": f"n{n + 1}", "quantity": 1, "unit": "pcs"},
            )
            for n in range(1, 301)
        )
    )
    with told.reader as reader:
        assert walks.trace(reader, "n1")["where_used"][-1]["depth"] == 300


def test_trace_tells_the_verdicts_of_a_lot(told: Told) -> None:
    body = {"sample_id": "S1", "verdict": "pass", "lot": "L1", "characteristics": []}
    told.processor("verdict", body)
    with told.reader as reader:
        assert [v["verdict"] for v in walks.trace(reader, "L1")["verdicts"]] == ["pass"]


def interval(element: str, start_ms: int, end_ms: int, **counts: int) -> dict[str, Any]:
    """The body of a closed piece of time."""
    return {
        "element": element,
        "state": "EXECUTE",
        "start_ms": start_ms,
        "end_ms": end_ms,
        "shift_id": "early-1",
        "policy_id": "p",
        **counts,
    }


def test_oee_is_made_from_sums(told: Told) -> None:
    made = {"pq": 10, "gq": 8, "sq": 2, "ideal_ms": 3_000, "ideal_good_ms": 2_400}
    told.processor("oee-interval", interval("apt", 0, 6_000, **made))
    told.processor("oee-interval", interval("adet", 6_000, 8_000))
    told.processor("oee-interval", interval("apt", 8_000, 10_000, **made))
    told.processor("oee-interval", {**interval("apt", 0, 1_000), "shift_id": "late-1"})
    told.processor("oee-interval", interval("apt", 0, 5), path=WASH)
    with told.reader as reader:
        early = queries.oee_of_shift(reader, MILL, "early-1")
        by_shift = queries.oee_by_shift(reader, LINE)
        late = queries.oee_by_shift(reader, LINE, "late-1")
        assert queries.oee_of_shift(reader, MILL, "none") is None
    assert early
    assert early["sums"]["pbt_ms"] == 10_000
    assert early["sums"]["apt_ms"] == 8_000
    assert early["oee"] == 0.8 * (6_000 / 8_000) * (4_800 / 6_000)
    assert [(row["cell"], row["shift_id"]) for row in by_shift] == [
        (MILL, "early-1"),
        (MILL, "late-1"),
        (WASH, "early-1"),
    ]
    assert [row["shift_id"] for row in late] == ["late-1"]
    assert told.rows("SELECT DISTINCT line FROM oee_intervals") == [(LINE,)]


def test_history_is_a_window_in_time_order(told: Told) -> None:
    told.record(*(tag(n, NOON + n) for n in (3, 1, 2, 4)))
    told.record(state("oee", 1, {"at_ms": NOON + 1}), event(1, at_ms=NOON + 2))
    topic = f"{MILL}/_tag/tag-0"
    with told.reader as reader:
        found = queries.history(reader, topic, NOON + 1, NOON + 4)
        assert found.columns == ("at_ms", "value", "value_text", "quality", "unit")
        assert [row[1] for row in found.rows] == [1, 2, 3]
        assert queries.history(reader, topic, NOON, NOON + 9, 2).truncated
        states = queries.history(reader, f"{LINE}/_state/oee", NOON, NOON + 9).documents()
        assert states[0]["document"]["summary"] == "rev 1"
        assert len(queries.history(reader, f"{MILL}/_event/counted", NOON, NOON + 9).rows) == 1
        with pytest.raises(QueryRefused, match="_hub topics have no history"):
            queries.history(reader, "acme/_hub/health/hub", 0, 1)
        with pytest.raises(TopicError):
            queries.history(reader, "no topic", 0, 1)


def test_the_newest_of_every_topic(told: Told) -> None:
    told.record(tag(1, NOON), tag(2.5, NOON + 1), tag("on", NOON, WASH), state("oee", 3, {"a": 1}))
    told.record(state("oee", 4, {"a": 2}))
    with told.reader as reader:
        assert queries.newest(reader) == {
            f"{MILL}/_tag/tag-0": tag(2.5, NOON + 1).payload,
            f"{WASH}/_tag/tag-0": tag("on", NOON, WASH).payload,
            f"{LINE}/_state/oee": state("oee", 4, {"a": 2}).payload,
        }


def test_the_summary_counts_everything(told: Told) -> None:
    with told.reader as reader:
        assert queries.summary(reader) == {
            "orders": {},
            "events": {},
            "verdicts": {"pass": 0, "fail": 0, "pending": 0},
            "edges": 0,
            "rejects": 0,
            "gaps": 0,
        }
    told.edge("a b")
    told.edge("a b")
    told.processor("verdict", {"sample_id": "S", "verdict": "fail", "characteristics": []})
    gap = {"of_source": "s", "of_epoch": 1, "from_seq": 2, "to_seq": 3, "seen_by": "oee"}
    told.processor("gap", gap, path=LINE)
    told.record(state("order/a", 1, order("ready", 0)), Sent(f"{MILL}/_tag/tag-0", b"x"), event(1))
    with told.reader as reader:
        assert queries.summary(reader) == {
            "orders": {"ready": 1},
            "events": {"counted": 1, "edge": 2, "gap": 1, "verdict": 1},
            "verdicts": {"pass": 0, "fail": 1, "pending": 0},
            "edges": 1,
            "rejects": 1,
            "gaps": 1,
        }
