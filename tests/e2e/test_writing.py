"""Values written through a running hub: each protocol, the answer, the record, the refusals."""

import json
import subprocess
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.e2e.hub import UNS, RunningHub, eventually, running, uns_json

pytestmark = pytest.mark.e2e
WASH = "acme/berlin/machining/housing/wash"
BATH = f"{WASH}/_tag/bath-temperature"
TORQUE = "acme/berlin/assembly/pump/fit/_tag/torque-setpoint"
GLUE = "acme/berlin/assembly/packing/pack/_tag/glue-temperature"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running(tmp_path_factory.mktemp("writing") / "data") as hub:
        for topic in (BATH, TORQUE, GLUE):
            eventually(partial(_is_good, hub, topic), 30, f"a good {topic}")
        yield hub


def _is_good(hub: RunningHub, topic: str) -> bool:
    return bool(hub.document(topic).get("quality") == "good")


def _tag(hub: RunningHub, topic: str) -> dict[str, Any]:
    return hub.document(topic)


def _write(hub: RunningHub, topic: str, value: str) -> tuple[int, dict[str, Any]]:
    command = [str(UNS), "write", topic, value, "--json", "--data", str(hub.data)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return answer.returncode, json.loads(answer.stdout or "{}") or {"stderr": answer.stderr}


def _replies(hub: RunningHub, cell: str, request_id: str) -> list[dict[str, Any]]:
    sql = f"select payload from events where topic = '{cell}/_event/reply/{request_id}'"  # noqa: S608 - our own topic
    return [row["payload"] for row in uns_json("query", sql, data=hub.data)]


@pytest.mark.parametrize(("topic", "value"), [(BATH, 58.5), (TORQUE, 9.25), (GLUE, 71.5)])
def test_a_written_value_is_in_the_device_and_on_record(
    hub: RunningHub, topic: str, value: float
) -> None:
    def accepted() -> bool:
        code, reply = _write(hub, topic, str(value))
        assert code == 0 or "interlock" in reply["reason"], reply
        return code == 0

    eventually(accepted, 20, "a write while the interlock holds")
    eventually(lambda: _tag(hub, topic).get("value") == value, 5, f"{topic} = {value}")
    assert _tag(hub, topic)["quality"] == "good"
    cell, _, tag = topic.partition("/_tag/")
    sql = (
        f"select payload from events where type = 'write-attempted' and path = '{cell}' "  # noqa: S608 - ours
        "and payload->>'outcome' = 'accepted'"
    )
    (row,) = eventually(lambda: uns_json("query", sql, data=hub.data), 10, "the audit")
    written = row["payload"]
    assert (written["tag"], written["new_value"], written["actor"]) == (tag, value, "operator")
    assert written["old_value"] != value


def test_a_value_out_of_range_is_refused_in_words(hub: RunningHub) -> None:
    code, reply = _write(hub, TORQUE, "-5")
    assert (code, reply["outcome"]) == (1, "refused")
    assert reply["reason"] == "-5 is outside 9 to 11 Nm"
    assert _tag(hub, TORQUE)["value"] > 9


def test_a_tag_without_bounds_is_never_written(hub: RunningHub) -> None:
    code, reply = _write(hub, f"{WASH}/_tag/good", "1")
    assert code == 1
    assert "good is not writable" in reply["reason"]


def test_a_retained_command_is_refused_also_while_it_is_new(hub: RunningHub) -> None:
    topic = f"{WASH}/_cmd/write/bath-temperature"
    command = {"request_id": "retained-write", "value": 44.0}
    hub.publish("operator", topic, json.dumps(command).encode(), "-r")
    try:
        (reply,) = eventually(lambda: _replies(hub, WASH, "retained-write"), 10, "the answer")
        assert reply["outcome"] == "refused"
        assert reply["reason"] == "commands are refused when retained"
        assert _tag(hub, BATH)["value"] != 44.0
    finally:
        hub.publish("operator", topic, b"", "-r")


def test_a_misspelt_place_is_named_and_stops_nobody(hub: RunningHub) -> None:
    code, reply = _write(hub, f"{WASH}h/_tag/bath-temperature", "50")
    assert code == 2
    assert f"no cell {WASH}h (did you mean '{WASH}'?)" in reply["stderr"]
    code, reply = _write(hub, f"{WASH}/_tag/bath-temperatur", "50")
    assert code == 2
    assert "did you mean 'bath-temperature'?" in reply["stderr"]
    lost = json.dumps({"request_id": "nowhere", "value": 50}).encode()
    hub.publish("operator", f"{WASH}h/_cmd/write/bath-temperature", lost)
    late = json.dumps({"request_id": "after-nowhere", "value": 44.0}).encode()
    hub.publish("operator", f"{WASH}/_cmd/write/good", late)
    eventually(lambda: _replies(hub, WASH, "after-nowhere"), 10, "an answer that is on record")
