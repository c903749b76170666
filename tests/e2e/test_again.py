"""A second start goes on where the first ended; another speed and another store count the same."""

import os
from pathlib import Path

import pytest

from tests.e2e.hub import plc_totals, recorded_totals, running, uns_json
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
def test_postgresql_records_the_same(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with postgres.Server(_installation()) as server:
        with running(data, "--duration", "25", "--store", server.dsn) as hub:
            summary = hub.finish()
        assert recorded_totals(data) == plc_totals(data)
        assert uns_json("query", "select * from genealogy_edges limit 1", data=data)
    assert (summary["gaps"], summary["rejects"]) == (0, 0)
    assert summary["verdicts"]["pass"] > 0


def _installation() -> postgres.Installation:
    try:
        return postgres.installation()
    except SetupError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
