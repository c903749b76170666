"""Commands to write through a real broker: what reaches the client, what is answered."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import RunningBroker, bounded, unique, until
from uns.codec import Codec
from uns.model.observation import Link, Observation, Reading, SetPoint, Written
from uns.model.plant import Plant
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Message
from uns.mqtt.paho_setup import V5
from uns.runtime.bridge import WRITES_KEY, BridgeRunner, BridgeWiring, WriteBack
from uns.runtime.errors import OutboxFull
from uns.runtime.gate import Gate
from uns.runtime.outbox import Outbox

CELL = "acme/berlin/machining/housing/mill"
COMMAND = f"{CELL}/_cmd/write/speed"
NAME = "plc"
Batch = list[Observation]


def plant_with_set_point(plant: Plant) -> Plant:
    document = plant.model_dump(mode="json")
    mill = document["sites"]["berlin"]["areas"]["machining"]["lines"]["housing"]["cells"]["mill"]
    writable = {"minimum": 0, "maximum": 100, "interval_ms_min": 0, "write_timeout_ms": 500}
    mill["tags"] = {"speed": {"source": {"node": "s=Speed"}, "writable": writable}}
    return Plant.model_validate(document)


class Rig:
    """A bridge whose client is this test, and an operator."""

    def __init__(self, broker: RunningBroker, folder: Path) -> None:
        self.broker, self.outbox = broker, Outbox(folder / "outbox.sqlite")
        self.plant = plant_with_set_point(broker.plant)
        self.client = MqttClient(broker.address(), unique("operator"), clean_session=True)
        self.seen: list[Message] = []
        self.batches: asyncio.Queue[Batch] = asyncio.Queue()
        self.set_points: asyncio.Queue[SetPoint] = asyncio.Queue()
        self.task: asyncio.Task[None] | None = None
        self.ready = asyncio.Event()

    def start(self) -> None:
        self.ready.clear()
        self.batches = asyncio.Queue()
        self.task = asyncio.create_task(self._run())
        self.batches.put_nowait(
            [Link("plc:1", ((CELL, "speed"),), up=True, at_ms=1), Reading(CELL, "speed", 10.0, 1)]
        )

    async def _observe(self) -> AsyncIterator[Batch]:
        while True:
            yield await self.batches.get()
            self.ready.set()

    async def _run(self) -> None:
        places = self.plant.served_by(NAME)
        address, seen = self.broker.address(), lambda: 5_000
        gate = Gate(places, Codec(self.plant), seen, self.outbox.recall(WRITES_KEY))
        self.set_points = gate.set_points
        commands = MqttClient(
            address, f"bridge-{NAME}-write", clean_session=True, protocol=V5,
            retain_as_published=True,
        )  # fmt: skip
        client = MqttClient(address, f"bridge-{NAME}")
        wiring = BridgeWiring(
            name=NAME, protocol="opcua", plant=self.plant, places=places, home=CELL,
            outbox=self.outbox, client=client, clock=seen, write_back=WriteBack(gate, commands),
        )  # fmt: skip
        async with client, commands:
            await BridgeRunner(wiring).run(self._observe())

    async def stop(self) -> None:
        assert self.task
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def heard(self) -> None:
        """The bridge listens when it answers."""
        await self.ready.wait()
        for n in range(100):
            await self.ask(f"ping-{n}", -1)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await until(partial(self.is_answered, f"ping-{n}"))
                    return
        raise AssertionError("the bridge does not listen")

    async def ask(self, request_id: str, value: Any, *, retain: bool = False, **extra: Any) -> None:
        command = {"request_id": request_id, "value": value, **extra}
        await self.client.publish(COMMAND, json.dumps(command).encode(), retain=retain)

    async def look(self) -> None:
        async for batch in self.client.batches():
            self.seen += batch
            self.client.ack(batch)

    def replies(self, request_id: str) -> list[dict[str, Any]]:
        topic = f"{CELL}/_event/reply/{request_id}"
        found = {m.payload: json.loads(m.payload) for m in self.seen if m.topic == topic}
        return list(found.values())

    def is_answered(self, request_id: str) -> bool:
        return bool(self.replies(request_id))

    def reply(self, request_id: str) -> dict[str, Any]:
        return (self.replies(request_id) or [{}])[-1]

    async def device_writes(self) -> SetPoint:
        set_point = await self.set_points.get()
        said = Written(set_point.request_id, CELL, set_point.tag, 5, set_point.value)
        await self.batches.put([said])
        return set_point


@pytest.fixture
async def rig(mosquitto: RunningBroker, tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(mosquitto, tmp_path)
    async with rig.client:
        await rig.client.subscribe(["acme/#"])
        looking = asyncio.create_task(rig.look())
        rig.start()
        await rig.heard()
        yield rig
        if rig.task and not rig.task.done():
            await rig.stop()
        looking.cancel()


@bounded
async def test_a_command_is_written_and_answered_and_its_duplicate_is_only_answered(
    rig: Rig,
) -> None:
    await rig.ask("r1", 42.0)
    assert await rig.device_writes() == SetPoint("r1", CELL, "speed", 42.0)
    await until(lambda: rig.reply("r1").get("outcome") == "accepted")
    await rig.ask("r1", 42.0)
    await until(lambda: len(rig.replies("r1")) == 2)
    assert rig.set_points.empty()


@bounded
async def test_a_command_that_is_retained_or_expired_is_refused(rig: Rig) -> None:
    await rig.ask("kept", 42.0, retain=True)
    await until(lambda: rig.is_answered("kept"))
    assert rig.reply("kept")["reason"] == "commands are refused when retained"
    await rig.ask("late", 42.0, expires_at_ms=4_999)
    await until(lambda: rig.is_answered("late"))
    assert rig.reply("late")["reason"] == "it came 1 ms after it had expired"
    assert rig.set_points.empty()


@bounded
async def test_a_command_given_while_the_bridge_was_away_is_never_followed(rig: Rig) -> None:
    await rig.stop()
    await rig.ask("old", 42.0)
    rig.start()
    await rig.heard()
    assert rig.set_points.empty()
    assert rig.replies("old") == []


@bounded
async def test_a_device_that_does_not_answer_is_told_in_time(rig: Rig) -> None:
    await rig.ask("r1", 42.0)
    await rig.set_points.get()
    await until(lambda: "no answer in time" in rig.reply("r1").get("reason", ""))


@bounded
async def test_a_restart_in_the_middle_is_told_and_nothing_is_written_twice(rig: Rig) -> None:
    await rig.ask("r1", 42.0)
    await rig.set_points.get()
    await rig.stop()
    rig.start()
    await until(lambda: "the bridge was restarted" in rig.reply("r1").get("reason", ""))
    await rig.heard()
    await rig.ask("r1", 42.0)
    await until(lambda: len(rig.replies("r1")) == 2)
    assert rig.set_points.empty()


@bounded
async def test_what_cannot_be_recorded_is_not_written(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, refused = rig.outbox.append, asyncio.Event()

    def full(*_: Any) -> None:
        refused.set()
        raise OutboxFull("outbox: full")

    monkeypatch.setattr(rig.outbox, "append", full)
    await rig.ask("r1", 42.0)
    await refused.wait()
    monkeypatch.setattr(rig.outbox, "append", append)
    await rig.ask("r2", 43.0)
    assert (await rig.device_writes()).request_id == "r2"
    await until(lambda: rig.reply("r2").get("outcome") == "accepted")
    assert rig.replies("r1") == []
