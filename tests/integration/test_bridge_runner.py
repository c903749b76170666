"""The bridge runtime on a real broker: nothing forgotten, latest tags, honest about loss."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import RunningBroker, bounded, unique, until
from uns.model.observation import BadInput, Fact, Link, Observation, Reading
from uns.model.plant import Plant
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Message
from uns.runtime.bridge import BridgeRunner, BridgeWiring
from uns.runtime.outbox import Outbox

CELL = "acme/berlin/machining/housing/mill"
NAME = "plc"
Batch = list[Observation]


def plant_with_counter(plant: Plant) -> Plant:
    """The small plant, whose mill counts good pieces."""
    document = plant.model_dump(mode="json")
    mill = document["sites"]["berlin"]["areas"]["machining"]["lines"]["housing"]["cells"]["mill"]
    source = {"node": "s=Good"}
    mill["tags"] = {"good": {"role": "good_count", "rollover": 100, "source": source}}
    return Plant.model_validate(document)


class Rig:
    """A bridge that is fed by hand, and an onlooker."""

    def __init__(self, broker: RunningBroker, folder: Path) -> None:
        self.broker, self.folder = broker, folder
        self.plant = plant_with_counter(broker.plant)
        self.batches: asyncio.Queue[Batch] = asyncio.Queue()
        self.seen: list[Message] = []
        self.client = MqttClient(broker.address(), unique("onlooker"), clean_session=True)
        self.task: asyncio.Task[None] | None = None
        self.consumed = 0

    async def observe(self) -> AsyncIterator[Batch]:
        while True:
            yield await self.batches.get()
            self.consumed += 1

    def start(self) -> None:
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        client = MqttClient(self.broker.address(), f"bridge-{NAME}")
        wiring = BridgeWiring(
            name=NAME,
            protocol="opcua",
            plant=self.plant,
            places=self.plant.served_by(NAME),
            home="acme/berlin/machining/housing",
            outbox=Outbox(self.folder / "outbox.sqlite"),
            client=client,
            clock=lambda: 5_000,
        )
        async with client:
            await BridgeRunner(wiring).run(self.observe())

    async def stop(self) -> None:
        assert self.task
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def good(self, value: int, at_ms: int = 1_000) -> None:
        await self.batches.put([Reading(CELL, "good", value, at_ms)])

    async def look(self) -> None:
        async for batch in self.client.batches():
            self.seen += batch
            self.client.ack(batch)

    def payloads(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(m.payload) for m in self.seen if m.topic == topic]

    @property
    def counted(self) -> dict[str, int]:
        events = self.payloads(f"{CELL}/_event/counted")
        return {event["id"]: event["good"] for event in events}

    @property
    def tag(self) -> dict[str, Any]:
        return (self.payloads(f"{CELL}/_tag/good") or [{}])[-1]


@pytest.fixture
async def rig(mosquitto: RunningBroker, tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(mosquitto, tmp_path)
    async with rig.client:
        await rig.client.subscribe(["acme/#"])
        looking = asyncio.create_task(rig.look())
        rig.start()
        yield rig
        if rig.task and not rig.task.done():
            await rig.stop()
        looking.cancel()


@bounded
async def test_counters_become_events_and_tags(rig: Rig) -> None:
    for value in (97, 99, 2):
        await rig.good(value)
    await until(lambda: sum(rig.counted.values()) == 5)
    assert rig.tag == {"value": 2, "timestamp_ms": 1_000, "quality": "good"}


@bounded
async def test_pieces_made_while_the_bridge_was_dead_are_counted_once(rig: Rig) -> None:
    await rig.good(10)
    await rig.good(12)
    await until(lambda: sum(rig.counted.values()) == 2)
    await rig.stop()
    rig.start()
    await rig.good(17)
    await until(lambda: sum(rig.counted.values()) == 7)


@bounded
async def test_a_base_line_without_events_is_remembered_too(rig: Rig) -> None:
    await rig.good(10)
    await until(lambda: rig.tag.get("value") == 10 and rig.consumed == 1)
    await rig.stop()
    rig.start()
    await rig.good(13)
    await until(lambda: sum(rig.counted.values()) == 3)


@bounded
async def test_events_wait_for_the_broker_and_tags_keep_the_newest(rig: Rig) -> None:
    await rig.good(10)
    await until(lambda: rig.tag != {})
    rig.broker.kill()
    for value in range(11, 40):
        await rig.good(value)
    await until(lambda: rig.consumed == 30)
    rig.broker.forget()
    rig.broker.restart()
    await until(lambda: sum(rig.counted.values()) == 29)
    await until(lambda: rig.tag.get("value") == 39)


@bounded
async def test_a_lost_source_turns_tags_bad_and_says_why(rig: Rig) -> None:
    await rig.good(10)
    await rig.batches.put([Link("plc:1", (CELL,), up=False, at_ms=2_000, reason="cable cut")])
    await until(lambda: rig.tag.get("quality") == "bad")
    assert (rig.tag["value"], rig.tag["reason"]) == (10, "cable cut")
    health = "acme/_hub/bridge/plc"
    await until(lambda: any(h["connected"] is False for h in rig.payloads(health)))


@bounded
async def test_a_fact_with_a_business_key_is_said_once(rig: Rig) -> None:
    body = {"order_id": "PO-1", "item": None}
    fact = Fact(CELL, "loaded", 1_000, body, business_key="PO-1@1")
    await rig.batches.put([fact, fact])
    await rig.batches.put([fact])
    await rig.good(1)
    await rig.good(2)
    await until(lambda: sum(rig.counted.values()) == 1)
    assert len(rig.payloads(f"{CELL}/_event/loaded")) == 1


@bounded
async def test_bad_input_is_said_with_its_original(rig: Rig) -> None:
    await rig.batches.put([BadInput("erp/in/x.json", "bad-order", "no item", b"{broken", 1)])
    topic = "acme/berlin/machining/housing/_event/rejected"
    await until(lambda: len(rig.payloads(topic)) == 1)
    assert rig.payloads(topic)[0]["original_base64"] == "e2Jyb2tlbg=="
