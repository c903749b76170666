"""The main job as a newcomer sees it: one 60 s demo, looked at from outside while it runs."""

import json
import shlex
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.hub import (
    GRAMMAR,
    ROOT,
    RunningHub,
    eventually,
    plc_totals,
    recorded_totals,
    running,
    uns,
    uns_json,
)

pytestmark = pytest.mark.e2e
LINES = (
    "acme/berlin/machining/housing",
    "acme/berlin/assembly/pump",
    "acme/berlin/assembly/packing",
)
DURATION_S = 60
LOOK_AT_S = 45


@dataclass
class Seen:
    """What was seen of one demo."""

    data: Path
    first_oee_s: float
    c_client: dict[str, str]
    node_client: dict[str, str]
    live: dict[str, Any]
    memory_bytes: int
    cpu_share: float
    summary: dict[str, Any]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    data = tmp_path_factory.mktemp("demo") / "data"
    with running(data, "--duration", str(DURATION_S)) as hub:
        eventually(lambda: all(_has_oee(hub, line) for line in LINES), 15, "OEE of every line")
        first_oee_s = time.monotonic() - hub.started_s
        time.sleep(max(0.0, hub.started_s + LOOK_AT_S - time.monotonic()))
        c_client, node_client = hub.retained("acme/#", 3), _over_websocket(hub)
        live = {
            "tree": uns_json("tree", data=data),
            "oee": uns_json("oee", data=data),
            "doctor": uns_json("doctor", data=data),
            "tags": uns_json("history", f"{LINES[0]}/mill/_tag/bore", data=data),
        }
        memory, cpu = _load(hub)
        summary = hub.finish()
    yield Seen(data, first_oee_s, c_client, node_client, live, memory, cpu, summary)
    shutil.rmtree(data)


def _has_oee(hub: RunningHub, line: str) -> bool:
    return "sums" in hub.document(f"{line}/_state/oee")


def _over_websocket(hub: RunningHub) -> dict[str, str]:
    connection = hub.connection
    command = [
        "node",
        str(ROOT / "tests/e2e/retained.mjs"),
        f"ws://127.0.0.1:{connection['ws_port']}",
    ]
    command += [connection["username"], connection["password"], "acme/#", "800"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    found: dict[str, str] = json.loads(answer.stdout)
    return found


def _load(hub: RunningHub) -> tuple[int, float]:
    processes = hub.tree_of_processes()
    before = {p: p.cpu_times() for p in processes}
    start_s = time.monotonic()
    time.sleep(5)
    spent, memory = 0.0, 0
    for process, times in before.items():
        try:
            now = process.cpu_times()
            memory += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
        spent += now.user + now.system - times.user - times.system
    return memory, spent / (time.monotonic() - start_s)


def test_the_first_live_oee_of_every_line_comes_within_15_s(seen: Seen) -> None:
    assert seen.first_oee_s <= 15


def test_an_order_completes_and_samples_fail(seen: Seen) -> None:
    assert seen.summary["orders"]["completed"] >= 1
    assert seen.summary["verdicts"]["fail"] >= 1
    assert seen.summary["verdicts"]["pass"] > seen.summary["verdicts"]["fail"]
    assert seen.summary["edges"] > 0


def test_nothing_is_rejected_and_nothing_is_missing(seen: Seen) -> None:
    assert (seen.summary["rejects"], seen.summary["gaps"]) == (0, 0)


def test_all_protocols_are_alive(seen: Seen) -> None:
    sources = seen.summary["sources"]
    protocols = {s["protocol"] for s in sources.values()}
    assert protocols == {"opcua", "modbus", "sparkplug", "erp", "desk"}
    assert all(source["connected"] for source in sources.values())
    assert sum(source["tags"] for source in sources.values()) == 87


def test_published_sums_reproduce_oee_to_the_digit(seen: Seen) -> None:
    assert set(seen.summary["oee"]) == set(LINES)
    for figures in (*seen.summary["oee"].values(), *seen.live["oee"].values()):
        sums = figures["sums"]
        availability = sums["apt_ms"] / sums["pbt_ms"]
        effectiveness = sums["ideal_ms"] / sums["apt_ms"]
        quality = sums["gq"] / sums["pq"]
        assert figures["availability"] == availability
        assert figures["effectiveness"] == effectiveness
        assert figures["quality_ratio"] == quality
        assert figures["oee"] == availability * effectiveness * quality


def test_totals_agree_with_the_logs_of_the_plcs(seen: Seen) -> None:
    logged = plc_totals(seen.data)
    assert len(logged) == 7
    assert recorded_totals(seen.data) == logged


def test_order_documents_agree_with_the_events(seen: Seen) -> None:
    sql = (
        "select payload->>'order_id' as order_id, path, sum((payload->>'good')::int) as good "
        "from events where type = 'counted' group by 1, 2"
    )
    made = {
        (row["order_id"], row["path"]): int(row["good"])
        for row in uns_json("query", sql, data=seen.data)
    }
    last = {"housing": "wash", "pump": "test", "packing": "pack"}
    orders = uns_json("query", "select order_id, line, good from orders", data=seen.data)
    assert orders
    for order in orders:
        cell = f"{order['line']}/{last[order['line'].rpartition('/')[2]]}"
        assert int(order["good"]) == made.get((order["order_id"], cell), 0), order


def test_every_topic_obeys_the_grammar_and_tags_are_small(seen: Seen) -> None:
    assert len(seen.c_client) > 100
    for topic, payload in seen.c_client.items():
        assert GRAMMAR.fullmatch(topic), topic
        if "/_tag/" in topic:
            assert len(payload.encode()) <= 150, topic
        if "/_state/" in topic:
            assert len(payload.encode()) <= 5_000, topic
            assert next(iter(json.loads(payload))) == "summary", topic


def test_a_c_client_and_a_websocket_client_see_the_same_tree(seen: Seen) -> None:
    tags = {topic for topic in seen.c_client if "/_tag/" in topic}
    assert len(tags) == 87
    assert tags == {topic for topic in seen.node_client if "/_tag/" in topic}
    assert tags == {topic for topic in seen.live["tree"] if "/_tag/" in topic}
    stable = {t for t in seen.c_client if "/_meta/" in t or t.endswith("/_state/oee")}
    assert stable == {t for t in seen.node_client if "/_meta/" in t or t.endswith("/_state/oee")}


def test_the_tree_describes_itself(seen: Seen) -> None:
    node = json.loads(seen.c_client[f"{LINES[0]}/mill/_meta/node"])
    assert node["tags"]["bore"]["unit"] == "mm"
    assert json.loads(seen.c_client["acme/_meta/schema/counted"])["schema"]["title"] == "Counted"


def test_trace_goes_both_ways_for_a_produced_lot(seen: Seen) -> None:
    sql = (
        "select e.output_id as lot from genealogy_edges e "
        "join genealogy_edges f on f.input_id = e.output_id limit 1"
    )
    (row,) = uns_json("query", sql, data=seen.data)
    found = uns_json("trace", row["lot"], data=seen.data)
    assert found["contents_of"]
    assert found["where_used"]
    assert row["lot"] in uns("trace", row["lot"], data=seen.data)


def test_history_is_there_while_it_runs_and_after_it_stopped(seen: Seen) -> None:
    assert seen.live["tags"]
    after = uns_json("history", f"{LINES[0]}/mill/_tag/bore", "--from", "1h", data=seen.data)
    assert len(after) >= len(seen.live["tags"])


@pytest.mark.parametrize(
    "command", [("tree",), ("watch", "acme/#"), ("oee",), ("query", "select * from orders")]
)
def test_a_stopped_hub_still_answers(seen: Seen, command: tuple[str, ...]) -> None:
    assert uns(*command, data=seen.data).strip()
    for line in uns(*command, "--json", data=seen.data).splitlines():
        json.loads(line)


def test_the_whole_demo_is_small(seen: Seen) -> None:
    assert seen.memory_bytes <= 700_000_000
    assert seen.cpu_share <= 1.0


def test_secrets_are_for_the_owner_only(seen: Seen) -> None:
    for name in ("connection.json", "passwords.json"):
        assert stat.S_IMODE((seen.data / name).stat().st_mode) == 0o600


def test_doctor_finds_nothing_wrong(seen: Seen) -> None:
    assert {finding["status"] for finding in seen.live["doctor"]} == {"ok"}


def _readme_commands() -> list[str]:
    """The commands of README that only read."""
    text = (ROOT / "README.md").read_text()
    blocks = text.split("```sh\n")[1:]
    lines = [line for block in blocks for line in block.split("```")[0].splitlines()]
    reading = ("tree", "watch", "oee", "history", "query", "check", "last", "timeline", "downtime")
    return [line for line in lines if line.startswith(tuple(f"uns {word} " for word in reading))]


@pytest.mark.parametrize("line", _readme_commands())
def test_the_commands_of_the_readme_run(seen: Seen, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    data = None if words[0] == "check" else seen.data
    assert uns(*words, data=data).strip()
