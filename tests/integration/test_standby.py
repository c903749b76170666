"""Two workers on the same lines, as processes: one runs them, the other is there when it is gone.

A real broker, a real historian, workers kept alive by the hub's own supervisor. The onlooker sees
every message in the broker's order, and so who wrote what, and when.
"""

import asyncio
import itertools
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from processors import PROCESSORS
from tests.brokers import RunningBroker, bounded, unique, until
from tests.e2e.hub import UNS
from uns.cli.folder import Folder, write_connection
from uns.cli.store import store_location
from uns.codec import encode_document, encode_event
from uns.fold import Draft
from uns.mqtt.client import MqttClient
from uns.runtime.clock import start_clock
from uns.runtime.supervisor import ChildSpec, Supervisor

TAKEOVER_S_MAX: Final = 5.0
FIRST: Final = "worker-1"
SECOND: Final = "standby"
ROLES: Final = {FIRST: "worker", SECOND: "standby"}
BOTH: Final = {"active", "standby"}
SOURCE_EPOCH: Final = 7


class Seen(NamedTuple):
    """A message as the onlooker got it."""

    topic: str
    document: dict[str, Any]


class Rig:
    """A hub's data folder, broker and historian; workers as the test starts them."""

    def __init__(self, broker: RunningBroker, root: Path) -> None:
        self.broker, self.plant = broker, broker.plant
        self.lines = tuple(self.plant.lines)
        self.folder = Folder(root)
        self.supervisor = Supervisor(self.folder.logs)
        self.seen: list[Seen] = []
        self._seqs: Iterator[int] = itertools.count(1)
        self._write_folder()

    def _write_folder(self) -> None:
        start_clock(self.folder.root, 1.0)
        self.folder.plant.write_text(self.plant.model_dump_json())
        shutil.copy(self.broker.folder / "secrets.json", self.folder.passwords)
        document = {"host": "127.0.0.1", "port": self.broker.port, "mqtt_5": True}
        store = {"store": store_location(self.folder.root)}
        write_connection(self.folder, document | store)

    async def start(self, *names: str) -> None:
        for name in names:
            await self._start(name, ROLES[name], *self.lines)

    async def _start(self, name: str, role: str, *arguments: str) -> None:
        argv = [sys.executable, "-m", "uns.cli.child", str(self.folder.root), name, role]
        await self.supervisor.start(ChildSpec(name, [*argv, *arguments]))

    def signal(self, name: str, number: signal.Signals) -> None:
        pid = self.supervisor.children[name].pid
        assert pid
        os.kill(pid, number)

    def restarts(self, name: str) -> int:
        return self.supervisor.children[name].restarts

    async def look(self, client: MqttClient) -> None:
        async for batch in client.batches():
            for message in batch:
                document = json.loads(message.payload) if message.payload else {}
                self.seen.append(Seen(message.topic, document))
            client.ack(batch)

    async def count(self, line: str, pieces: int, client: MqttClient) -> None:
        """A bridge says that pieces were made on the line's bottleneck."""
        place = self.plant.lines[line][0]
        source = f"{place.line.bridge}:{line.replace('/', '.')}"
        body = {"good": 1, "scrap": 0, "rework": 0, "order_id": None, "item": None}
        for _ in range(pieces):
            draft = Draft(place.path, "counted", time.time_ns() // 1_000_000, body)
            payload = encode_event(draft, source, SOURCE_EPOCH, next(self._seqs))
            await client.publish(draft.topic, payload)

    def newest(self, topic: str) -> dict[str, Any]:
        return next((s.document for s in reversed(self.seen) if s.topic == topic), {})

    def health(self, name: str) -> dict[str, Any]:
        return self.newest(f"{self.plant.enterprise}/_hub/worker/{name}")

    def runs_all(self, name: str) -> bool:
        """Whether a worker's claims are the newest and its resume documents stand."""
        return all(
            self.newest(f"{topic}/claim").get("by") == name
            and self.newest(topic).get("owner_epoch")
            == self.newest(f"{topic}/claim")["owner_epoch"]
            for topic in self.resume_topics()
        )

    def resume_topics(self) -> list[str]:
        return [f"{line}/_hub/processor/{name}" for line in self.lines for name in PROCESSORS]

    def owner_epochs(self) -> set[int]:
        return {self.newest(topic).get("owner_epoch", 0) for topic in self.resume_topics()}

    def good(self, line: str) -> int:
        return int(self.newest(f"{line}/_state/oee").get("sums", {}).get("gq", -1))

    def is_of_owner(self, seen: Seen, owner_epoch: int) -> bool:
        """Whether a message comes from a processor of this owner."""
        topic, document = seen
        if "/_event/" in topic and document["source"].startswith("processor:"):
            return bool(document["epoch"] < self.newest_output_epoch(document["source"]))
        return document.get("owner_epoch") == owner_epoch

    def newest_output_epoch(self, source: str) -> int:
        """The epoch of a processor's own source with its newest owner."""
        _, processor, line = source.split(":")
        resume = self.newest(f"{line.replace('.', '/')}/_hub/processor/{processor}")
        return int(resume["output_epoch"])

    def claims(self) -> int:
        return sum(seen.topic.endswith("/claim") for seen in self.seen)

    def log(self, name: str) -> str:
        return (self.folder.logs / f"{name}.log").read_text()


@pytest.fixture
async def rig(mosquitto: RunningBroker, tmp_path: Path) -> AsyncIterator[Rig]:
    root = tmp_path / "data"
    root.mkdir()
    rig = Rig(mosquitto, root)
    onlooker = MqttClient(mosquitto.address(), unique("onlooker"), clean_session=True)
    async with onlooker:
        await onlooker.subscribe([f"{rig.plant.enterprise}/#"])
        looking = asyncio.create_task(rig.look(onlooker))
        await rig._start("historian", "historian")
        yield rig
        for name in rig.supervisor.children:
            rig.supervisor.signal(name, signal.SIGCONT)
        await rig.supervisor.stop(list(rig.supervisor.children))
        looking.cancel()


async def one_after_the_other(rig: Rig) -> None:
    await rig.start(FIRST)
    await until(lambda: rig.runs_all(FIRST))
    await rig.start(SECOND)
    await until(lambda: rig.health(SECOND).get("role") == "standby")


async def within_the_bound(condition: Callable[[], bool]) -> float:
    """Wait for a takeover; how long it took, in seconds."""
    since_s = time.monotonic()
    await asyncio.wait_for(until(condition), TAKEOVER_S_MAX)
    return time.monotonic() - since_s


@bounded
async def test_a_killed_owner_is_replaced_and_waits_in_line_when_it_is_back(rig: Rig) -> None:
    await one_after_the_other(rig)
    assert rig.health(FIRST)["role"] == "active"
    assert rig.owner_epochs() == {1}
    alive = len(rig.seen)
    rig.signal(FIRST, signal.SIGKILL)
    took_s = await within_the_bound(lambda: rig.runs_all(SECOND))
    print(f"\nkill -9: the standby runs all lines after {took_s:.1f} s")  # noqa: T201 - a figure for the reader
    assert "gone" in said_after(rig, alive, FIRST)
    assert said_after(rig, 0, SECOND) == ["standby", "active"]
    await until(lambda: rig.restarts(FIRST) == 1)
    await until(lambda: rig.health(FIRST).get("role") == "standby")
    assert rig.health(SECOND)["active"] == sorted(rig.lines)
    assert rig.owner_epochs() == {2}


@bounded
async def test_a_stopped_owner_is_replaced_and_writes_nothing_when_it_wakes(rig: Rig) -> None:
    await one_after_the_other(rig)
    line, source = rig.lines[0], MqttClient(rig.broker.address(), unique("plc"))
    async with source:
        await rig.count(line, 3, source)
        await until(lambda: rig.good(line) == 3)
        rig.signal(FIRST, signal.SIGSTOP)
        await rig.count(line, 4, source)
        took_s = await within_the_bound(lambda: rig.runs_all(SECOND))
        print(f"\nSIGSTOP: the standby runs all lines after {took_s:.1f} s")  # noqa: T201 - a figure for the reader
        await until(lambda: rig.good(line) == 7)
        pid, asleep = rig.supervisor.children[FIRST].pid, len(rig.seen)
        rig.signal(FIRST, signal.SIGCONT)
        await until(lambda: rig.supervisor.children[FIRST].pid != pid)
        await rig.count(line, 2, source)
        await until(lambda: rig.good(line) == 9)
    assert rig.supervisor.children[FIRST].ended == "exit code 1"
    assert [seen for seen in rig.seen[asleep:] if rig.is_of_owner(seen, 1)] == []
    assert "active" not in said_after(rig, asleep, FIRST)
    await until(lambda: rig.health(FIRST).get("role") == "standby")
    assert rig.owner_epochs() == {2}


def said_after(rig: Rig, start: int, name: str) -> list[str]:
    """The roles that a worker has said it has, one after the other."""
    topic = f"{rig.plant.enterprise}/_hub/worker/{name}"
    said = [seen.document for seen in rig.seen[start:] if seen.topic == topic]
    roles = ["gone" if document.get("gone") else document["role"] for document in said]
    return [role for role, _ in itertools.groupby(roles)]


@bounded
async def test_of_workers_started_at_once_one_runs_and_nothing_flaps(rig: Rig) -> None:
    await asyncio.gather(rig.start(FIRST), rig.start(SECOND))
    await until(lambda: rig.runs_all(FIRST) or rig.runs_all(SECOND))
    await until(lambda: {rig.health(FIRST).get("role"), rig.health(SECOND).get("role")} == BOTH)
    assert rig.owner_epochs() == {1}
    assert rig.claims() == len(rig.resume_topics())
    assert (rig.restarts(FIRST), rig.restarts(SECOND)) == (0, 0)


@pytest.mark.parametrize("strike", [RunningBroker.restart, RunningBroker.forget])
@bounded
async def test_a_broker_that_is_killed_changes_no_owner(
    rig: Rig, strike: Callable[[RunningBroker], None]
) -> None:
    await one_after_the_other(rig)
    line, source = rig.lines[0], MqttClient(rig.broker.address(), unique("plc"))
    async with source:
        await rig.count(line, 3, source)
        await until(lambda: rig.good(line) == 3)
        rig.seen.clear()
        strike(rig.broker)
        await until(lambda: rig.runs_all(FIRST))
        await until(lambda: rig.health(SECOND).get("role") == "standby")
        await rig.count(line, 2, source)
        await until(lambda: rig.good(line) == 5)
    assert rig.owner_epochs() == {1}
    assert (rig.restarts(FIRST), rig.restarts(SECOND)) == (0, 0)


@pytest.mark.parametrize("is_newer", [False, True])
@bounded
async def test_an_owner_whose_connection_is_taken_looks_before_it_comes_back(
    rig: Rig, *, is_newer: bool
) -> None:
    await rig.start(FIRST)
    await until(lambda: rig.runs_all(FIRST))
    topic, line = rig.resume_topics()[0], rig.lines[0]
    claimed = {"owner_epoch": 1 + is_newer, "nonce": "thief", "by": "thief"}
    client_id = f"processor.{topic.rpartition('/')[2]}.{line.replace('/', '.')}"
    rig.seen.clear()
    async with MqttClient(rig.broker.address(), client_id) as thief:
        if is_newer:
            await thief.publish(f"{topic}/claim", encode_document(claimed), retain=True)
        await thief.ready()
    await until(lambda: bool(rig.newest(topic)))
    assert rig.newest(topic)["owner_epoch"] == (3 if is_newer else 1)
    assert ("belongs to owner 2 now" in rig.log(FIRST)) is is_newer
    assert rig.restarts(FIRST) == is_newer


@bounded
async def test_the_command_runs_a_standby_that_ends_when_its_lines_are_taken(rig: Rig) -> None:
    name, line = "by-hand", rig.lines[0]
    command: list[str | Path] = [
        UNS,
        "worker",
        line.rpartition("/")[2],
        "--name",
        name,
        "--data",
        rig.folder.root,
    ]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    claimed = f"{line}/_hub/processor/{next(iter(PROCESSORS))}"
    await until(lambda: rig.newest(claimed).get("owner_epoch") == 1)
    assert rig.health(name)["active"] == [line]
    assert (rig.folder.root / "outbox" / name).is_dir()
    await rig.start(SECOND)
    await until(lambda: rig.health(SECOND).get("active") == sorted({*rig.lines} - {line}))
    process.send_signal(signal.SIGSTOP)
    await until(lambda: rig.runs_all(SECOND))
    process.send_signal(signal.SIGCONT)
    _, told = await process.communicate()
    assert process.returncode == 1
    assert f"{name} ends" in told.decode().splitlines()[-1]
    assert "Traceback" not in told.decode()
