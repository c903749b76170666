"""Read models that the writer fills: a fact counts once, and all at once give what came singly."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.conftest import empty_store
from tests.integration.test_historian_migration import older_schema, run
from tests.speech import (
    LINE,
    MILL,
    NOON,
    WASH,
    Sent,
    cleared,
    event,
    new_writer,
    output,
    record,
    state,
    tag,
)
from tests.stores import STORES
from uns.historian import queries
from uns.historian.reader import open_reader
from uns.historian.store import open_store

BEFORE_TABLES: Final = 4
"""The last schema whose read models were views over events and documents."""
MODELS: Final = {
    "edges": "input_id output_id quantity unit order_id cell at_ms",
    "intervals": "cell line element state start_ms end_ms shift_id order_id item pq gq sq rq "
    "ideal_ms ideal_good_ms policy_id",
    "oee_sums": "cell line shift_id order_id item policy_id element elapsed_ms pq gq sq rq "
    "ideal_ms ideal_good_ms start_ms end_ms",
    "stops": "stop_id cell state reason start_ms end_ms duration_ms micro order_id",
    "judged_samples": "sample_id unit_id lot item order_id cell verdict specification at_ms "
    "characteristics epoch seq",
    "measurements": "cell line sample_id unit_id lot item order_id specification at_ms "
    "characteristic value unit lower upper verdict",
    "lots": "lot item cell line unit consumed produced first_ms last_ms",
    "state_changes": "cell line at_ms state fault source epoch seq",
    "order_documents": "order_id item quantity dispatch_status good scrap rework started remaining "
    "line released_ms started_ms completed_ms due_ms at_ms final topic rev",
    "newest_states": "topic rev at_ms received_ms document",
    "newest_tags": "topic at_ms value value_text quality unit received_ms reason original "
    "newest_ms",
}
OEE_COLUMNS: Final = (
    "policy_id apt_ms aust_ms adet_ms adot_ms planned_ms unknown_ms pbt_ms elapsed_ms pq gq sq rq "
    "ideal_ms ideal_good_ms start_ms end_ms"
)
VIEWS: Final = {
    "oee_by_shift": f"cell line shift_id {OEE_COLUMNS}",
    "oee_by_order": f"cell line order_id item {OEE_COLUMNS}",
    "oee_by_item": f"cell line item {OEE_COLUMNS}",
}
SPEED: Final = f"{MILL}/_tag/tag-0"
BORE: Final = {"name": "bore", "lower": 1.0, "upper": None, "unit": "mm"}


class Told:
    """A store to say things to, batch by batch, and to read from."""

    def __init__(self, location: str) -> None:
        self.location = location
        self._received_ms = NOON
        store = open_store(location, lambda: NOON)
        store.known()
        store.close()

    def record(self, *messages: Sent, times: int = 1) -> None:
        """Write messages as one batch, as often as a commit was not sure."""
        store = open_store(self.location, lambda: NOON)
        writer = new_writer(store)
        self._received_ms += 10
        batch = writer.prepare(messages, self._received_ms)
        for _ in range(times):
            writer.commit(batch)
        store.close()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with open_reader(self.location) as reader:
            return reader.query(sql).rows

    def table(self, name: str) -> list[str]:
        """The rows of a table, in an order of their own."""
        return sorted(map(repr, self.rows(f"TABLE {name}")))

    def tree(self) -> dict[str, bytes]:
        """What the topics show now."""
        with open_reader(self.location) as reader:
            return queries.newest(reader)


@pytest.fixture
def told(location: str) -> Told:
    return Told(location)


@pytest.fixture(params=STORES)
def two_stores(
    request: pytest.FixtureRequest, servers: dict[str, str], tmp_path: Path
) -> Iterator[tuple[str, str]]:
    """The locations of two empty stores of a kind."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    with (
        empty_store(request.param, servers, tmp_path / "one") as one,
        empty_store(request.param, servers, tmp_path / "other") as other,
    ):
        yield one, other


def interval(start_ms: int, end_ms: int, **more: Any) -> dict[str, Any]:
    """The body of a closed piece of time."""
    body = {"element": "apt", "state": "EXECUTE", "shift_id": "early-1", "policy_id": "p"}
    return {**body, "start_ms": NOON + start_ms, "end_ms": NOON + end_ms, **more}


def edge(pair: str, quantity: float = 1) -> dict[str, Any]:
    """The body of an edge, from the first word to the second."""
    input_id, output_id = pair.split()
    return {"input_id": input_id, "output_id": output_id, "quantity": quantity, "unit": "pcs"}


def verdict(sample_id: str, word: str, value: float | None, **more: Any) -> dict[str, Any]:
    """The body of a verdict on one characteristic."""
    judged = {**BORE, "value": value, "verdict": word}
    return {"sample_id": sample_id, "verdict": word, "characteristics": [judged], **more}


def order(order_id: str, good: int, **more: Any) -> dict[str, Any]:
    """An order's document."""
    return {"order_id": order_id, "item": "a", "good": good, "at_ms": NOON + good, **more}


STOP: Final = {"stop_id": "s1", "state": "ABORTED", "reason": "jam", "order_id": None}
ENDED: Final = {"start_ms": NOON, "duration_ms": 700, "micro": True}
MADE: Final = {"pq": 10, "gq": 8, "sq": 2, "rq": 0, "ideal_ms": 900, "ideal_good_ms": 720}
STORY: Final[tuple[tuple[Sent, ...], ...]] = (
    (
        event(1, "state-changed", {"state": "EXECUTE"}),
        event(2, "consumed", {"lot": "B1", "item": "bar", "quantity": 2.5, "unit": "kg"}),
        event(3, "produced", {"lot": "L1", "quantity": 1, "unit": "pcs", "unit_id": "U1"}),
        output(1, "oee", "oee-interval", interval(0, 1_000, **MADE)),
        output(2, "oee", "oee-interval", interval(0, 400, **MADE, order_id="PO-1", item="a")),
        output(3, "oee", "stopped", STOP),
        output(1, "genealogy", "edge", edge("B1 L1", 2.5)),
        output(1, "quality", "verdict", verdict("S1", "pending", None, lot="L1")),
        output(2, "quality", "verdict", verdict("S2", "pass", 1.5)),
        state("order/po-1", 1, order("PO-1", 1)),
        state("order/po-2", 1, order("PO-2", 1)),
        state("oee", 7, {"a": 1}),
        tag(1, NOON),
        tag("on", NOON, WASH),
    ),
    (
        event(4, "state-changed", {"state": "ABORTED", "fault": "e11"}),
        event(5, "consumed", {"lot": "B1", "item": "bar", "quantity": 0.5, "unit": "kg"}),
        output(4, "oee", "oee-interval", interval(1_000, 600, **MADE)),
        output(5, "oee", "stop-ended", {**STOP, **ENDED, "reason": None}),
        output(6, "oee", "stopped", {**STOP, "stop_id": "s2"}),
        output(2, "genealogy", "edge", edge("B1 L1", 0.5)),
        output(3, "quality", "verdict", verdict("S1", "fail", 0.5, lot="L1"), at_ms=NOON + 9),
        output(1, "order", "order-closed", {"order_id": "PO-2", "document": order("PO-2", 9)}),
        state("order/po-1", 3, order("PO-1", 30)),
        cleared(f"{LINE}/_state/oee"),
        cleared(f"{LINE}/_state/order/po-2"),
        tag(2, NOON + 5),
    ),
    (
        output(4, "quality", "verdict", verdict("S1", "pass", 1.0), at_ms=NOON + 4),
        state("order/po-1", 2, order("PO-1", 20)),
        state("oee", 3, {"a": 2}),
        tag(1, NOON),
        cleared(f"{WASH}/_tag/tag-0"),
    ),
)
"""What a line said, in three batches."""
RAW: Final = {
    "events": "id, type, path, source, epoch, seq, at_ms, received_ms, topic, "
    "CAST(payload AS TEXT)",
    "tag_samples": "topic, at_ms, value, value_text, quality, unit, received_ms, reason, original",
    "shown_again": "topic, received_ms, payload",
    "states": "topic, rev, at_ms, received_ms, CAST(document AS TEXT)",
    "cleared": "topic, received_ms",
}
"""What is on record beside the read models, by table."""


def literal(value: Any) -> str:
    """A value in SQL."""
    if value is None:
        return "NULL"
    text = str(value).replace("'", "''")
    return f"'{text}'" if isinstance(value, str) else text


def test_the_columns_are_the_contract(told: Told) -> None:
    wanted = {**MODELS, **VIEWS}
    with open_reader(told.location) as reader:
        found = {name: reader.query(f"TABLE {name}").columns for name in wanted}
    assert found == {name: tuple(columns.split()) for name, columns in wanted.items()}


def test_what_was_on_record_is_as_what_came_since(two_stores: tuple[str, str]) -> None:
    one, other = two_stores
    told = Told(one)
    for batch in STORY:
        told.record(*batch)
    older_schema(other, BEFORE_TABLES)
    for name, columns in RAW.items():
        rows = told.rows(f"SELECT {columns} FROM {name}")  # noqa: S608 - names of this test
        values = ", ".join(f"({', '.join(map(literal, row))})" for row in rows)
        run(other, f"INSERT INTO {name} VALUES {values}")  # noqa: S608 - our own rows
    filled = Told(other)
    for name in MODELS:
        assert filled.table(name) == told.table(name), name
        assert filled.table(name), name
    assert filled.tree() == told.tree()


def test_a_batch_whose_commit_was_not_sure_counts_once(two_stores: tuple[str, str]) -> None:
    once, often = map(Told, two_stores)
    for batch in STORY:
        once.record(*batch)
        often.record(*batch, times=3)
    for name in MODELS:
        assert often.table(name) == once.table(name), name


def test_an_event_that_comes_under_another_number_counts_once(told: Told) -> None:
    used = {"lot": "B1", "quantity": 2.0, "unit": "kg"}
    told.record(event(1, "consumed", used, id="same", at_ms=NOON))
    told.record(
        event(2, "consumed", used, id="same", at_ms=NOON),
        event(3, "consumed", used, id="other", at_ms=NOON),
    )
    assert told.rows("SELECT consumed, produced FROM lots") == [(4.0, 0.0)]


def test_an_interval_that_runs_backwards_takes_back(told: Told) -> None:
    told.record(output(1, "oee", "oee-interval", interval(0, 1_000, **MADE)))
    told.record(output(2, "oee", "oee-interval", interval(1_000, 400)))
    told.record(output(3, "oee", "oee-interval", interval(400, 900, element="adet", pq=1)))
    query = (
        "SELECT apt_ms, adet_ms, pbt_ms, elapsed_ms, pq, gq, ideal_ms, start_ms, end_ms"
        " FROM oee_by_shift"
    )
    assert told.rows(query) == [(400, 500, 900, 900, 11, 8, 900, NOON, NOON + 1_000)]
    assert told.rows("SELECT count(*) FROM oee_sums") == [(2,)]
    assert told.rows("SELECT count(*) FROM oee_by_order") == [(0,)]


def test_measurements_are_those_of_the_newest_verdict(told: Told) -> None:
    told.record(*STORY[0], *STORY[1])
    told.record(*STORY[2])
    query = (
        "SELECT sample_id, characteristic, value, unit, lower, upper, verdict, at_ms, line"
        " FROM measurements ORDER BY sample_id"
    )
    assert told.rows(query) == [
        ("S1", "bore", 0.5, "mm", 1.0, None, "fail", NOON + 9, LINE),
        ("S2", "bore", 1.5, "mm", 1.0, None, "pass", NOON + 2, LINE),
    ]


def test_a_characteristic_that_is_not_judged_any_more_is_gone(told: Told) -> None:
    two = [{**BORE, "value": 1.0, "verdict": "pass", "name": name} for name in ("bore", "depth")]
    body = verdict("S1", "pass", 1.0)
    told.record(output(1, "quality", "verdict", {**body, "characteristics": two}))
    told.record(output(2, "quality", "verdict", body), output(3, "quality", "verdict", body))
    assert told.rows("SELECT characteristic, at_ms FROM measurements") == [("bore", NOON + 3)]


def test_the_end_of_a_stop_may_be_on_record_before_its_beginning(told: Told) -> None:
    told.record(output(2, "oee", "stop-ended", {**STOP, **ENDED, "reason": None}, at_ms=NOON + 700))
    told.record(output(1, "oee", "stopped", STOP, at_ms=NOON))
    query = "SELECT state, reason, start_ms, end_ms, duration_ms, micro FROM stops"
    assert told.rows(query) == [("ABORTED", "jam", NOON, NOON + 700, 700, True)]


def test_an_order_that_was_closed_stays_so(told: Told) -> None:
    for batch in STORY:
        told.record(*batch)
    told.record(state("order/po-2", 9, order("PO-2", 50)))
    query = "SELECT order_id, good, at_ms FROM orders ORDER BY order_id"
    assert told.rows(query) == [("PO-1", 30, NOON + 30), ("PO-2", 9, NOON + 1)]


def test_the_newest_follows_the_tree_byte_for_byte(told: Told) -> None:
    """After every message what is newest is what a search through all samples finds."""
    other_unit = Sent(SPEED, b'{"value":3,"timestamp_ms":%d,"quality":"good"}' % (NOON + 2))
    bad = Sent(SPEED, b'{"value":1,"timestamp_ms":%d,"quality":"bad","reason":"x"}' % (NOON + 9))
    one = [{"tag": "tag-0", "value": 8.0, "at_ms": NOON + 8, "quality": "good", "unit": "rpm"}]
    said = (
        tag(1, NOON),
        tag("on", NOON + 1),
        other_unit,
        tag(1, NOON + 9),
        bad,
        tag(1, NOON + 9),
        tag(2**60, NOON + 3),
        event(1, "sampled", {"samples": one}),
        tag(71.5, NOON + 10),
        cleared(SPEED),
        tag(71.5, NOON + 10, retain=True),
        tag(5, NOON + 4),
        state("oee", 9, {}),
        cleared(f"{LINE}/_state/oee"),
        state("oee", 9, {})._replace(retain=True),
        state("oee", 2, {}),
    )
    store = open_store(told.location, lambda: NOON)
    writer = new_writer(store)
    for n, one_message in enumerate(said):
        record(writer, one_message, received_ms=NOON + n)
        store.close()
        with open_reader(told.location) as reader:
            assert queries.newest(reader) == queries.searched(reader, NOON + n), n
    assert told.tree() == {
        SPEED: tag(5, NOON + 4).payload,
        f"{LINE}/_state/oee": state("oee", 2, {}).payload,
    }
