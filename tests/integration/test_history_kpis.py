"""OEE, downtime, states, orders, measurements and genealogy from each store."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.brokers import small_plant
from tests.speech import LINE, MILL, NOON, WASH, Sent, event, new_writer, output, record, state
from uns.historian.answers import Question, Result
from uns.historian.errors import QueryRefused
from uns.historian.gaps import Missing
from uns.historian.history import genealogy
from uns.historian.history.coverage import lost_events
from uns.historian.history.downtime import downtime_pareto
from uns.historian.history.oee import COUNTS, By, oee
from uns.historian.history.orders import order_history, orders
from uns.historian.history.period import Period, period
from uns.historian.history.spc import spc_series
from uns.historian.history.states import observed_share, state_timeline
from uns.historian.reader import Reader, open_reader
from uns.historian.store import open_store
from uns.model.path import TopicError, key_of, to_dotted
from uns.model.plant import Plant

PLANT: Final = small_plant()
CALENDAR: Final = PLANT.sites["berlin"].calendar
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAYS: Final = 3
SEVEN: Final = NOON - 5 * HOUR_MS
"""The morning of 2025-12-11 at 07:00 in Berlin is 06:00 in UTC: an hour after the shift opened."""


def reasoned() -> Plant:
    """The plant with two reasons."""
    reasons = {
        "e11": {"title": "Tool broken", "loss": "breakdown"},
        "e12": {"title": "Overload", "loss": "breakdown"},
    }
    return Plant.model_validate({**PLANT.model_dump(), "reasons": reasons})


def intervals() -> list[dict[str, Any]]:
    """Closed pieces of the mill's time, shift by shift without a hole, and two corrections."""
    chance, at_ms, found = random.Random(3), CALENDAR.window_at(SEVEN).start_ms, []
    end_ms = at_ms + DAYS * 24 * HOUR_MS
    while at_ms < end_ms:
        window = CALENDAR.window_at(at_ms)
        stop_ms = min(at_ms + chance.randrange(1, 90 * MINUTE_MS), window.end_ms)
        made = chance.randrange(200) if (element := chance.choice(ELEMENTS)) == "apt" else 0
        found.append(piece(element, at_ms, stop_ms, window.id, chance.choice(ORDERS), made))
        at_ms = stop_ms
    late = found[5]
    back = {**late, "start_ms": late["end_ms"], "end_ms": late["start_ms"], "pq": 0, "gq": 0}
    back |= {"sq": 0, "ideal_ms": 0, "ideal_good_ms": 0}
    again = {**late, "element": "planned", "pq": 0, "gq": 0, "sq": 0, "ideal_ms": 0}
    return [*found, back, {**again, "ideal_good_ms": 0}]


ELEMENTS: Final = ["apt", "apt", "apt", "adet", "aust", "adot", "planned", "unknown"]
ORDERS: Final = [("PO-1", "x"), ("PO-2", "y"), (None, None)]


def piece(  # noqa: PLR0913, PLR0917 - the event's parts
    element: str,
    start_ms: int,
    end_ms: int,
    shift_id: str,
    order: tuple[str | None, str | None],
    made: int,
) -> dict[str, Any]:
    good = made * 9 // 10
    return {
        "element": element,
        "state": "EXECUTE",
        "start_ms": start_ms,
        "end_ms": end_ms,
        "shift_id": shift_id,
        "policy_id": "p",
        "order_id": order[0],
        "item": order[1],
        "pq": made,
        "gq": good,
        "sq": made - good,
        "rq": 0,
        "ideal_ms": 900 * made,
        "ideal_good_ms": 900 * good,
    }


PIECES: Final = intervals()
WHOLE: Final = Period(from_ms=PIECES[0]["start_ms"], to_ms=max(one["end_ms"] for one in PIECES))


class Telling:
    """What the processors of the line said."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self._seqs = iter(range(1, 10_000))

    def put(self, kind: str, body: dict[str, Any], **where: Any) -> None:
        self.sent.append(output(next(self._seqs), "any", kind, body, **where))

    def times(self) -> None:
        for one in PIECES:
            self.put("oee-interval", one, at_ms=max(one["start_ms"], one["end_ms"]))

    def stops(self) -> None:
        for n, (reason, start_ms, length_ms, micro) in enumerate(STOPS):
            stop = {"stop_id": f"s{n}", "state": "ABORTED", "reason": reason, "order_id": "PO-1"}
            self.put("stopped", stop, at_ms=start_ms)
            if length_ms is not None:
                ended = {**stop, "start_ms": start_ms, "duration_ms": length_ms, "micro": micro}
                self.put("stop-ended", ended, at_ms=start_ms + length_ms)

    def verdicts(self) -> None:
        for n, value in enumerate((1.0, 2.0, None, 9.0)):
            bore = {"name": "bore", "value": value, "lower": 0.5, "upper": 5, "unit": "mm"}
            verdict = {None: "pending", 9.0: "fail"}.get(value, "pass")
            body = {"sample_id": f"S{n}", "verdict": verdict, "item": "xy"[n % 2], "lot": "L1"}
            judged = [{**bore, "verdict": verdict}, {**bore, "name": "run-out", "verdict": verdict}]
            body |= {"order_id": "PO-1"}
            self.put("verdict", {**body, "characteristics": judged}, at_ms=NOON + n // 2)

    def edges(self) -> None:
        edge = {"quantity": 1, "unit": "pcs", "order_id": "PO-1"}
        for pair in ("a b", "b c", "c d", "d b"):
            self.put("edge", {**edge, "input_id": pair[0], "output_id": pair[2]})

    def states(self) -> None:
        changes = [(MILL, "EXECUTE", 10), (MILL, "EXECUTE", 20), (MILL, "ABORTED", 30)]
        changes += [(MILL, "UNKNOWN", 60), (WASH, "IDLE", 40)]
        for n, (cell, name, second) in enumerate(changes, 1):
            at_ms = NOON + 1_000 * second
            changed = event(n, "state-changed", {"state": name}, path=cell, at_ms=at_ms)
            self.sent.append(changed)

    def orders(self) -> None:
        for n, (order_id, status) in enumerate([("PO-1", "running"), ("PO-2", "ready"), ODD]):
            for rev in range(1, 4):
                document = order(order_id, "ready" if rev == 1 else status, NOON + 10 * n + rev)
                self.sent.append(state(f"order/{key_of(order_id)}", rev, document))


@pytest.fixture(scope="module")
def filled(shared_location: str) -> str:
    store = open_store(shared_location, lambda: NOON)
    told = Telling()
    for tell in (told.times, told.stops, told.verdicts, told.edges, told.states, told.orders):
        tell()
    record(new_writer(store), *told.sent)
    store.close()
    return shared_location


ODD: Final = ("A/ß", "held")
STOPS: Final[list[tuple[str | None, int, int | None, bool]]] = [
    ("e11", NOON, 60_000, False),
    ("e12", NOON + 100_000, 30_000, False),
    ("e11", NOON + 200_000, 90_000, False),
    (None, NOON + 300_000, 5_000, False),
    ("e11", NOON + 400_000, 2_000, True),
    ("e12", NOON + 500_000, None, False),
    ("e11", NOON + 550_000, 10_000, False),
    ("e12", NOON + 600_000, None, False),
]


def order(order_id: str, status: str, at_ms: int) -> dict[str, Any]:
    document: dict[str, Any] = {"order_id": order_id, "item": "x", "dispatch_status": status}
    document |= dict.fromkeys(("quantity", "good", "scrap", "rework", "started", "remaining"), 5)
    document |= {"released_ms": NOON, "started_ms": None, "completed_ms": None, "due_ms": None}
    return {**document, "at_ms": at_ms}


@pytest.fixture
def reader(filled: str) -> Iterator[Reader]:
    with open_reader(filled) as found:
        yield found


def by_hand(asked: Period, key: str | None = None, value: str | None = None) -> dict[str, float]:
    """The sums of the pieces in a period: each by the share of it that lies there."""
    sums = dict.fromkeys([*(f"{e}_ms" for e in ELEMENTS), *COUNTS], 0.0)
    for one in PIECES:
        start_ms, end_ms = asked.clamped(one["start_ms"]), asked.clamped(one["end_ms"])
        if key is None or one[key] == value:
            sums[f"{one['element']}_ms"] += end_ms - start_ms
            for name in COUNTS:
                sums[name] += one[name] * (end_ms - start_ms) / (one["end_ms"] - one["start_ms"])
    return {name: round(total) for name, total in sums.items()}


def test_oee_of_whole_shifts_is_the_sum_of_their_pieces(reader: Reader) -> None:
    for by, column in (("shift", "shift_id"), ("order", "order_id"), ("item", "item")):
        found = oee(reader, PLANT, LINE, WHOLE, by)  # type: ignore[arg-type]  # one of them
        for group in found.groups:
            wanted = by_hand(WHOLE, column, group.key)
            assert {name: group.sums[name] for name in wanted} == wanted
        assert found.cells == (MILL,)
        assert found.total.coverage < 1


@pytest.mark.parametrize("by", ["week", "day", "shift"])
def test_a_shift_of_any_name_counts(tmp_path: Path, by: By) -> None:
    told = Telling()
    told.put("oee-interval", piece("apt", NOON, NOON + HOUR_MS, "night", ORDERS[0], 9), at_ms=NOON)
    location = str(tmp_path / "store.duckdb")
    store = open_store(location, lambda: NOON)
    record(new_writer(store), *told.sent)
    store.close()
    with open_reader(location) as reader:
        found = oee(reader, PLANT, LINE, Period(from_ms=NOON, to_ms=NOON + HOUR_MS), by)
        assert found.total.sums["pq"] == sum(group.sums["pq"] for group in found.groups) == 9


@pytest.mark.parametrize(
    ("first_ms", "last_ms"), [(0, 0), (7 * MINUTE_MS, 0), (11 * HOUR_MS, 5 * HOUR_MS)]
)
def test_oee_of_a_period_that_cuts_shifts_takes_shares(
    reader: Reader, first_ms: int, last_ms: int
) -> None:
    asked = Period(from_ms=WHOLE.from_ms + first_ms, to_ms=WHOLE.to_ms - last_ms)
    found = oee(reader, PLANT, LINE, asked)
    wanted = by_hand(asked)
    assert {name: found.total.sums[name] for name in wanted} == wanted
    known_ms = found.total.sums["elapsed_ms"] - found.total.sums["unknown_ms"]
    assert found.total.coverage == pytest.approx(known_ms / asked.length_ms)


def test_neighbouring_periods_add_up(reader: Reader) -> None:
    middle_ms = WHOLE.from_ms + 26 * HOUR_MS + 12_345
    parts = [period(WHOLE.from_ms, middle_ms), period(middle_ms, WHOLE.to_ms)]
    halves = [oee(reader, PLANT, LINE, part).total.sums for part in parts]
    whole = oee(reader, PLANT, LINE, WHOLE).total.sums
    assert {n: sum(half[n] for half in halves) for n in whole} == pytest.approx(whole, abs=2)


@pytest.mark.parametrize("by", ["shift", "day", "week", "month", "year", "order", "item", "line"])
def test_groups_add_up_to_the_total(reader: Reader, by: By) -> None:
    found = oee(reader, PLANT, LINE, WHOLE, by)
    for name, total in found.total.sums.items():
        assert sum(group.sums[name] for group in found.groups) == total
    losses = found.total.losses.model_dump()
    assert sum(losses.values()) == pytest.approx(2 * losses["elapsed_min"])


def test_a_site_is_its_lines_and_a_line_without_data_is_unknown(reader: Reader) -> None:
    line, site = (oee(reader, PLANT, path, WHOLE, "day") for path in (LINE, "acme/berlin"))
    assert site.total.sums == line.total.sums
    assert site.total.coverage == pytest.approx(line.total.coverage / 2)
    silent = oee(reader, PLANT, "acme/berlin/assembly", WHOLE, "day")
    assert [group.coverage for group in silent.groups] == [0.0] * len(line.groups)
    assert (silent.total.oee, silent.total.losses.no_order_min) == (None, 0)


def test_a_cell_stands_for_itself(reader: Reader) -> None:
    assert oee(reader, PLANT, MILL, WHOLE).total == oee(reader, PLANT, LINE, WHOLE).total
    assert oee(reader, PLANT, WASH, WHOLE).total.coverage == 0
    with pytest.raises(QueryRefused, match="no place 'acme/paris'"):
        oee(reader, PLANT, "acme/paris", WHOLE)


def test_stops_stand_in_the_order_of_their_time(reader: Reader) -> None:
    asked = period(NOON + 30_000, NOON + 610_000)
    found = downtime_pareto(reader, reasoned(), [MILL, WASH], asked)
    # e11: half a minute of the first, 90 s, 10 s; e12: 30 s, 50 s until the next stop, 10 s open
    bars = [(bar.key, bar.stops, bar.stop_ms, bar.longest_ms) for bar in found.bars]
    assert bars == [
        ("e11", 3, 130_000, 90_000),
        ("e12", 3, 90_000, 50_000),
        (None, 1, 5_000, 5_000),
    ]
    assert found.bars[0].title == "Tool broken"
    assert (found.stops, found.stop_ms, found.rest) == (7, 225_000, None)
    assert (found.micro_stops, found.micro_ms) == (1, 2_000)
    assert [bar.cumulative for bar in found.bars] == pytest.approx([130 / 225, 220 / 225, 1])


def test_bars_that_are_left_out_stand_in_the_rest(reader: Reader) -> None:
    asked = period(NOON + 30_000, NOON + 610_000)
    found = downtime_pareto(reader, reasoned(), [MILL], asked, limit=1)
    assert len(found.bars) == 1
    assert found.rest is not None
    assert (found.rest.stops, found.rest.stop_ms, found.rest.cumulative) == (4, 95_000, 1.0)
    by_loss = downtime_pareto(reader, reasoned(), [MILL], asked, by="loss")
    assert [(bar.key, bar.stop_ms) for bar in by_loss.bars] == [
        ("breakdown", 220_000),
        (None, 5_000),
    ]
    by_cell = downtime_pareto(reader, reasoned(), [MILL, WASH], asked, by="cell")
    assert [(bar.key, bar.stops) for bar in by_cell.bars] == [(MILL, 7)]
    with pytest.raises(QueryRefused, match="0 cells"):
        downtime_pareto(reader, reasoned(), [], asked)


def test_states_are_a_timeline_without_a_hole(reader: Reader) -> None:
    asked = period(NOON + 5_000, NOON + 70_000)
    found = state_timeline(reader, [MILL, WASH], asked)
    spans = [(span.state, (span.to_ms - span.from_ms) // 1000) for span in found.cells[0].spans]
    assert spans == [("UNKNOWN", 5), ("EXECUTE", 20), ("ABORTED", 30), ("UNKNOWN", 10)]
    assert found.cells[0].coverage == pytest.approx(50 / 65)
    assert found.cells[1].state_ms == {"UNKNOWN": 35_000, "IDLE": 30_000}
    assert observed_share(reader, [MILL, WASH], asked) == pytest.approx(80 / 130)
    later = state_timeline(reader, [MILL], period(NOON + 40_000, NOON + 50_000))
    assert [span.state for span in later.cells[0].spans] == ["ABORTED"]
    assert later.cells[0].coverage == 1.0


def test_pages_of_a_timeline_join(reader: Reader) -> None:
    asked = period(NOON, NOON + 90_000)
    whole = state_timeline(reader, [MILL, WASH], asked)
    found, from_ms, pages = dict[str, int](), asked.from_ms, 0
    while from_ms is not None:
        page = state_timeline(reader, [MILL, WASH], period(from_ms, asked.to_ms), limit=1)
        for name, ms in page.cells[0].state_ms.items():
            found[name] = found.get(name, 0) + ms
        from_ms, pages = page.after, pages + 1  # type: ignore[assignment]  # None ends it
    assert pages > 1
    assert found == whole.cells[0].state_ms


def test_orders_are_found_by_what_is_asked(reader: Reader) -> None:
    assert [one.order_id for one in orders(reader).items] == ["A/ß", "PO-2", "PO-1"]
    assert [one.order_id for one in orders(reader, status="ready").items] == ["PO-2"]
    assert [one.order_id for one in orders(reader, path="acme/berlin", item="x").items] != []
    assert orders(reader, path="acme/berlin/machining/hous").items == ()
    assert orders(reader, to_ms=NOON).items == ()
    assert len(orders(reader, from_ms=NOON, to_ms=NOON + 1).items) == 3
    with pytest.raises(TopicError):
        orders(reader, path="acme/%")


def test_orders_come_by_pages_each_once(reader: Reader) -> None:
    found, after = list[str](), None
    for _ in range(50):
        page = orders(reader, limit=1, after=after)
        found += [one.order_id for one in page.items]
        if (after := page.after) is None:
            break
    assert found == ["A/ß", "PO-2", "PO-1"]
    with pytest.raises(QueryRefused, match="is no page"):
        orders(reader, after="x")


def test_the_story_of_an_order(reader: Reader) -> None:
    found = order_history(reader, "PO-1")
    assert found is not None
    assert [one.dispatch_status for one in found.progress] == ["ready", "running", "running"]
    assert len(found.stops) == len(STOPS)
    assert found.verdicts == {"pass": 2, "pending": 1, "fail": 1}
    assert len(found.materials) == 4
    wanted = by_hand(WHOLE, "order_id", "PO-1")
    assert {name: found.cells[0].sums[name] for name in wanted} == wanted
    assert found.truncated == ()
    assert order_history(reader, "nobody") is None
    odd = order_history(reader, "A/ß")
    assert odd is not None
    assert [one.dispatch_status for one in odd.progress] == ["ready", "held", "held"]


def test_a_characteristic_comes_with_its_limits_and_chart(reader: Reader) -> None:
    found = spc_series(reader, MILL, "bore", period(NOON, NOON + 10))
    assert [one.value for one in found.measurements] == [1.0, 2.0, None, 9.0]
    assert found.measurements[0].lower == 0.5
    assert found.statistics is not None
    assert (found.statistics.n, found.statistics.centre) == (3, 4.0)
    assert [(one.index, one.rule) for one in found.violations] == [(3, "limits")]
    of_item = spc_series(reader, MILL, "bore", period(NOON, NOON + 10), item="x")
    assert [one.sample_id for one in of_item.measurements] == ["S0", "S2"]


def test_measurements_come_by_pages_each_once(reader: Reader) -> None:
    found, after = list[str](), None
    for _ in range(50):
        page = spc_series(reader, MILL, "bore", period(NOON, NOON + 10), limit=1, after=after)
        found += [one.sample_id for one in page.measurements]
        if (after := page.after) is None:
            break
    assert found == ["S0", "S1", "S2", "S3"]


def test_measurements_of_a_period_that_moved_on_begin_with_it(reader: Reader) -> None:
    page = spc_series(reader, MILL, "bore", period(NOON + 1, NOON + 10), after=f"{NOON}~S9")
    whole = spc_series(reader, MILL, "bore", period(NOON + 1, NOON + 10))
    assert page.measurements == whole.measurements


class Cut:
    """Answers every walk with an edge that no way leads to any more."""

    def query(self, question: Question) -> Result:
        if "verdicts" in question.sql:
            return Result(("sample_id",), [], truncated=False)
        columns = ("input_id", "output_id", "quantity", "unit", "order_id", "cell", "at")
        return Result(columns, [("x", "y", 1.0, "pcs", None, MILL, "")], truncated=True)

    def close(self) -> None:
        """Nothing is open."""


def test_a_walk_that_the_store_cut_is_said_to_be() -> None:
    found = genealogy.trace(Reader(Cut()), "a")
    assert (found.contents_of, found.where_used) == ((), ())
    assert found.truncated == ("contents_of", "where_used")


def test_lost_events_count_once_and_open_ones_not(monkeypatch: pytest.MonkeyPatch) -> None:
    source = f"bridge:{to_dotted(MILL)}"
    spans = [(1, 10, "oee"), (1, 10, "quality"), (5, 12, "historian"), (20, 20, "track")]
    told = [Missing(source, 1, *span, "lost", NOON) for span in spans]
    told += [Missing(source, 1, 30, 40, "historian", "waiting", NOON, open=True)]
    monkeypatch.setattr("uns.historian.history.coverage.missing", lambda _: told)
    assert lost_events(Reader(Cut()), [MILL], period(NOON, NOON + 1)) == 13


def test_a_genealogy_is_cut_where_it_is_asked_to(reader: Reader) -> None:
    found = genealogy.trace(reader, "a")
    assert {(edge.id, edge.depth) for edge in found.where_used} == {
        ("b", 1),
        ("c", 2),
        ("d", 3),
        ("b", 4),
    }
    assert found.truncated == ()
    cut = genealogy.trace(reader, "a", limit=2)
    assert [edge.depth for edge in cut.where_used] == [1, 2]
    assert cut.truncated == ("where_used",)
    assert [one.verdict for one in genealogy.trace(reader, "L1").verdicts].count("pass") == 2
