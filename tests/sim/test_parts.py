"""The simulated parts do what the real ones were measured to do."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import pytest

from tests.sim.auditor import Evidence, Known, Recorded, audit
from tests.sim.broker import BrokerOptions, matches
from tests.sim.loop import Killed, Process, Stuck, current, running
from tests.sim.tally import CELLS, HOUSING
from tests.sim.world import ADDRESS, Plan, World, put_in
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Message

SOURCE = next(iter(CELLS))


def play(
    folder: Path, script: Callable[[World], Awaitable[None]], options: BrokerOptions | None = None
) -> None:
    plan = Plan(1, (SOURCE,), broker=options or BrokerOptions())
    with running(Random(1), 100.0) as loop:
        world = World(plan, folder, loop)
        with put_in(world):
            process = Process("test", loop)
            loop.run_until_complete(process.start(_whole(script, world)))


async def _whole(script: Callable[[World], Awaitable[None]], world: World) -> None:
    await script(world)


def client(name: str, *, clean: bool = False) -> MqttClient:
    return MqttClient(ADDRESS, name, clean_session=clean)


async def everything(from_client: MqttClient) -> list[Message]:
    found = list[Message]()
    while batch := await from_client.receive(timeout_s=1.0):
        found += batch
    return found


def test_time_jumps_and_never_waits() -> None:
    with running(Random(1), 10_000.0) as loop:
        loop.run_until_complete(asyncio.sleep(5_000))
        assert loop.time() == 5_000


def test_what_never_comes_to_rest_is_stuck() -> None:
    with running(Random(1), 10.0) as loop, pytest.raises(Stuck):
        loop.run_until_complete(asyncio.sleep(11))


def test_a_killed_process_has_no_effect_any_more() -> None:
    done = []

    async def work() -> None:
        for n in range(10):
            await asyncio.sleep(1)
            current().step()
            done.append(n)

    with running(Random(1), 100.0) as loop:
        process = Process("p", loop)
        process.die_at = 4
        task = process.start(work())
        loop.run_until_complete(asyncio.sleep(20))
        assert task.done()
        assert isinstance(task.exception(), Killed)
    assert done == [0, 1, 2]


def test_a_stopped_process_goes_on_where_it_was() -> None:
    at_s = []

    async def work() -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            at_s.append(asyncio.get_running_loop().time())

    async def stop(process: Process) -> None:
        await asyncio.sleep(1.5)
        process.freeze()
        await asyncio.sleep(5)
        process.wake()

    with running(Random(1), 100.0) as loop:
        process = Process("p", loop)
        process.start(work())
        loop.run_until_complete(stop(process))
        loop.run_until_complete(asyncio.sleep(5))
    assert at_s == [1.0, 6.5, 7.5]


def test_an_acknowledged_message_is_gone_after_a_crash(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        async with client("a") as a:
            await a.publish("acme/kept", b"1", retain=True)
            world.broker.crash()
            world.broker.start()
        assert world.broker.retained == {}

    play(tmp_path, script)


def test_an_autosave_brings_sessions_and_retained_topics_back(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        async with client("a") as a:
            await a.subscribe(["acme/#"])
            await a.publish("acme/kept", b"1", retain=True)
        async with client("b") as b:
            await b.publish("acme/queued", b"2")
        await asyncio.sleep(10)
        world.broker.crash()
        world.broker.start()
        async with client("a") as a:
            heard = await everything(a)
        assert ("acme/queued", b"2") in [(m.topic, m.payload) for m in heard]
        assert "acme/kept" in world.broker.retained

    play(tmp_path, script)


def test_a_full_queue_drops_the_newest_without_a_word(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        async with client("a") as a:
            await a.subscribe(["acme/#"])
        async with client("b") as b:
            for n in range(20):
                await b.publish("acme/x", str(n).encode())
        async with client("a") as a:
            assert [m.payload for m in await everything(a)] == [b"%d" % n for n in range(5)]
        assert world.broker.dropped == 15

    play(tmp_path, script, BrokerOptions(queued_max=5))


def test_what_was_not_acknowledged_comes_again_at_the_next_connection_only(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        async with client("a") as a, client("b") as b:
            await a.subscribe(["acme/#"])
            await b.publish("acme/x", b"1")
            assert [m.dup for m in await everything(a)] == [False]
            assert await everything(a) == []
            for connection in world.net.connections:
                connection.expire()
            assert [m.dup for m in await everything(a)] == [True]

    play(tmp_path, script)


def test_filters_match_as_mqtt_says() -> None:
    assert matches("a/+/c", "a/b/c")
    assert matches("a/#", "a")
    assert not matches("a/+", "a/b/c")
    assert not matches("a/b/c", "a/b")


FACT = Known("f1", SOURCE, 3, 0, may_be_lost=False, output_may_be_lost=False)


def test_an_auditor_finds_what_is_missing_and_what_is_too_much() -> None:
    assert any("I1 f1" in finding for finding in audit(Evidence([FACT], [], {}, "tally", "out")))
    event = {"type": "counted", "item": "f2", "source": SOURCE, "epoch": 1, "seq": 1, "path": ""}
    record = [Recorded(1, "events", "t", event)]
    findings = audit(Evidence([FACT], record, {}, "tally", "out"))
    assert "I1 f2 is on record, and nobody said it" in findings


PLACE = {"path": CELLS[SOURCE], "source": SOURCE, "epoch": 1}
EDGE = {"type": "edge", "input_id": "f1", "source": "processor:tally"}
LOST = Known("f2", SOURCE, 4, 1, may_be_lost=True, output_may_be_lost=True)


def findings_of(lost: Known, shown: dict[str, int]) -> list[str]:
    """f1 is on record with its edge, f2 has no trace there; both were taken, as the order says."""
    counted = {**PLACE, "type": "counted", "item": "f1", "seq": 1, "good": 3, "scrap": 0}
    record = [Recorded(1, "events", "t", row) for row in (counted, EDGE)]
    order = {"order": [[SOURCE, 1, 2]], "told": None, "marks": {SOURCE: [1, 2]}}
    resume = {**order, "state": {"line": HOUSING, **shown, "chain": 33}}
    retained = {
        f"{HOUSING}/_state/tally": json.dumps(shown).encode(),
        f"{HOUSING}/_hub/processor/tally": json.dumps(resume).encode(),
    }
    return audit(Evidence([FACT, lost], record, retained, "tally", "out"))


def test_what_went_with_the_outboxes_of_source_and_runner_may_have_been_counted_once() -> None:
    both, twice = {"good": 7, "scrap": 1, "facts": 2}, {"good": 7, "scrap": 1, "facts": 3}
    assert findings_of(LOST, both) == []
    assert [f[:2] for f in findings_of(LOST, both | {"good": 8})] == ["I2"]
    assert [f[:2] for f in findings_of(LOST, twice)] == ["I3"]


def test_what_has_no_edge_though_no_edge_was_lost_was_not_counted() -> None:
    kept = LOST._replace(output_may_be_lost=False)
    found = findings_of(kept, {"good": 7, "scrap": 1, "facts": 2})
    assert {finding[:2] for finding in found} == {"I2", "I3"}
