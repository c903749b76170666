"""The PLC's log and state: what is committed survives a kill, what is not was never seen."""

import json
from pathlib import Path

import pytest

from tests.simulated import VirtualPlant, example_plant
from uns.demo.errors import StateUnreadable
from uns.demo.journal import LOG, STATE, Journal
from uns.demo.state import PlantState

PLANT = example_plant()
MINUTE_MS = 60_000


def filled(folder: Path) -> PlantState:
    """A journal of a minute, committed tick by tick; the state it holds."""
    journal = Journal(folder)
    plant = VirtualPlant(PLANT, state=journal.state)
    logged = 0
    for _ in plant.ticks(MINUTE_MS):
        journal.commit(plant.log[logged:])
        logged = len(plant.log)
    journal.close()
    return journal.state


def test_a_restart_reads_back_exactly_what_was_committed(tmp_path: Path) -> None:
    state = filled(tmp_path)
    again = Journal(tmp_path)
    assert again.state == state
    assert again.state.numbers["PO"] > 1_006
    again.close()


def test_the_log_has_one_line_a_piece_with_its_totals(tmp_path: Path) -> None:
    state = filled(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    for path, cell in state.cells.items():
        mine = [line for line in lines if line["cell"] == path]
        assert sum(line["result"] == "good" for line in mine) == cell.good
        assert sum(line["result"] == "scrap" for line in mine) == cell.scrap
        assert (mine[-1]["good"], mine[-1]["scrap"]) == (cell.good, cell.scrap)
    assert (tmp_path / LOG).stat().st_size == state.log_bytes


def test_what_a_kill_left_behind_the_last_commit_is_cut_off(tmp_path: Path) -> None:
    filled(tmp_path)
    whole = (tmp_path / LOG).read_bytes()
    with (tmp_path / LOG).open("ab") as log:
        log.write(b'{"at_ms": 1, "cell": "acme/berl')
    (tmp_path / STATE).with_suffix(".tmp").write_text("{half")
    Journal(tmp_path).close()
    assert (tmp_path / LOG).read_bytes() == whole


def test_nothing_is_written_when_nothing_happened(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.commit([])
    written = (tmp_path / STATE).stat().st_mtime_ns
    journal.commit([])
    assert (tmp_path / STATE).stat().st_mtime_ns == written
    journal.close()


def test_a_damaged_state_is_refused_not_forgotten(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / STATE).write_text('{"cells": 3}')
    with pytest.raises(StateUnreadable, match="remove its folder"):
        Journal(tmp_path)
