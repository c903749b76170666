"""A second start goes on where the first ended; another speed and another store count the same."""

import os
from pathlib import Path

import pytest

from tests.e2e.hub import ROOT, eventually, plc_totals, recorded_totals, running, uns_json
from tools import postgres
from tools.ground import SetupError

pytestmark = pytest.mark.e2e


def _pieces(data: Path) -> int:
    return sum(good + scrap for good, scrap in plc_totals(data).values())


def test_a_second_start_on_the_folder_continues(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, "--duration", "25", "--speed", "20") as hub:
        first = hub.finish()
    made = _pieces(data)
    assert recorded_totals(data) == plc_totals(data)
    with running(data, "--duration", "15") as hub:
        second = hub.finish()
    assert _pieces(data) > made
    assert recorded_totals(data) == plc_totals(data)
    assert (first["gaps"], second["gaps"], first["rejects"], second["rejects"]) == (0, 0, 0, 0)
    assert sum(second["orders"].values()) >= sum(first["orders"].values())
    (span,) = uns_json("query", "select count(*) n, count(distinct id) u from events", data=data)
    assert span["n"] == span["u"]


@pytest.mark.postgres
def test_postgresql_records_the_same_from_bridges_that_share_a_process(tmp_path: Path) -> None:
    data, namespace = tmp_path / "data", tmp_path / "namespace.yaml"
    namespace.write_text(_sharing((ROOT / "namespace.yaml").read_text()))
    options = ("--duration", "25", "--namespace", str(namespace))
    with postgres.Server(_installation()) as server:
        with running(data, *options, "--store", server.dsn) as hub:
            eventually(lambda: hub.child("bridge-plcs"), 20, "the process that is shared")
            assert hub.child("bridge-plc-assembly") is None
            summary = hub.finish()
        assert recorded_totals(data) == plc_totals(data)
        assert uns_json("query", "select * from genealogy_edges limit 1", data=data)
        (load,) = uns_json("query", EVERY_LOAD, data=data)
        assert load["n"] > 10
    assert (summary["gaps"], summary["rejects"]) == (0, 0)
    assert summary["verdicts"]["pass"] > 0


EVERY_LOAD = "select count(*) n from tag_samples where topic like '%/mill/_tag/spindle-load'"


def _sharing(text: str) -> str:
    """The example with both PLC bridges in one process, and one tag recorded value by value."""
    for protocol in ("opcua", "modbus"):
        text = text.replace(f"protocol: {protocol}\n", f"protocol: {protocol}\n    process: plcs\n")
    every = "spindle-load: {record: every, interval_ms_min: 60000, "
    return text.replace("spindle-load: {", every)


def _installation() -> postgres.Installation:
    try:
        return postgres.installation()
    except SetupError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
