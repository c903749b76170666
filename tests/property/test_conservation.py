"""Nothing made, consumed, inspected or lived through is lost or invented: audited from outside."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from hypothesis import HealthCheck, given, settings

from processors import PROCESSORS
from tests.example import HOUSING, MILL, plant
from tests.property.strategies import histories
from uns.fold import Draft, Processor, advance
from uns.model.events import (
    Consumed,
    Counted,
    Event,
    Inspected,
    Produced,
    StopCommanded,
    VerdictGiven,
)
from uns.model.kpi import Sums, oee

moderate = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MILLION = 1_000_000
INPUTS = {name: build(plant()).inputs for name, build in PROCESSORS.items()}
TIMES = ("apt_ms", "aust_ms", "adet_ms", "adot_ms", "planned_ms", "unknown_ms")
PIECES = ("pq", "gq", "sq", "rq", "ideal_ms", "ideal_good_ms")
CALENDAR_MS = range(1_704_063_600_000, 4_102_441_200_000)  # the years 2024 to 2099 in Berlin


def run(name: str, events: Iterable[Event]) -> tuple[Processor[Any], Any, list[Draft]]:
    processor = PROCESSORS[name](plant())
    state, outputs = processor.initial(HOUSING), list[Draft]()
    for event in events:
        step = advance(processor, state, event)
        state, outputs = step.state, [*outputs, *step.outputs]
    return processor, state, outputs


def summed(intervals: Iterable[dict[str, Any]]) -> Counter[str]:
    total = Counter[str]()
    for one in intervals:
        total[f"{one['element']}_ms"] += one["end_ms"] - one["start_ms"]
        total.update({key: one[key] for key in PIECES})
    return total


@moderate
@given(events=histories(HOUSING, INPUTS["oee"]))
def test_time_elements_sum_to_elapsed_time_and_pieces_to_counts(events: list[Event]) -> None:
    at_mill = [e for e in events if e.path == MILL]
    processor, state, outputs = run("oee", at_mill)
    if not at_mill:
        assert processor.documents(state) == {}
        return
    intervals = [dict(o.body) for o in outputs if o.type == "oee-interval"]
    total, documents = summed(intervals), processor.documents(state)
    for topic, document in documents.items():
        if topic == f"{MILL}/_state/oee" or topic.startswith(f"{MILL}/_state/oee-shift/"):
            shift = [i for i in intervals if i["shift_id"] == document["shift"]["id"]]
            total.update({key: document["sums"][key] for key in (*TIMES, *PIECES)})
            total.subtract(summed(shift))
    made = [e for e in at_mill if isinstance(e, Counted)]
    facts = [e for e in at_mill if not isinstance(e, StopCommanded)]  # no time of the cell's
    believed = [e.at_ms for e in facts if e.at_ms in CALENDAR_MS]
    elapsed_ms = max(believed) - believed[0] if believed else 0
    assert sum(total[key] for key in TIMES) == elapsed_ms
    assert total["gq"] == sum(e.good for e in made)
    assert total["sq"] == sum(e.scrap for e in made)
    assert total["rq"] == sum(e.rework for e in made)
    assert total["pq"] == total["gq"] + total["sq"] + total["rq"]


@moderate
@given(events=histories(HOUSING, INPUTS["oee"]))
def test_published_sums_reproduce_oee_to_the_digit(events: list[Event]) -> None:
    processor, state, _ = run("oee", events)
    for topic, document in processor.documents(state).items():
        if "/_state/oee" in topic:
            sums = Sums(**{key: document["sums"][key] for key in (*TIMES, *PIECES)})
            again = oee(sums)
            assert {key: document[key] for key in again} == again


@moderate
@given(events=histories(HOUSING, INPUTS["oee"]))
def test_stops_open_and_end_in_turn(events: list[Event]) -> None:
    _, _, outputs = run("oee", events)
    open_at: dict[str, str] = {}
    seen = set[str]()
    for output in outputs:
        stop_id = str(output.body.get("stop_id"))
        if output.type == "stopped":
            assert stop_id not in seen
            assert output.path not in open_at
            seen.add(stop_id)
            open_at[output.path] = stop_id
        elif output.type == "stop-ended":
            assert open_at.pop(output.path) == stop_id
            assert output.body["duration_ms"] == output.at_ms - output.body["start_ms"]


@moderate
@given(events=histories(HOUSING, INPUTS["order-progress"]))
def test_an_order_has_every_piece_that_was_counted_for_it(events: list[Event]) -> None:
    _, state, _ = run("order-progress", events)
    made = [e for e in events if isinstance(e, Counted)]
    for order in state.orders.values():
        mine = [e for e in made if e.order_id == order.order_id]
        assert sum(t.good for t in order.cells.values()) == sum(e.good for e in mine)
        assert sum(t.scrap for t in order.cells.values()) == sum(e.scrap for e in mine)
        assert sum(t.rework for t in order.cells.values()) == sum(e.rework for e in mine)


@moderate
@given(events=histories(HOUSING, INPUTS["order-progress"]))
def test_an_order_is_closed_once_and_stays_closed(events: list[Event]) -> None:
    _, state, outputs = run("order-progress", events)
    closed = Counter(o.body["order_id"] for o in outputs if o.type == "order-closed")
    assert set(closed.values()) <= {1}
    ended = {o.order_id for o in state.orders.values() if o.completed_ms is not None}
    assert ended == set(closed)


@moderate
@given(events=histories(HOUSING, INPUTS["genealogy"]))
def test_what_was_consumed_is_on_edges_or_pends(events: list[Event]) -> None:
    _, state, outputs = run("genealogy", events)
    for path, cell in state.cells.items():
        mine = [e for e in events if e.path == path]
        consumed = sum(round(e.quantity * MILLION) for e in mine if isinstance(e, Consumed))
        units = sum(e.unit_id not in (None, e.lot) for e in mine if isinstance(e, Produced))
        edges = [o.body["quantity"] for o in outputs if o.path == path]
        on_edges = sum(round(quantity * MILLION) for quantity in edges) - units * MILLION
        pending = sum(p.millionths for p in cell.pending)
        assert on_edges + pending + cell.unattributed == consumed


@moderate
@given(events=histories(HOUSING, INPUTS["quality"]))
def test_every_sample_is_counted_once_by_its_latest_verdict(events: list[Event]) -> None:
    processor, state, said = run("quality", events)
    outputs = [one for one in said if one.type == VerdictGiven.type_name]
    documents = processor.documents(state)
    inspected = [e for e in events if isinstance(e, Inspected)]
    assert len(inspected) == len(outputs)
    for path in {e.path for e in inspected}:
        latest = {o.body["sample_id"]: o.body["verdict"] for o in outputs if o.path == path}
        assert documents[f"{path}/_state/quality"]["total"] == {
            verdict: sum(v == verdict for v in latest.values())
            for verdict in ("pass", "fail", "pending")
        }
        assert all(count >= 0 for count in state.cells[path].current.model_dump().values())
