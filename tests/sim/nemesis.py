"""What goes wrong, by the table FAULTS; and how everything is healed in the end.

A fault takes the world and its own chance, does its harm, and returns when it is over. Knows what
may be lost by it: then it says so in the generator's log, and nothing else may be missing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

from tests.sim.world import HISTORIAN, Instance, World, runner_role, source_name

Fault = Callable[[World, Random], Awaitable[None]]
SHORT_S: Final = (0.0, 3.0)
LONG_S: Final = (1.0, 25.0)
KEEPALIVE_S: Final = 15.0
STEPS_MAX: Final = 60
CRASH_S_MAX: Final = 10.0
WALL_JUMP_MS: Final = 3_600_000


async def kill(world: World, rng: Random) -> None:
    """kill -9 of one process, and a new start."""
    await _kill(world, rng, _some(world, rng, ""))


async def crash_runner(world: World, rng: Random) -> None:
    """A runner dies between two of its steps."""
    await _crash(world, rng, _some(world, rng, "runner"))


async def crash_historian(world: World, rng: Random) -> None:
    """The historian dies between two of its steps."""
    await _crash(world, rng, world.instances[HISTORIAN])


async def kill_all(world: World, rng: Random) -> None:
    """A power cut: every process, and the broker with what it had not saved."""
    for instance in world.instances.values():
        world.kill(instance)
    await crash(world, rng)
    for instance in _wanted(world):
        world.start(instance)


async def stop(world: World, rng: Random) -> None:
    """An orderly end of one process, and a new start."""
    instance = _some(world, rng, "")
    if instance.task:
        instance.task.cancel()
    await _pause(rng, LONG_S)
    world.start(instance)


async def freeze(world: World, rng: Random) -> None:
    """SIGSTOP and SIGCONT; a broker that hears nothing for long closes."""
    await _freeze(world, rng, _some(world, rng, ""))


async def zombie(world: World, rng: Random) -> None:
    """A runner is stopped, another one takes over, the first one wakes."""
    first = _some(world, rng, "runner")
    taking_over = asyncio.ensure_future(_take_over(world, rng, first))
    await _freeze(world, rng, first)
    await taking_over


async def second_owner(world: World, rng: Random) -> None:
    """Another runner takes over while the first one lives."""
    await _take_over(world, rng, _some(world, rng, "runner"))


async def crash(world: World, rng: Random) -> None:
    """The broker is killed: it forgets what it had acknowledged since its autosave."""
    world.broker.crash()
    await _pause(rng, SHORT_S)
    world.broker.start()


async def amnesia(world: World, rng: Random) -> None:
    """The broker comes back with nothing."""
    world.broker.crash(forget=True)
    await _pause(rng, SHORT_S)
    world.broker.start()


async def store_away(world: World, rng: Random) -> None:
    """The store does not answer."""
    world.disk.there.clear()
    await _pause(rng, LONG_S)
    world.disk.there.set()


async def store_torn(world: World, _rng: Random) -> None:
    """The store dies behind its next commit, before it says that it was done."""
    world.disk.torn = True


async def cut(world: World, rng: Random) -> None:
    """Connections of a process break; what was under way is lost in part."""
    instance = _some(world, rng, "")
    if instance.process:
        for connection in world.net.of(instance.process):
            connection.expire()


async def stall(world: World, rng: Random) -> None:
    """Nothing gets through for a while, and nobody is told; in the end it arrives, or breaks."""
    instance = _some(world, rng, "")
    connections = world.net.of(instance.process) if instance.process else []
    for connection in connections:
        connection.stall()
    lasting_s = rng.uniform(*LONG_S)
    await asyncio.sleep(min(lasting_s, KEEPALIVE_S))
    for connection in connections:
        if lasting_s < KEEPALIVE_S:
            connection.go_on()
        else:
            connection.expire()


async def partition(world: World, rng: Random) -> None:
    """A process cannot reach the broker."""
    instance = _some(world, rng, "")
    if instance.process:
        name = instance.process.name
        world.net.unreachable.add(name)
        await cut_of(world, instance)
        await _pause(rng, LONG_S)
        world.net.unreachable.discard(name)


async def old_outbox(world: World, rng: Random) -> None:
    """An outbox is restored from an old copy: what entered since then may be lost."""
    instance = _some(world, rng, "source" if rng.random() < 0.7 else "runner")
    copied_s, copy = world.loop.time(), world.copy_outbox(instance)
    await _pause(rng, LONG_S)
    world.kill(instance)
    if copy is not None:
        _may_be_lost(world, instance, copied_s)
        world.restore_outbox(instance, copy)
    await _pause(rng, SHORT_S)
    world.start(instance)


async def wall_jump(world: World, rng: Random) -> None:
    """The wall's clock is set, forwards or back."""
    world.wall_ahead_ms += rng.randint(-WALL_JUMP_MS, WALL_JUMP_MS)


FAULTS: Final[dict[str, Fault]] = {
    fault.__name__: fault
    for fault in (
        kill,
        crash_runner,
        crash_historian,
        kill_all,
        stop,
        freeze,
        zombie,
        second_owner,
        crash,
        amnesia,
        store_away,
        store_torn,
        cut,
        stall,
        partition,
        old_outbox,
        wall_jump,
    )
}


async def heal(world: World) -> None:
    """Nothing is wrong any more, and everybody runs who should."""
    world.broker.start()
    world.disk.there.set()
    world.disk.torn = False
    world.net.unreachable.clear()
    for connection in world.net.connections:
        connection.go_on()
    for instance in world.instances.values():
        if instance.process:
            instance.process.wake()
    for instance in _wanted(world):
        if not any(other.runs for other in world.of(instance.role)):
            world.start(instance)


async def cut_of(world: World, instance: Instance) -> None:
    """Break what connects a process."""
    for connection in world.net.of(instance.process) if instance.process else []:
        connection.expire()


def _may_be_lost(world: World, instance: Instance, copied_s: float) -> None:
    for fact in world.ledger.facts:
        if instance.name == source_name(fact.source):
            fact.may_be_lost |= fact.at_s >= copied_s
        elif instance.role == runner_role(fact.source.partition(":")[2]):
            fact.output_may_be_lost = True


async def _kill(world: World, rng: Random, instance: Instance) -> None:
    world.kill(instance)
    await _pause(rng, SHORT_S)
    world.start(instance)


async def _crash(world: World, rng: Random, instance: Instance) -> None:
    if instance.process:
        instance.process.die_at = instance.process.steps + rng.randint(1, STEPS_MAX)
    await instance.over(CRASH_S_MAX)
    await _kill(world, rng, instance)


async def _freeze(world: World, rng: Random, instance: Instance) -> None:
    process = instance.process
    if process is None:
        return
    process.freeze()
    lasting_s = rng.uniform(*LONG_S)
    await asyncio.sleep(min(lasting_s, KEEPALIVE_S))
    if lasting_s > KEEPALIVE_S:
        await cut_of(world, instance)
        await asyncio.sleep(lasting_s - KEEPALIVE_S)
    process.wake()


async def _take_over(world: World, rng: Random, first: Instance) -> None:
    await _pause(rng, SHORT_S)
    others = [other for other in world.of(first.role) if other is not first]
    world.start(rng.choice(others))


async def _pause(rng: Random, bounds_s: tuple[float, float]) -> None:
    await asyncio.sleep(rng.uniform(*bounds_s))


def _some(world: World, rng: Random, role: str) -> Instance:
    able = world.of(role)
    return rng.choice([one for one in able if one.runs] or able)


def _wanted(world: World) -> list[Instance]:
    return [one for one in world.instances.values() if one.wanted]
