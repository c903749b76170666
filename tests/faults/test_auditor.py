"""The auditor itself: it finds what is amiss, and knows nothing of the hub."""

import ast
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import duckdb
import pytest

from tests.faults import auditor, expected
from tests.faults.auditor import Audit, audit
from tests.faults.story import ending, tale

LINE: Final = "acme/works/hall/l01"
HUB: Final = {"uns", "processors", "bridges"}
TABLES: Final = """
create table events (id text, type text, source text, epoch bigint, seq bigint, payload json);
create table quarantine (reject_class text);
create table gaps (source text, epoch bigint, from_seq bigint, to_seq bigint, seen_by text);
"""
Rows = list[dict[str, Any]]


def made(count: int = 200) -> Rows:
    """A journal of one line."""
    facts = [*islice(tale(1, LINE), count), *ending()]
    return [
        {
            "n": n,
            "line": LINE,
            "id": f"l01:{n}",
            "type": fact.type,
            "path": f"{LINE}/{fact.place}" if fact.place else LINE,
            "at_ms": 1_000_000 + 1_000 * n,
            "body": fact.body,
        }
        for n, fact in enumerate(facts, 1)
    ]


def recorded(journal: Rows) -> Rows:
    """What a hub without fault would have on record: events, and outputs that add up."""
    rows = [{"source": "plc:l01", "seq": e["n"], "payload": {**e, **e["body"]}} for e in journal]
    return [*rows, *({"source": "processor:p:l01", **o} for o in _outputs())]


def _outputs() -> Iterator[dict[str, Any]]:
    for seq, payload in enumerate(_payloads(), 1):
        body = {"id": f"out:{seq}", "path": f"{LINE}/cut", **payload}
        yield {"seq": seq, "payload": body}


def _payloads() -> Iterator[dict[str, Any]]:
    truth = expected.reckoned(made())
    for cell, (good, scrap) in truth.pieces.items():
        counts = {"gq": good, "sq": scrap, "start_ms": 0, "end_ms": 0}
        yield {"type": "oee-interval", "path": cell, "state": "X", **counts}
    for (cell, state), ms in truth.state_ms.items():
        times = {"gq": 0, "sq": 0, "start_ms": 0, "end_ms": ms}
        yield {"type": "oee-interval", "path": cell, "state": state, **times}
    for order, (good, scrap) in truth.orders.items():
        document = {"good": good, "scrap": scrap}
        yield {"type": "order-closed", "order_id": order, "document": document}
    for sample, verdict in truth.verdicts.items():
        yield {"type": "verdict", "sample_id": sample, "verdict": verdict}
    for cell, lot, output, quantity in truth.edges:
        ends = {"input_id": lot, "output_id": output, "quantity": quantity}
        yield {"type": "edge", "path": cell, **ends}
    for cell, stops in truth.stops.items():
        for number in range(stops):
            yield {"type": "stopped", "path": cell, "stop_id": f"{cell}-{number}"}
            yield {"type": "stop-ended", "path": cell}


def audited(folder: Path, rows: Rows, gaps: int = 0) -> Audit:
    journal = folder / "journal.jsonl"
    journal.write_text("".join(f"{json.dumps(event)}\n" for event in made()))
    with duckdb.connect(str(folder / "store.duckdb")) as database:
        database.execute(TABLES)
        database.read_json(str(_listed(folder, rows))).insert_into("events")
        for _ in range(gaps):
            database.execute("insert into gaps values ('plc:l01', 1, 3, 3, 'oee')")
    return audit(journal, str(folder / "store.duckdb"), _tree())


def _listed(folder: Path, rows: Rows) -> Path:
    """The rows of the table as a file: faster into DuckDB than one by one."""
    path = folder / "rows.json"
    columns = [
        {
            "id": row["payload"]["id"],
            "type": row["payload"]["type"],
            "source": row["source"],
            "epoch": 1,
            "seq": row["seq"],
            "payload": json.dumps(row["payload"]),
        }
        for row in rows
    ]
    path.write_text(json.dumps(columns))
    return path


def _tree() -> dict[str, bytes]:
    truth = expected.reckoned(made())
    passed = sum(verdict == "pass" for verdict in truth.verdicts.values())
    total = {"pass": passed, "fail": len(truth.verdicts) - passed}
    traced = {"totals": {"produced": truth.traced[f"{LINE}/cut"]}}
    return {
        f"{LINE}/cut/_state/genealogy": json.dumps(traced).encode(),
        f"{LINE}/pack/_state/quality": json.dumps({"total": total}).encode(),
    }


def test_a_faultless_record_is_clean(tmp_path: Path) -> None:
    found = audited(tmp_path, recorded(made()))
    assert found.clean, found
    assert found.made == len(made())
    assert found.outputs > 20


def _lose(rows: Rows) -> None:
    del rows[100]


def _double(rows: Rows) -> None:
    rows.append({**rows[100], "seq": 10_000})


def _change(rows: Rows) -> None:
    counted = next(r for r in rows if r["payload"]["type"] == "counted")
    counted["payload"] = {**counted["payload"], "good": 7}


def _invent(rows: Rows) -> None:
    rows.append({**rows[0], "seq": 10_000, "payload": {**rows[0]["payload"], "id": "l01:9999"}})


def _drop_verdict(rows: Rows) -> None:
    rows.remove(next(r for r in rows if r["payload"]["type"] == "verdict"))


def _say_twice(rows: Rows) -> None:
    edge = next(r for r in rows if r["payload"]["type"] == "edge")
    rows.append({**edge, "seq": 10_000, "payload": {**edge["payload"], "id": "out:10000"}})


def _count_one_more(rows: Rows) -> None:
    piece = next(r for r in rows if r["payload"].get("gq"))
    piece["payload"] = {**piece["payload"], "gq": piece["payload"]["gq"] + 1}


@pytest.mark.parametrize(
    ("harm", "kind"),
    [
        (_lose, "lost"),
        (_double, "doubled"),
        (_change, "changed"),
        (_invent, "foreign"),
        (_drop_verdict, "wrong"),
        (_say_twice, "wrong"),
        (_count_one_more, "wrong"),
    ],
)
def test_each_harm_is_found(tmp_path: Path, harm: Callable[[Rows], None], kind: str) -> None:
    rows = recorded(made())
    harm(rows)
    found = audited(tmp_path, rows)
    assert not found.clean
    assert len(getattr(found, kind)) == 1, found


def test_a_gap_is_not_clean(tmp_path: Path) -> None:
    assert not audited(tmp_path, recorded(made()), gaps=1).clean


@pytest.mark.parametrize("module", [auditor, expected])
def test_the_auditor_shares_no_code_with_the_hub(module: Any) -> None:
    tree = ast.parse(Path(module.__file__).read_text())
    imported = {
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not {name.partition(".")[0] for name in imported} & HUB
    ours = {name for name in imported if name.startswith("tests.")}
    assert ours <= {"tests.faults.expected"}
