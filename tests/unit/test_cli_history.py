"""The commands that ask the past: the same answers as JSON and as tables, by place and time."""

from typing import Any

import pytest

from tests.speech import LINE, MILL, NOON, event, new_writer, output, record, state, tag
from tests.terminal import Cli
from uns.cli.folder import Folder
from uns.cli.run import store_url
from uns.historian.store import open_store

TAG = f"{MILL}/_tag/tag-0"
SHIFT = "2025-12-11-early"
MINUTE_MS = 60_000


@pytest.fixture
def past(stopped_hub: Folder) -> Folder:
    """The first minutes after noon: a value, a state, an interval, a stop, a verdict, an order."""
    order: dict[str, Any] = {
        "order_id": "po-1",
        "item": "x",
        "dispatch_status": "running",
        "quantity": 9,
    }
    order |= {"good": 3, "scrap": 1, "released_ms": NOON}
    interval: dict[str, Any] = {
        "element": "apt",
        "state": "EXECUTE",
        "shift_id": SHIFT,
        "policy_id": "p",
    }
    interval |= {"start_ms": NOON, "end_ms": NOON + 2 * MINUTE_MS, "order_id": "po-1", "item": "x"}
    interval |= {"pq": 100, "gq": 90, "sq": 10, "rq": 0}
    interval |= {"ideal_ms": 100_000, "ideal_good_ms": 90_000}
    stop = {"stop_id": "s1", "state": "ABORTED", "reason": "jam", "order_id": "po-1"}
    bore = {"name": "bore", "value": 9.5, "lower": 1, "upper": 2.5, "unit": "mm", "verdict": "fail"}
    verdict = {"sample_id": "S1", "verdict": "fail", "order_id": "po-1", "characteristics": [bore]}
    after, ended = NOON + 2 * MINUTE_MS, NOON + 4 * MINUTE_MS
    store = open_store(store_url("duckdb", stopped_hub.root), lambda: NOON)
    record(
        new_writer(store),
        tag(2.5, NOON + MINUTE_MS),
        event(5, "state-changed", {"state": "EXECUTE"}, at_ms=NOON),
        event(6, "state-changed", {"state": "ABORTED", "fault": "e1"}, at_ms=after),
        event(7, "state-changed", {"state": "EXECUTE"}, at_ms=after + MINUTE_MS),
        output(1, "oee", "oee-interval", interval, at_ms=after),
        output(2, "oee", "stopped", stop, at_ms=after),
        output(
            3,
            "oee",
            "stopped",
            {**stop, "stop_id": "s2", "reason": None, "order_id": None},
            at_ms=ended,
        ),
        output(1, "quality", "verdict", verdict, at_ms=after),
        state("order/po-1", 1, order),
        received_ms=after,
    )
    store.close()
    return stopped_hub


def window(folder: Folder, minutes: float = 4) -> tuple[Any, ...]:
    """The options of a question about the minutes after noon."""
    return ("--from", NOON, "--to", int(NOON + minutes * MINUTE_MS), "--data", folder.root)


def test_a_history_is_summed_up_by_steps(uns: Cli, past: Folder) -> None:
    found = uns("history", TAG, "--every", "2m", *window(past), "--json").json
    assert [bucket["avg"] for bucket in found["buckets"]] == [2.0, 2.5]
    assert (found["coverage"], found["method"]) == (1.0, "time-weighted")
    shown = uns("history", TAG, "--every", "2m", "--how", "avg", *window(past)).out
    assert "known 100.0 % of the time" in shown
    assert "max" not in shown
    held = uns("history", TAG, "--points", "4", "--hold", "30s", *window(past)).out
    assert "known 25.0 % of the time" in held
    assert "(silent)" in held


def test_a_history_is_thinned_out_for_a_plot(uns: Cli, past: Folder) -> None:
    found = uns("history", TAG, "--how", "lttb", "--points", "10", *window(past), "--json").json
    assert found["points"] == [[NOON, 1.5], [NOON + MINUTE_MS, 2.5]]
    assert "2.5" in uns("history", TAG, "--how", "lttb", *window(past)).out


def test_a_length_of_time_that_is_none_is_refused(uns: Cli, past: Folder) -> None:
    for text in ("0s", "5", "1.5m", "-1m"):
        line = uns.fails(2, "history", TAG, f"--every={text}", *window(past))
        assert "is no length of time: use 500ms, 10s, 1m, 2h or 1d" in line
    assert "use at most 10000" in uns.fails(2, "history", TAG, "--every", "1ms", *window(past))
    assert "nothing lies between" in uns.fails(2, "timeline", *window(past, 0))


def test_the_newest_values_are_printed(uns: Cli, past: Folder) -> None:
    (found,) = uns("last", f"{MILL}/#", "--data", past.root, "--json").json
    assert (found["topic"], found["value"], found["at_ms"]) == (TAG, 2.5, NOON + MINUTE_MS)
    answer = uns("last", "--limit", "1", "--data", past.root)
    assert "rev 1" in answer.out
    assert "only the first 1 topics" in answer.err


def test_a_timeline_shows_what_cells_were_doing(uns: Cli, past: Folder) -> None:
    found = uns("timeline", "mill", *window(past), "--json").json
    (cell,) = found["cells"]
    assert cell["state_ms"] == {"EXECUTE": 3 * MINUTE_MS, "ABORTED": MINUTE_MS}
    shown = uns("timeline", "housing", *window(past)).out
    assert "120.0 s" in shown
    assert "UNKNOWN" in shown
    cut = uns("timeline", "mill", "--limit", "1", *window(past))
    assert f"ask again --from {NOON + 2 * MINUTE_MS}" in cut.err


def test_a_place_goes_by_its_name_or_path(uns: Cli, past: Folder) -> None:
    for name in ("mill", MILL):
        assert uns("timeline", name, *window(past), "--json").json["cells"][0]["cell"] == MILL
    assert len(uns("timeline", *window(past), "--json").json["cells"]) == 3
    assert "'mil' is no place: use one of housing, packing" in uns.fails(
        2, "timeline", "mil", *window(past)
    )


def test_downtime_is_a_pareto(uns: Cli, past: Folder) -> None:
    found = uns("downtime", *window(past), "--json").json
    assert [(bar["key"], bar["stop_ms"]) for bar in found["bars"]] == [("jam", 2 * MINUTE_MS)]
    assert found["coverage"] == pytest.approx(1 / 3)
    assert "none given" in uns("downtime", *window(past, 5)).out
    shown = uns("downtime", "housing", "--by", "cell", *window(past)).out
    assert MILL in shown
    assert "1 stops, 2.0 min" in shown
    assert "known 50.0 % of the time" in shown


def test_oee_over_a_time_says_what_was_lost_and_how_much_is_known(uns: Cli, past: Folder) -> None:
    found = uns("oee", "housing", "--by", "shift", *window(past), "--json").json
    (group,) = found["groups"]
    assert (group["key"], group["coverage"]) == (SHIFT, 0.5)
    assert group["oee"] == pytest.approx(90 / 120)
    assert group["losses"]["speed_min"] == pytest.approx(1 / 3)
    shown = uns("oee", "--line", "housing", "--by", "day", *window(past)).out
    assert "2025-12-11" in shown
    assert "75.0 %" in shown
    assert "50.0 %" in shown


def test_orders_and_the_story_of_one(uns: Cli, past: Folder) -> None:
    where = ("--data", past.root)
    (found,) = uns("orders", "--place", "housing", "--status", "running", *where, "--json").json
    assert (found["order_id"], found["good"]) == ("po-1", 3)
    assert uns("orders", "--item", "none", *where, "--json").json == []
    assert "3/9" in uns("orders", *where).out
    story = uns("orders", "po-1", *where, "--json").json
    assert (story["verdicts"], len(story["stops"])) == ({"fail": 1}, 1)
    told = uns("orders", "po-1", *where).out
    assert "1 fail" in told
    assert "jam" in told
    assert "nothing on record about order 'po-2'" in uns.fails(1, "orders", "po-2", *where)


def test_a_characteristic_shows_what_breaks_its_limits(uns: Cli, past: Folder) -> None:
    found = uns("spc", "mill", "bore", *window(past), "--json").json
    assert [one["value"] for one in found["measurements"]] == [9.5]
    assert found["violations"] == [{"index": 0, "at_ms": NOON + 2 * MINUTE_MS, "rule": "limits"}]
    assert "limits" in uns("spc", MILL, "bore", *window(past)).out
    assert uns("spc", MILL, "none", *window(past), "--json").json["statistics"] is None


def test_the_lines_a_name_could_mean_are_named(uns: Cli, past: Folder) -> None:
    line = uns.fails(2, "oee", "berlin-2", "--by", "day", "--data", past.root)
    assert "is no place" in line
    assert LINE.rpartition("/")[2] in line
