"""What stands in examples/ is run as its README says, beside one running hub."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from tests.e2e.hub import ROOT, UNS, RunningHub, eventually, running, uns, uns_json

pytestmark = pytest.mark.e2e
EXAMPLES = ROOT / "examples"
SUBSCRIBED_S_MAX = 30
QUERIES = sorted((EXAMPLES / "queries").glob("*.sql"))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running(tmp_path_factory.mktemp("examples") / "data") as hub:
        yield hub


@pytest.fixture(scope="module")
def made(hub: RunningHub) -> RunningHub:
    """The hub when lots were traced, stops were over and pieces were counted everywhere."""
    eventually(lambda: _count(hub, "select count(distinct cell) as n from stops") == 7, 60, "stops")
    lots = "select count(*) as n from genealogy_edges where input_id = 'ALU-BAR-00001'"
    eventually(lambda: _count(hub, lots), 60, "lots")
    return hub


def _count(hub: RunningHub, sql: str) -> int:
    command = [str(UNS), "query", sql, "--json", "--data", str(hub.data)]
    answer = subprocess.run(command, capture_output=True, check=False)
    return int(json.loads(answer.stdout)[0]["n"]) if answer.returncode == 0 else 0


def _ask(hub: RunningHub, query: Path) -> list[dict[str, Any]]:
    command = [str(UNS), "query", "-", "--json", "--data", str(hub.data)]
    with query.open() as sql:
        answer = subprocess.run(command, stdin=sql, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    rows: list[dict[str, Any]] = json.loads(answer.stdout)
    return rows


@contextmanager
def _subscribed(hub: RunningHub) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, str(EXAMPLES / "subscribe.py"), str(hub.data)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    end = Timer(SUBSCRIBED_S_MAX, process.kill)
    end.start()
    try:
        yield process
    finally:
        end.cancel()
        process.kill()
        process.communicate()


def test_the_readme_names_every_example() -> None:
    text = (EXAMPLES / "README.md").read_text()
    files = {path.name for path in EXAMPLES.rglob("*.*") if path.suffix != ".pyc"} - {"README.md"}
    assert len(files) > len(QUERIES)
    for file in files:
        assert file in text, file


def test_an_order_is_released_shown_and_never_doubled(hub: RunningHub) -> None:
    order = json.loads((EXAMPLES / "order.json").read_text())
    with _subscribed(hub) as process:
        said = uns("order", "submit", str(EXAMPLES / "order.json"), data=hub.data)
        assert said == "accepted: order PO-9001 released to acme/berlin/assembly/pump\n"
        assert process.stdout
        progress = re.compile(r"PO-9001 (waiting|ready|running) 0 of 5 pump-a\n")
        assert any(progress.fullmatch(line) for line in iter(process.stdout.readline, ""))
    again = uns_json("order", "submit", str(EXAMPLES / "order.json"), data=hub.data)
    assert again["outcome"] == "accepted"
    assert "known already: nothing to do" in again["reason"]
    changed = hub.data / "changed.json"
    changed.write_text(json.dumps(order | {"quantity": 6}))
    refused = uns("order", "submit", str(changed), data=hub.data, code=1)
    assert refused.startswith("refused: revision: order PO-9001 revision 1 is known with other")
    released = "select count(*) as n from events where type = 'released' and topic like '%pump%' "
    assert _count(hub, released + "and payload ->> 'order_id' = 'PO-9001'") == 1


@pytest.mark.parametrize("query", QUERIES, ids=lambda path: path.stem)
def test_a_query_has_an_answer(made: RunningHub, query: Path) -> None:
    assert _ask(made, query)


def test_shares_of_the_pareto_end_at_all_of_it(made: RunningHub) -> None:
    rows = _ask(made, EXAMPLES / "queries" / "downtime-pareto.sql")
    assert rows == sorted(rows, key=lambda row: -float(row["seconds"]))
    assert float(rows[-1]["running_percent"]) == pytest.approx(100)


def test_oee_of_the_query_is_that_of_the_command(made: RunningHub) -> None:
    data = made.data
    made.interrupt()  # at rest, so that both look at the same record
    rows = _ask(made, EXAMPLES / "queries" / "oee-by-shift.sql")
    shift = max(row["shift_id"] for row in rows)
    by_command = uns_json("oee", "--line", "housing", "--shift", shift, data=data)
    (mill,) = (
        row for row in rows if (row["cell"].rpartition("/")[2], row["shift_id"]) == ("mill", shift)
    )
    figures = by_command["acme/berlin/machining/housing"]
    for name in ("oee", "availability", "effectiveness", "quality_ratio"):
        assert float(mill[name]) == pytest.approx(figures[name])
