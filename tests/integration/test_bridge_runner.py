"""The bridge runtime on a real broker: nothing forgotten, latest tags, honest about loss."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from functools import partial
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
SOURCE = f"{NAME}:acme.berlin.machining.housing"
Batch = list[Observation]


def plant_with_counter(plant: Plant) -> Plant:
    """The small plant, whose mill counts good pieces and says its state."""
    document = plant.model_dump(mode="json")
    mill = document["sites"]["berlin"]["areas"]["machining"]["lines"]["housing"]["cells"]["mill"]
    source = {"node": "s=Good"}
    mill["tags"] = {
        "good": {"role": "good_count", "rollover": 100, "source": source},
        "state": {"role": "state", "source": {"node": "s=State"}},
        "load": {"source": {"node": "s=Load"}, "unit": "kW", "record": "every", "dead_band": 50},
        "beat": {"source": {"node": "s=Beat"}, "heartbeat_ms_max": 300},
        "calm": {"source": {"node": "s=Calm"}, "interval_ms_max": 1_000},
        "order": {"role": "order", "source": {"node": "s=Order"}},
    }
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
        self.outbox_bytes_max = 1 << 20

    async def observe(self) -> AsyncIterator[Batch]:
        while True:
            yield await self.batches.get()
            self.consumed += 1

    def start(self) -> None:
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        client = MqttClient(self.broker.address(), f"bridge-{NAME}")
        self.outbox = Outbox(self.folder / "outbox.sqlite", bytes_max=self.outbox_bytes_max)
        wiring = BridgeWiring(
            name=NAME,
            protocol="opcua",
            plant=self.plant,
            places=self.plant.served_by(NAME),
            home="acme/berlin/machining/housing",
            outbox=self.outbox,
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
        return self.tag_of("good")

    def tag_of(self, name: str) -> dict[str, Any]:
        return (self.payloads(f"{CELL}/_tag/{name}") or [{}])[-1]

    @property
    def states(self) -> list[str]:
        return [event["state"] for event in self.payloads(f"{CELL}/_event/state-changed")]

    @property
    def health(self) -> dict[str, Any]:
        return (self.payloads(f"acme/_hub/bridge/{NAME}") or [{}])[-1]

    @property
    def samples(self) -> list[tuple[int, Any]]:
        events = self.payloads(f"{CELL}/_event/sampled")
        return [(s["at_ms"], s["value"]) for event in events for s in event["samples"]]


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
    cut = Link("plc:1", ((CELL, "good"),), up=False, at_ms=2_000, reason="cable cut")
    await rig.batches.put([cut])
    await until(lambda: rig.tag.get("quality") == "bad")
    assert (rig.tag["value"], rig.tag["reason"]) == (10, "cable cut")
    health = "acme/_hub/bridge/plc"
    await until(lambda: any(h["connected"] is False for h in rig.payloads(health)))


@bounded
async def test_a_text_that_is_cannot_be_said_ends_no_bridge(rig: Rig) -> None:
    text = b"S\xe4\0ge".decode(errors="surrogateescape")

    def shows(tag: str) -> bool:
        return bool(rig.tag_of(tag).get("value") == "S??ge")

    for tag in ("calm", "load", "order"):
        await rig.batches.put([Reading(CELL, tag, text, 1_000, "good", text)])
        await until(partial(shows, tag))
    await rig.batches.put([Link("plc", ((CELL, "calm"),), up=False, at_ms=2_000, reason=text)])
    await until(lambda: rig.tag_of("calm").get("reason") == "S??ge")
    assert rig.task
    assert not rig.task.done()


@bounded
async def test_a_device_that_dies_takes_only_its_own_tags_of_a_cell_along(rig: Rig) -> None:
    counter, machine = ((CELL, "good"),), ((CELL, "state"),)
    await rig.batches.put([Reading(CELL, "good", 10, 1_000), Reading(CELL, "state", 6, 1_000)])
    await rig.batches.put([Link("d1", counter, up=False, at_ms=2_000, reason="it died")])
    await until(lambda: rig.tag.get("quality") == "bad")
    assert rig.tag_of("state") == {"value": 6, "timestamp_ms": 1_000, "quality": "good"}
    await rig.batches.put([Link("d1", counter, up=True, at_ms=3_000)])
    await rig.good(13, 3_000)
    await until(lambda: sum(rig.counted.values()) == 3)
    assert rig.states == ["EXECUTE"]
    await rig.batches.put([Link("d2", machine, up=False, at_ms=4_000, reason="it died too")])
    await until(lambda: rig.tag_of("state").get("quality") == "bad")
    await until(lambda: rig.states == ["EXECUTE", "UNKNOWN"])
    assert rig.tag == {"value": 13, "timestamp_ms": 3_000, "quality": "good"}


@bounded
async def test_what_was_said_before_a_device_died_does_not_look_live_afterwards(rig: Rig) -> None:
    died = Link("d1", ((CELL, "good"),), up=False, at_ms=2_000, reason="it died")
    await rig.batches.put([Reading(CELL, "good", 10, 1_000), died])
    await until(lambda: rig.tag != {})
    assert (rig.tag["value"], rig.tag.get("reason")) == (10, "it died")


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


# --- every value


@bounded
async def test_every_value_is_recorded_where_the_tag_says_so_and_few_are_shown(rig: Rig) -> None:
    past = [Reading(CELL, "load", n, n, is_history=True) for n in range(900, 903)]
    now = [Reading(CELL, "load", n, n) for n in range(1_000, 1_040)]
    await rig.batches.put([*past])
    await until(lambda: len(rig.samples) == 3)
    await rig.batches.put([*now[:20]])
    await rig.batches.put([*now[20:], Reading(CELL, "calm", 1, 1_000)])
    every = [(r.at_ms, r.value) for r in (*past, *now)]
    await until(lambda: rig.samples == every)
    assert [tag["value"] for tag in rig.payloads(f"{CELL}/_tag/load")] == [1_000]


@bounded
async def test_values_that_came_while_the_broker_was_away_are_recorded_too(rig: Rig) -> None:
    await rig.good(10)
    await until(lambda: rig.tag != {})
    rig.broker.kill()
    for n in range(30):
        await rig.batches.put([Reading(CELL, "load", n, 1_000 + n)])
    await until(lambda: rig.consumed == 31)
    rig.broker.restart()
    await until(lambda: sorted(set(rig.samples)) == [(1_000 + n, n) for n in range(30)])


@bounded
async def test_when_the_disk_is_full_samples_give_way_and_facts_do_not(rig: Rig) -> None:
    await rig.stop()
    rig.outbox_bytes_max = 300_000
    rig.start()
    await rig.good(0)
    for value in range(1, 30):
        many = [Reading(CELL, "load", n, 1_000 + n) for n in range(300)]
        await rig.batches.put([Reading(CELL, "good", value, 1_000), *many])
    await until(lambda: sum(rig.counted.values()) == 29)
    await until(lambda: rig.health.get("outbox_alarm") is True)
    assert "full" in rig.health["summary"]


# --- signs of life


@bounded
async def test_a_value_that_stays_is_said_again(rig: Rig) -> None:
    await rig.batches.put([Reading(CELL, "calm", 7, 1_000)])
    await until(lambda: len(rig.payloads(f"{CELL}/_tag/calm")) >= 3)
    assert {tag["value"] for tag in rig.payloads(f"{CELL}/_tag/calm")} == {7}


@bounded
async def test_a_source_that_is_stuck_shows_nothing_as_good_until_it_beats(rig: Rig) -> None:
    feeds = tuple((CELL, tag) for tag in ("good", "state", "beat"))
    first = [Reading(CELL, tag, 6, 1_000) for tag in ("good", "state", "beat")]
    await rig.batches.put([Link("plc:1", feeds, up=True, at_ms=1_000), *first])
    await until(lambda: rig.tag_of("good").get("quality") == "bad")
    assert rig.tag_of("good")["reason"] == "beat is stuck for 300 ms"
    await rig.good(8, 2_000)
    await until(lambda: rig.states == ["EXECUTE", "UNKNOWN"])
    assert rig.counted == {}
    await rig.batches.put([Reading(CELL, "beat", 7, 3_000)])
    await until(lambda: rig.states == ["EXECUTE", "UNKNOWN", "EXECUTE"])
    await until(lambda: sum(rig.counted.values()) == 2)
    assert rig.tag_of("good") == {"value": 8, "timestamp_ms": 3_000, "quality": "good"}


@bounded
async def test_a_meter_that_stays_on_goes_on_when_the_stuck_source_is_lost(rig: Rig) -> None:
    plc = ((CELL, "beat"), (CELL, "good"))
    first = [Reading(CELL, tag, 6, 1_000) for tag in ("good", "beat", "calm")]
    links = [
        Link("plc:1", plc, up=True, at_ms=1_000),
        Link("meters", ((CELL, "calm"),), up=True, at_ms=1_000),
    ]
    await rig.batches.put([*links, *first])
    await until(lambda: rig.tag_of("good").get("quality") == "bad")
    assert rig.tag_of("calm")["quality"] == "good"
    await rig.batches.put([Link("plc:1", plc, up=False, at_ms=2_000, reason="cable cut")])
    await until(lambda: rig.tag_of("good").get("reason") == "cable cut")
    again = [Reading(CELL, "beat", 6, 3_000), Reading(CELL, "good", 6, 3_000)]
    await rig.batches.put([links[0], *again])
    await until(lambda: rig.tag_of("good")["quality"] == "good")
    assert rig.tag_of("calm")["quality"] == "good"


@bounded
async def test_while_the_disk_is_full_nothing_looks_live(rig: Rig) -> None:
    await rig.stop()
    rig.outbox_bytes_max = 150_000
    rig.start()
    rig.broker.kill()
    for value in range(250):
        await rig.good(value)
    await until(lambda: 0 < rig.consumed < 250 and rig.outbox.used > 0.95)
    rig.broker.restart()
    await until(lambda: rig.tag.get("reason") == "the outbox is full: the source waits")
    rig.outbox.settle(SOURCE, rig.outbox.epoch, rig.outbox.last_seq(SOURCE))
    await until(lambda: rig.tag.get("quality") == "good" and rig.tag["value"] == 249)


@bounded
async def test_each_source_has_its_health(rig: Rig) -> None:
    await rig.batches.put([Link("plc:1", ((CELL, "good"),), up=True, at_ms=1_000)])
    bad = Reading(CELL, "good", None, 1_000, "bad", "no such node")
    await rig.batches.put([bad, Link("plc:2", ((CELL, "state"),), up=False, at_ms=1_000)])
    await until(lambda: len(rig.health.get("endpoints", {})) == 2)
    one, two = (rig.health["endpoints"][name] for name in ("plc:1", "plc:2"))
    assert (one["up"], one["read_errors"], two["up"]) == (True, 1, False)
    assert 0 <= one["last_value_age_ms"] < 20_000
    assert two["last_value_age_ms"] is None
