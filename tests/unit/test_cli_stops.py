"""The commands about stops, losses and energy: as JSON and as tables, and what they refuse."""

import json
from typing import Any

import pytest

from tests.speech import LINE, MILL, NOON, new_writer, output, record, tag
from tests.terminal import Cli
from uns.cli.folder import Folder
from uns.cli.run import store_url
from uns.historian.store import open_store
from uns.model.path import to_dotted

MINUTE_MS = 60_000
STOP_ID = f"{to_dotted(MILL)}-{NOON}"


@pytest.fixture
def past(stopped_hub: Folder) -> Folder:
    """Ten minutes after noon: a stop of two that somebody gave another reason, then production."""
    end_ms, later_ms = NOON + 2 * MINUTE_MS, NOON + 10 * MINUTE_MS
    piece = {"state": "ABORTED", "shift_id": "2025-12-11-early", "policy_id": "p"}
    delay = {**piece, "element": "adet", "start_ms": NOON, "end_ms": end_ms}
    run = {**piece, "element": "apt", "start_ms": end_ms, "end_ms": later_ms, "pq": 60, "gq": 54}
    run |= {"ideal_ms": 6 * MINUTE_MS, "ideal_good_ms": 324_000}
    stop = {"stop_id": STOP_ID, "state": "ABORTED", "reason": "e11", "order_id": None}
    over = {"start_ms": NOON, "duration_ms": 2 * MINUTE_MS}
    told = {**stop, **over, "rev": 1, "reason": "e12", "old_reason": "e11", "end_ms": end_ms}
    told |= {"request_id": "r-1", "actor": "ann", "comment": "seen", "moved_ms": 0}
    store = open_store(store_url("duckdb", stopped_hub.root), lambda: NOON)
    record(
        new_writer(store),
        output(1, "oee", "stopped", stop, at_ms=NOON),
        output(2, "oee", "oee-interval", delay, at_ms=end_ms),
        output(3, "oee", "stop-ended", {**stop, **over, "micro": False}, at_ms=end_ms),
        output(4, "oee", "oee-interval", run, at_ms=later_ms),
        output(5, "oee", "stop-classified", told, at_ms=later_ms),
        received_ms=later_ms,
    )
    store.close()
    return stopped_hub


def window(folder: Folder) -> tuple[Any, ...]:
    """The options of a question about the four minutes after noon that the hub lived."""
    return ("--from", NOON, "--to", NOON + 4 * MINUTE_MS, "--data", folder.root)


def test_stops_are_listed_under_their_newest_reason(uns: Cli, past: Folder) -> None:
    (found,) = uns("stop", "list", "mill", *window(past), "--json").json
    assert (found["stop_id"], found["reason"], found["minutes"]) == (STOP_ID, "e12", 2.0)
    assert STOP_ID in uns("stop", "list", *window(past)).out


def test_the_story_of_a_stop_names_who_said_what(uns: Cli, past: Folder) -> None:
    where = ("--data", past.root)
    found = uns("stop", "story", STOP_ID, *where, "--json").json
    assert [one["type"] for one in found] == ["stopped", "stop-ended", "stop-classified"]
    assert (found[2]["old_reason"], found[2]["reason"], found[2]["actor"]) == ("e11", "e12", "ann")
    assert "seen" in uns("stop", "story", STOP_ID, *where).out
    assert "nothing on record about stop 'x'" in uns.fails(1, "stop", "story", "x", *where)


def test_a_change_needs_a_running_hub_and_an_id_of_a_cell(uns: Cli, past: Folder) -> None:
    where = ("--data", past.root)
    assert "no hub runs" in uns.fails(1, "stop", "classify", STOP_ID, "e11", *where)
    assert "is no stop" in uns.fails(2, "stop", "classify", "mill-1", "e11", *where)
    assert "no hub runs" in uns.fails(1, "stop", "merge", STOP_ID, STOP_ID, *where)
    assert "no hub runs" in uns.fails(1, "stop", "split", STOP_ID, "--at", "1m", *where)


def test_losses_are_shown_biggest_first_with_their_sum(uns: Cli, past: Folder) -> None:
    found = uns("losses", "housing", *window(past), "--json").json
    assert found["losses"][0]["key"] == "unplanned-stops"
    assert (found["busy_min"], found["losses"][0]["leaves"][0]["key"]) == (4.0, "e12")
    shown = uns("losses", LINE, *window(past)).out
    assert "of 4.0 min of planned busy time were lost" in shown


def test_reliability_shows_a_cell_without_a_failure_without_means(uns: Cli, past: Folder) -> None:
    found = uns("reliability", "housing", *window(past), "--json").json
    assert (found["total"]["failures"], found["total"]["mtbf_min"]) == (0, None)
    assert (found["total"]["up_min"], found["total"]["unexplained"]) == (2.0, 1)
    assert MILL in uns("reliability", "mill", *window(past)).out


def test_the_bottleneck_is_named_with_its_reason(uns: Cli, past: Folder) -> None:
    assert uns("bottleneck", "housing", *window(past), "--json").json["cell"] == "mill"
    shown = uns("bottleneck", "housing", *window(past)).out
    assert "mill was active 100.0% of its planned busy time" in shown
    assert "no line" in uns.fails(2, "bottleneck", "mill", *window(past))


def test_energy_is_shown_for_each_good_piece(uns: Cli, past: Folder) -> None:
    assert "0 tags of role energy" in uns.fails(2, "energy", "mill", *window(past))
    plant: dict[str, Any] = json.loads(past.plant.read_text())
    cells = plant["sites"]["berlin"]["areas"]["machining"]["lines"]["housing"]["cells"]
    cells["mill"]["tags"]["tag-0"] |= {"unit": "kWh", "role": "energy"}
    past.plant.write_text(json.dumps(plant))
    store = open_store(store_url("duckdb", past.root), lambda: NOON)
    record(new_writer(store), tag(4.5, NOON + MINUTE_MS), tag(7.2, NOON + 3 * MINUTE_MS))
    store.close()
    found = uns("energy", "mill", *window(past), "--json").json["total"]
    assert found["kwh"] == pytest.approx(5.7)
    assert found["kwh_per_good"] == pytest.approx(5.7 / found["good"])
    assert "5.70" in uns("energy", "mill", *window(past)).out
