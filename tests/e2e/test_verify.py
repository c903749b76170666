"""`uns verify` on a real demo: equal while it runs, after a forgery not, after every end again."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.hub import RunningHub, eventually, running, uns, uns_json
from uns.runtime.shown import RECORD_EVERY_S

pytestmark = pytest.mark.e2e
PUMP = "acme/berlin/assembly/pump"
QUALITY = f"{PUMP}/test/_state/quality"
RESUME = f"{PUMP}/_hub/processor/quality"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A demo whose machines have made a few pieces and stand still now."""
    data = tmp_path_factory.mktemp("verify") / "data"
    with running(data, "--speed", "4") as demo:
        eventually(lambda: judged(demo) >= 3, 60, "three samples at the test cell")
        assert uns_json("verify", data=data)["equal"]
        plant = demo.child("plant")
        assert plant
        plant.send_signal(signal.SIGUSR2)
        quiet = Quiet(demo)
        eventually(quiet.is_so, 60, "quiet")
        yield demo


def judged(hub: RunningHub) -> int:
    return sum(hub.document(QUALITY).get("total", {}).values())


class Quiet:
    """Nothing was committed for longer than a document waits for its last revision."""

    def __init__(self, hub: RunningHub) -> None:
        self._hub = hub
        self._seen: list[Any] = []
        self._since_s = 0.0

    def is_so(self) -> bool:
        seen = [self._hub.document(topic).get("rev") for topic in (RESUME, QUALITY)]
        if seen != self._seen:
            self._seen, self._since_s = seen, time.monotonic()
        return time.monotonic() - self._since_s > 1.5 * RECORD_EVERY_S


def raw(hub: RunningHub, topic: str) -> bytes:
    return hub.retained(topic)[topic].encode()


def named(hub: RunningHub) -> dict[str, dict[str, Any]]:
    """What `uns verify` finds, by topic."""
    report = json.loads(uns("verify", "--line", "pump", "--json", data=hub.data, code=1))
    return {one["topic"]: one for part in report["parts"] for one in part["differences"]}


def test_a_changed_byte_of_a_document_is_named_with_its_field(hub: RunningHub) -> None:
    right = raw(hub, QUALITY)
    count = json.loads(right)["total"]["pass"]
    wrong = right.replace(f'"total":{{"pass":{count}'.encode(), b'"total":{"pass":%d' % (count ^ 1))
    hub.publish("processor", QUALITY, wrong, "-r")
    found = named(hub)
    assert list(found) == [QUALITY]
    field = {"field": "total.pass", "found": count ^ 1, "recomputed": count}
    assert found[QUALITY]["fields"] == [field]
    assert "somebody else wrote it" in found[QUALITY]["why"]
    hub.publish("processor", QUALITY, right, "-r")
    assert uns_json("verify", data=hub.data)["equal"]


def test_a_changed_byte_of_a_resume_document_is_named(hub: RunningHub) -> None:
    right = raw(hub, RESUME)
    wrong = right.replace(b'"clearing":{', b'"clearinh":{')
    hub.publish("processor", RESUME, wrong, "-r")
    assert list(named(hub)) == [RESUME]
    hub.publish("processor", RESUME, right, "-r")
    assert uns_json("verify", data=hub.data)["equal"]


def test_replayed_events_change_nothing(hub: RunningHub) -> None:
    before = uns_json("query", "select count(*) as n from events", data=hub.data)
    said = uns_json("replay", "--from", "1h", data=hub.data)
    assert (said["events"], said["skipped"]) == (before[0]["n"], 0)
    assert uns_json("verify", data=hub.data)["equal"]
    assert uns_json("query", "select count(*) as n from events", data=hub.data) == before
    assert uns_json("gaps", data=hub.data) == []


def test_the_tree_of_then_and_what_changed_since(hub: RunningHub) -> None:
    now = uns_json("snapshot", f"{QUALITY}/#", data=hub.data)
    assert now[QUALITY]["total"] == hub.document(QUALITY)["total"]
    assert uns_json("snapshot", "--at", "2h", data=hub.data) == {}
    since = uns_json("diff", "2h", "now", f"{PUMP}/#", data=hub.data)
    assert QUALITY in since["added"]
    assert (since["removed"], since["changed"]) == ({}, {})


def test_a_record_left_by_a_kill_is_equal_and_so_is_the_hub_that_goes_on(hub: RunningHub) -> None:
    for process in reversed(hub.tree_of_processes()):
        process.kill()
    psutil.wait_procs([psutil.Process(hub.process.pid)], 10)
    hub.process.wait(10)
    assert uns_json("verify", data=hub.data)["equal"]
    again(hub.data)


def again(data: Path) -> None:
    with running(data, "--speed", "4") as demo:
        eventually(lambda: judged(demo) > 0, 60, "documents again")
        assert uns_json("verify", data=data)["equal"]
        demo.interrupt()
    assert uns_json("verify", data=data)["equal"]
