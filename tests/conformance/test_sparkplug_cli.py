"""`uns sparkplug`: the four commands on a real mosquitto."""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridges.sparkplug.births import BirthFolder
from tests.brokers import RunningBroker, bounded, unique
from tests.terminal import UNS, Cli
from uns.cli.sparkplug_view import Network, place_of
from uns.mqtt.client import MqttClient
from uns.sparkplug import state
from uns.sparkplug.datatype import DataType
from uns.sparkplug.edge import Change, EdgeNode
from uns.sparkplug.errors import DecodeError, TopicError
from uns.sparkplug.host import rebirth_command
from uns.sparkplug.outputs import KeepBirth
from uns.sparkplug.payload import encode
from uns.sparkplug.spectator import Seen, Spectator
from uns.sparkplug.values import Metric, Payload

AT_MS = 1_765_432_100_123
LEVEL = Metric("level", -3, DataType.INT16)
DEADLINE_S = 20


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def uns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


def url(broker: RunningBroker) -> str:
    where = broker.address()
    return f"mqtt://{where.username}:{where.password}@{where.host}:{where.port}"


class Running:
    """A command in a process of its own: orders in, JSON lines out."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def order(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def until(self, **wanted: Any) -> dict[str, Any]:
        """The first event with these details."""
        assert self.process.stdout
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            if wanted.items() <= event.items():
                return event
        raise AssertionError(wanted)

    def end(self) -> int:
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait(DEADLINE_S)


@contextmanager
def running(*arguments: str) -> Iterator[Running]:
    with subprocess.Popen(
        [UNS, "sparkplug", *arguments, "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def test_the_two_profiles_meet_on_a_broker(mosquitto: RunningBroker) -> None:
    where = url(mosquitto)
    edge_options = ("--group", "g", "--node", "e", "--device", "d", "--primary-host", "h")
    with (
        running("host", "--host-id", "h", "--server", where, "--wait") as host,
        running("edge", *edge_options, "--server", where, "--mqtt", "5") as edge,
    ):
        edge.until(event="connected", bd_seq=0)
        host.order("on")
        edge.until(event="primary host", online=True)
        host.until(event="value", place="g/e/d", metric="Set Point", value=-5)
        host.order("write g/e/d -6 Set Point")
        edge.until(event="written", metric="Set Point", value=-6)
        host.until(event="value", place="g/e/d", metric="Set Point", value=-6)
        edge.order("death d")
        host.until(event="stale", place="g/e/d")
        host.order("off")
        edge.until(event="primary host", online=False)
        edge.until(event="connected", bd_seq=1)
        assert (host.end(), edge.end()) == (0, 0)


async def speak(broker: RunningBroker) -> None:
    """An edge node that is born, tells, and one of whom only data is heard."""
    node, stranger = EdgeNode("g", "e", 3), EdgeNode("g", "stranger", 0)
    stranger.node_birth([LEVEL], AT_MS)
    said = [
        node.node_birth([LEVEL], AT_MS),
        node.device_birth("d", [LEVEL], AT_MS),
        node.data([Change("level", -4, AT_MS + 1)], AT_MS + 1, "d"),
        stranger.data([Change("level", -4, AT_MS)], AT_MS),
        rebirth_command("g", "stranger", AT_MS),
    ]
    async with MqttClient(broker.address(), unique("edge"), clean_session=True) as client:
        for message in said:
            await client.publish(message.topic, message.payload)


async def start(broker: RunningBroker, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(str(UNS), "sparkplug", *arguments, "--server", url(broker), "--json"),
        stdout=subprocess.PIPE,
    )


@bounded
async def test_watch_shows_messages_decoded_and_unknown_aliases(mosquitto: RunningBroker) -> None:
    async with MqttClient(mosquitto.address(), unique("h"), clean_session=True) as client:
        said = state.online("h", AT_MS)
        await client.publish(said.topic, said.payload, retain=True)
    process = await start(mosquitto, "watch", "--count", "6")
    assert process.stdout
    first = json.loads(await process.stdout.readline())
    assert first == {
        "topic": "spBv1.0/STATE/h",
        "retained": True,
        "online": True,
        "timestamp_ms": AT_MS,
    }
    await speak(mosquitto)
    told = [json.loads(line) async for line in process.stdout]
    assert await process.wait() == 0
    assert [each["topic"].split("/", 2)[2] for each in told] == [
        "NBIRTH/e",
        "DBIRTH/e/d",
        "DDATA/e/d",
        "NDATA/stranger",
        "NCMD/stranger",
    ]
    assert told[2]["metrics"] == [
        {"name": "level", "value": -4, "type": "INT16", "timestamp_ms": AT_MS + 1}
    ]
    assert [metric["name"] for metric in told[3]["metrics"]] == ["#1"]
    assert told[4]["metrics"][0]["value"] is True


@bounded
async def test_nodes_shows_who_is_there_and_who_is_not_known(mosquitto: RunningBroker) -> None:
    process = await start(mosquitto, "nodes", "--duration", "2")
    ended = asyncio.create_task(process.communicate())
    while not ended.done():
        await speak(mosquitto)
        await asyncio.wait({ended}, timeout=0.2)
    out, _ = ended.result()
    known, stranger = json.loads(out)["nodes"]
    assert (known["node"], known["state"], known["bd_seq"]) == ("g/e", "online", 3)
    assert (known["devices"], known["metrics"], known["gaps"]) == ("d", 4, 0)
    assert known["last_birth"].endswith("s ago")
    assert (stranger["node"], stranger["state"]) == ("g/stranger", "awaiting")
    assert stranger["rebirths"] > 0
    assert stranger["last_birth"] is None


def test_births_that_the_hub_kept_name_the_metrics(
    mosquitto: RunningBroker, tmp_path: Path
) -> None:
    node = EdgeNode("g", "e", 3)
    birth = node.node_birth([LEVEL], wall_ms())
    BirthFolder(tmp_path / "births" / "packer").keep(KeepBirth(birth.topic, birth.payload))
    where = mosquitto.address()
    connection = {"host": where.host, "port": where.port}
    (tmp_path / "connection.json").write_text(json.dumps(connection))
    passwords = {"operator": mosquitto.address("operator").password}
    (tmp_path / "passwords.json").write_text(json.dumps(passwords))
    place = place_of(None, tmp_path)
    spectator, network = Spectator(), Network()
    for kept in place.kept:
        spectator.see(kept.topic, kept.raw)
        network.take(kept.topic, kept.raw, retained=True)
    (row,) = network.rows(wall_ms())
    assert (row["state"], row["metrics"]) == ("offline", 3)
    data = node.data([Change("level", 5, wall_ms())], wall_ms())
    network.take(data.topic, data.payload, retained=False)
    (row,) = network.rows(wall_ms())
    assert (row["state"], row["bd_seq"]) == ("online", 3)
    seen = spectator.see(data.topic, data.payload)
    assert isinstance(seen, Seen)
    assert [(metric.name, metric.value) for metric in seen.metrics] == [("level", 5)]


def test_nobody_there_is_an_empty_table(uns: Cli, mosquitto: RunningBroker) -> None:
    answer = uns("sparkplug", "nodes", "--duration", "1", "--server", url(mosquitto))
    assert answer.code == 0
    assert "no edge node in 1 s" in answer.err


def test_a_spectator_says_what_cannot_be_read() -> None:
    spectator = Spectator()
    assert isinstance(spectator.see("acme/x", b""), TopicError)
    assert isinstance(spectator.see("spBv1.0/g/NDATA/e", b"\xff"), DecodeError)
    assert isinstance(spectator.see("spBv1.0/STATE/h", b"ONLINE"), DecodeError)
    wrong = encode(Payload((Metric("level", "text", DataType.STRING),)))
    spectator.see("spBv1.0/g/NBIRTH/e", encode(Payload((LEVEL,), AT_MS, 0)))
    seen = spectator.see("spBv1.0/g/NDATA/e", wrong)
    assert isinstance(seen, Seen)
    assert [(metric.name, metric.value, metric.datatype) for metric in seen.metrics] == [
        ("level", "text", None)
    ]
