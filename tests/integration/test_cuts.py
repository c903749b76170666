"""Links that break in every way, again and again: no value is lost, late or younger than it says.

The sources are foreign servers; `make soak` cuts as often and as long as the acceptance asks.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from tests.bridged import modbus, opcua
from tests.cuts import Cut, Figures, endure, schedules, suffer
from tests.fault_proxy import FaultProxy, proxied
from tests.foreign import modbus_server, opcua_server
from tests.watching import Watch, now_ms, places, watching
from uns.model.observation import Link, Observation, Reading

pytestmark = pytest.mark.node

COUNT_MS: Final = 100
SILENCE_MS: Final = 2_000
TIMEOUT_MS: Final = 1_000
RECOVERY_P99_S: Final = 5.0
NEVER: Final = float("-inf")
Connect = Callable[[int], AbstractAsyncContextManager[Watch]]


def to_opcua(port: int) -> AbstractAsyncContextManager[Watch]:
    bridge = opcua(port, Path("no-such-folder"), silence_ms_max=SILENCE_MS)
    return watching(bridge, places({"counter": {"node": "s=Counter"}}, record="every"))


def to_modbus(port: int) -> AbstractAsyncContextManager[Watch]:
    tags = {
        "counter": {"address": 100, "type": "uint32"},
        "served": {"address": 102, "type": "uint64"},
    }
    bridge = modbus(port, poll_ms=50, timeout_ms=TIMEOUT_MS)
    return watching(bridge, places(tags, record="every"))


class Rig:
    """Endpoints in front of one server, each with a link of its own."""

    def __init__(self, stack: AsyncExitStack, port: int, connect: Connect) -> None:
        self.ends: list[tuple[FaultProxy, Watch]] = []
        self.figures = Figures()
        self._stack, self._port, self._connect = stack, port, connect

    async def add(self) -> tuple[FaultProxy, Watch]:
        proxy = await self._stack.enter_async_context(proxied("127.0.0.1", self._port))
        watch = await self._stack.enter_async_context(self._connect(proxy.port))
        self.ends.append((proxy, watch))
        return proxy, watch

    async def cut(self, seed: int, sampled_ms: Callable[[Observation], float]) -> None:
        plan = schedules(seed)
        for _ in plan:
            _, watch = await self.add()
            await watch.until(partial(watch.last, "counter"))
        async with asyncio.TaskGroup() as tasks:
            for (proxy, watch), cuts in zip(self.ends, plan, strict=True):
                tasks.create_task(endure(proxy, cuts, watch, sampled_ms, self.figures))
        print(f"\n{self.figures}")  # noqa: T201 - what `make soak` shows
        assert self.figures.p99_s() <= RECOVERY_P99_S


@asynccontextmanager
async def rig(port: int, connect: Connect) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        yield Rig(stack, port, connect)


def opcua_sampled_ms(seen: Observation) -> float:
    is_live = isinstance(seen, Reading) and seen.value is not None and not seen.is_history
    return seen.at_ms if isinstance(seen, Reading) and is_live else NEVER


def modbus_sampled_ms(seen: Observation) -> float:
    is_time = isinstance(seen, Reading) and seen.tag == "served" and seen.value is not None
    return counts(seen) if isinstance(seen, Reading) and is_time else NEVER


async def test_every_count_of_an_opcua_server_is_found_once(tmp_path: Path) -> None:
    async with opcua_server(tmp_path) as plc, rig(plc.port, to_opcua) as ends:
        await plc.ask(count=COUNT_MS)
        await ends.cut(1, opcua_sampled_ms)
        await plc.ask(count=0)
        counted = dict((await plc.ask(counted=True))["counted"])
        for _, watch in ends.ends:
            await watch.value("counter", max(counted))
            readings = [each for each in watch.readings("counter") if each.value]
            found = [counts(each) for each in readings]
            assert sorted(found) == list(range(min(found), max(counted) + 1))
            assert all(each.at_ms == counted[counts(each)] for each in readings)
            live = [counts(each) for each in readings if not each.is_history]
            assert live == sorted(live), "never back in time"


def counts(reading: Reading) -> int:
    assert isinstance(reading.value, int)
    return reading.value


async def test_no_register_is_older_than_its_time_says() -> None:
    async with modbus_server() as device, rig(device.port, to_modbus) as ends:
        await device.ask(count=COUNT_MS)
        await ends.cut(2, modbus_sampled_ms)
        for _, watch in ends.ends:
            found = [counts(each) for each in watch.readings("counter") if each.value is not None]
            assert found == sorted(found), "never back in time"
            assert found[-1] > found[0]
            for served in watch.readings("served"):
                if served.value is not None:
                    assert 0 <= counts(served) - served.at_ms <= TIMEOUT_MS


@pytest.mark.parametrize(
    ("connect", "lost_ms_max"),
    [(to_opcua, SILENCE_MS), (to_modbus, TIMEOUT_MS)],
    ids=["opcua", "modbus"],
)
async def test_a_half_open_link_is_told_within_the_configured_time(
    tmp_path: Path, connect: Connect, lost_ms_max: int
) -> None:
    server: Any = opcua_server(tmp_path) if connect is to_opcua else modbus_server()
    async with server as source, rig(source.port, connect) as ends:
        await source.ask(count=COUNT_MS)
        (hung, hung_watch), (_, sound_watch) = await ends.add(), await ends.add()
        for watch in (hung_watch, sound_watch):
            await watch.until(partial(watch.last, "counter"))
        hanging = asyncio.create_task(suffer(hung, Cut("half-open", lost_ms_max / 1000 + 1.0)))
        began_ms = now_ms()
        down = await hung_watch.until(lambda: last_link(hung_watch, up=False))
        assert down.at_ms - began_ms <= lost_ms_max + 500
        await hanging
        await hung_watch.until(lambda: last_link(hung_watch, up=True))
        assert [link.up for link in sound_watch.links()] == [True], "a neighbour is not disturbed"
        assert longest_pause_s(sound_watch) < 1.0


def last_link(watch: Watch, *, up: bool) -> Link | None:
    last = watch.links()[-1:]
    return last[0] if last and last[0].up is up else None


def longest_pause_s(watch: Watch) -> float:
    return max(after - before for before, after in pairwise(watch.heard_s))
