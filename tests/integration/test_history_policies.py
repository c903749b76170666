"""OEE from history by the plant's policy: what a line goes by, and whether unknown time counts."""

from typing import Any

import pytest

from tests.golden.cases import merged
from tests.recorded import Recorded
from tests.simulated import example_plant
from tests.speech import LINE, MILL, NOON, output
from uns.historian.history.oee import Oee, oee
from uns.historian.history.period import period
from uns.historian.reader import open_reader
from uns.model.path import parent
from uns.model.plant import Plant

MINUTE_MS = 60_000
AREA = parent(LINE, "area")


def changed(line: dict[str, Any], policy: dict[str, Any]) -> Plant:
    lines = {"areas": {"machining": {"lines": {"housing": line}}}}
    patch = {"policy": policy, "sites": {"berlin": lines}}
    return Plant.model_validate(merged(example_plant().model_dump(mode="json"), patch))


@pytest.fixture(scope="module")
def filled(shared_location: str) -> str:
    """The mill ran for 6 of 10 minutes, and was unknown for 2; the line ran for 5 of its own."""
    recorded = Recorded(shared_location)
    told = [
        (MILL, interval("apt", 0, 6)),
        (MILL, interval("unknown", 6, 8)),
        (MILL, interval("adet", 8, 10)),
        (LINE, interval("apt", 0, 5)),
        (LINE, interval("adet", 5, 10)),
    ]
    recorded.says(
        *(
            output(seq, "oee", "oee-interval", body, path=path, at_ms=NOON + seq)
            for seq, (path, body) in enumerate(told, 1)
        )
    )
    recorded.store.close()
    return shared_location


def interval(element: str, from_min: int, to_min: int) -> dict[str, Any]:
    span = {"start_ms": NOON + from_min * MINUTE_MS, "end_ms": NOON + to_min * MINUTE_MS}
    return {
        "element": element,
        "state": "x",
        "shift_id": "2025-12-11-early",
        "policy_id": "p",
    } | span


def asked(location: str, plant: Plant, path: str = LINE) -> Oee:
    with open_reader(location) as reader:
        return oee(reader, plant, path, period(NOON, NOON + 10 * MINUTE_MS), "line")


def test_a_line_with_a_time_of_its_own_is_counted_by_it(filled: str) -> None:
    by_mill = asked(filled, example_plant())
    assert (by_mill.method, by_mill.cells, by_mill.total.availability) == (
        "bottleneck",
        (MILL,),
        0.75,
    )
    own = asked(filled, changed({"line_method": "first-down"}, {}))
    assert (own.method, own.cells, own.total.availability) == ("first-down", (LINE,), 0.5)
    assert own.policy_id == "iso22400-bottleneck-1+first-down"
    assert [group.key for group in own.groups] == [LINE]
    area = asked(filled, changed({"line_method": "first-down"}, {}), AREA)
    assert [(group.key, group.availability) for group in area.groups] == [(LINE, 0.5)]


def test_unknown_time_counts_where_the_policy_says_so(filled: str) -> None:
    counted = asked(filled, changed({}, {"unknown_time": "counted"}))
    assert counted.total.availability == pytest.approx(0.6)
    assert counted.total.sums["pbt_ms"] == 10 * MINUTE_MS
    assert counted.policy_id == "iso22400-bottleneck-1+unknown-counted"
    assert counted.total.coverage == pytest.approx(0.8)
