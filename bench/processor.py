"""The durable processor loop and its latency, beside the same on bare paho."""

import asyncio
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench.paho_loop import PahoLoop
from bench.rig import (
    BRIDGE,
    LINE,
    Figure,
    Rig,
    counted_events,
    publish_all,
    released_event,
    reserve,
    until,
)
from processors import PROCESSORS
from uns.codec import Codec
from uns.model.path import key_of
from uns.model.plant import digest
from uns.mqtt.acl import bridge_user
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Message
from uns.runtime.clock import PlantClock, wall_ms
from uns.runtime.outbox import Outbox
from uns.runtime.ownership import Claimant
from uns.runtime.record import Answer
from uns.runtime.resume import Rebuilt
from uns.runtime.runner import Runner, RunnerWiring, subscriptions

EVENTS = 20_000
RATE_PER_S = 1_000
LATENCY_S = 8
PROCESSOR = "order-progress"
CLIENT = f"processor.{PROCESSOR}.bench"
_ECHO_FIRST = b'{"good":0}'
ORDER_TOPIC = f"{LINE}/_state/order/{key_of('PO-1')}"


class NoRecord:
    """A record with nothing on it; see uns.runtime.record."""

    async def newest(self, _topic: str) -> bytes | None:
        """Nothing."""
        return None

    async def events(self, *_span: Any) -> Answer:
        """Nothing."""
        return Answer([], None)

    async def rebuilt(self, *_of: Any) -> Rebuilt | None:
        """Nothing."""
        return None


def runner(rig: Rig, folder: Path) -> Runner[Any]:
    """The real runner with the real order processor."""
    wiring: RunnerWiring[Any] = RunnerWiring(
        processor=PROCESSORS[PROCESSOR](rig.plant),
        line=LINE,
        enterprise=rig.plant.enterprise,
        plant=digest(rig.plant),
        codec=Codec(rig.plant),
        client=MqttClient(rig.address("processor"), CLIENT),
        visit=partial(
            MqttClient, rig.address("processor"), "bench-visitor", clean_session=True, once=True
        ),
        claimant=Claimant("bench", "bench"),
        outbox=Outbox(folder / "outbox.sqlite"),
        clock=PlantClock(wall_ms(), wall_ms()),
        record=NoRecord(),
    )
    return Runner(wiring)


async def _loop_rate(rig: Rig, folder: Path) -> float:
    await reserve(rig, "processor", CLIENT, subscriptions(LINE))
    await publish_all(rig, [released_event(), *counted_events(EVENTS)])
    runs = runner(rig, folder)
    started = time.perf_counter()
    task = asyncio.create_task(runs.run())
    await until(lambda: _reached(runs) >= EVENTS, 120)
    seconds = time.perf_counter() - started
    task.cancel()
    await asyncio.wait({task})
    return EVENTS / seconds


def _reached(runs: Runner[Any]) -> int:
    return max((mark.seq for mark in runs.marks.values()), default=0)


async def loop(rig: Rig, folder: Path) -> Figure:
    """Events a second through receive, fold, outputs, state, ack."""
    ours = await _loop_rate(rig, folder)
    await reserve(rig, "processor", "bench-paho", [f"{LINE}/+/_event/#"])
    await publish_all(rig, counted_events(EVENTS))
    ceiling = await asyncio.to_thread(
        PahoLoop(rig, "processor", "bench-paho", EVENTS, publish=True).run
    )
    return Figure(
        "durable processor loop",
        ours,
        "events/s",
        ceiling,
        "the same loop on bare paho",
        ">= 0.8",
    )


async def publish_rate(rig: Rig) -> Figure:
    """Events a second from a bridge into the broker, QoS 1."""
    events = counted_events(EVENTS)
    ours = EVENTS / await publish_all(rig, events)
    ceiling = await asyncio.to_thread(_paho_publish, rig, events)
    return Figure("publish from a bridge", ours, "msgs/s", ceiling, "bare paho", ">= 8k/s")


def _paho_publish(rig: Rig, events: list[Any]) -> float:
    from paho.mqtt.client import Client  # noqa: PLC0415 - the ceiling's library only here
    from paho.mqtt.enums import CallbackAPIVersion  # noqa: PLC0415 - as above

    client = Client(CallbackAPIVersion.VERSION2, client_id="bench-paho-publisher")
    address = rig.address(bridge_user(BRIDGE))
    client.username_pw_set(address.username, address.password)
    client.max_inflight_messages = 500  # its best: more costs a scan for each PUBACK
    client.connect("127.0.0.1", address.port)
    client.loop_start()
    started = time.perf_counter()
    for topic, payload, _, _ in events:
        info = client.publish(topic, payload, 1)
    info.wait_for_publish(60)
    seconds = time.perf_counter() - started
    client.disconnect()
    client.loop_stop()
    return len(events) / seconds


def _serve(rig: Rig, folder: Path, echo: bool) -> None:  # noqa: FBT001 - an argument of a process
    asyncio.run(_echo(rig) if echo else _run(rig, folder))


async def _run(rig: Rig, folder: Path) -> None:
    await runner(rig, folder).run()


async def _echo(rig: Rig) -> None:
    total = 0
    async with MqttClient(rig.address("processor"), "bench-echo", clean_session=True) as client:
        await client.subscribe([f"{LINE}/+/_event/counted"])
        await client.publish(ORDER_TOPIC, _ECHO_FIRST, retain=True)
        async for batch in client.batches():
            for _ in batch:
                total += 1
                await client.send(ORDER_TOPIC, b'{"good":%d}' % total, retain=True)
            client.ack(batch)


async def _latencies_ms(rig: Rig, folder: Path, *, echo: bool) -> list[float]:
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=_serve, args=(rig, folder, echo), daemon=True)
    process.start()
    try:
        return await _drive(rig, _echo_ready if echo else _runner_ready)
    finally:
        process.terminate()
        process.join()


def _runner_ready(message: Message) -> bool:
    return message.topic == f"{LINE}/_hub/processor/{PROCESSOR}"


def _echo_ready(message: Message) -> bool:
    return message.topic == ORDER_TOPIC and message.payload == _ECHO_FIRST


async def _drive(rig: Rig, ready: Callable[[Message], bool]) -> list[float]:
    count = RATE_PER_S * LATENCY_S
    sent, seen = [0.0] * (count + 1), [0.0] * (count + 1)
    async with (
        MqttClient(rig.address("operator"), "bench-look", clean_session=True) as look,
        MqttClient(rig.address(bridge_user(BRIDGE)), "bench-drive", clean_session=True) as drive,
    ):
        await look.subscribe([f"{LINE}/_state/order/+", f"{LINE}/_hub/processor/#"])
        async with asyncio.timeout(30):
            while not any(map(ready, await look.receive())):
                pass
        await drive.publish(*released_event()[:2])
        watching = asyncio.create_task(_watch(look, seen))
        start = time.perf_counter()
        for seq, event in enumerate(counted_events(count), 1):
            await asyncio.sleep(max(0.0, start + seq / RATE_PER_S - time.perf_counter()))
            sent[seq] = time.perf_counter()
            await drive.send(event.topic, event.payload)
        async with asyncio.timeout(30):
            await watching
    return [1000 * (b - a) for a, b in zip(sent[1:], seen[1:], strict=True)]


async def _watch(look: MqttClient, seen: list[float]) -> None:
    reached = 0
    while reached < len(seen) - 1:
        for message in await look.receive():
            look.ack([message])
            if "/_state/order/" in message.topic and message.payload:
                good, now = json.loads(message.payload)["good"], time.perf_counter()
                for seq in range(reached + 1, min(good, len(seen) - 1) + 1):
                    seen[seq] = now
                reached = max(reached, min(good, len(seen) - 1))


async def latency(rig: Rig, folder: Path) -> list[Figure]:
    """Event published until the derived state is seen, at a steady rate; p50 and p99."""
    ours = await _latencies_ms(rig, folder, echo=False)
    bare = await _latencies_ms(rig, folder, echo=True)
    return [
        Figure(
            f"latency p{percent} at {RATE_PER_S}/s",
            _percentile(ours, percent),
            "ms",
            _percentile(bare, percent),
            "an echo without a fold",
            target,
        )
        for percent, target in ((50, ""), (99, "<= 20 ms"))
    ]


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]
