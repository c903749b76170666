"""Sources that restart again and again, with other values each time: none is taken for another.

Every value tells which tag it belongs to and after which restart it was true. OPC UA servers also
number their namespaces anew, with a decoy's nodes where the plant's were; Modbus replies come late
and in slices. `make soak` restarts as often as the reference asks.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.bridged import modbus, opcua
from tests.cuts import IS_SOAK
from tests.fault_proxy import proxied
from tests.foreign import modbus_server, opcua_server
from tests.watching import Watch, places, watching

pytestmark = pytest.mark.node

ENDPOINTS: Final = 3
MODBUS_RESTARTS: Final = 500 if IS_SOAK else 15
OPCUA_RESTARTS: Final = 100 if IS_SOAK else 3
DOWN_MS_MAX: Final = 120
TAGS_MAX: Final = 100  # the value is generation * TAGS_MAX + place of the tag
NODES: Final = ("Double", "Int32", "UInt32", "Float")
REGISTERS: Final = ((1, 0), (1, 2), (1, 60), (1, 200), (2, 0), (2, 60))  # unit, address
Connect = Callable[[int], AbstractAsyncContextManager[Watch]]


def value_of(generation: int, place: int) -> int:
    return generation * TAGS_MAX + place


def to_opcua(port: int) -> AbstractAsyncContextManager[Watch]:
    tags = {f"tag-{place}": {"node": f"s={name}"} for place, name in enumerate(NODES)}
    return watching(opcua(port, Path("no-such-folder")), places(tags))


def to_modbus(port: int) -> AbstractAsyncContextManager[Watch]:
    tags = {
        f"tag-{place}": {"unit": unit, "address": address, "type": "uint32"}
        for place, (unit, address) in enumerate(REGISTERS)
    }
    return watching(modbus(port, poll_ms=10), places(tags))


def is_at(watch: Watch, generation: int, tags: int) -> bool:
    """Whether every tag shows its value of a generation."""
    last = [watch.last(f"tag-{place}") for place in range(tags)]
    return all(
        reading and reading.value == value_of(generation, place)
        for place, reading in enumerate(last)
    )


def wrong(watch: Watch, tags: int) -> list[object]:
    """The values that belong to another tag, or to a time before the last value's."""
    found = list[object]()
    for place in range(tags):
        newest = 0
        for value in filter(None, watch.values(f"tag-{place}")):
            generation, belongs_to = divmod(value, TAGS_MAX)
            if belongs_to != place or generation < newest:
                found.append((place, newest, value))
            newest = generation
    return found


async def restarted(
    port: int, connect: Connect, tags: int, count: int, restart: Callable[[int], Awaitable[object]]
) -> Sequence[Watch]:
    """Follow a server over its restarts; each time every endpoint gets to its new values."""
    chance = random.Random(3)
    async with AsyncExitStack() as stack:
        watches = list[Watch]()
        for place in range(ENDPOINTS):
            proxy = await stack.enter_async_context(proxied("127.0.0.1", port))
            proxy.slice_bytes = place % 2
            proxy.latency_s = chance.uniform(0, 0.02) * place
            watches.append(await stack.enter_async_context(connect(proxy.port)))
        for generation in range(1, count + 1):
            await restart(generation)
            for watch in watches:
                await watch.until(lambda w=watch, g=generation: is_at(w, g, tags))  # type: ignore[misc] # a lambda in a loop
    print(f"\n{count} restarts, {sum(len(watch.seen) for watch in watches)} observations")  # noqa: T201 - what `make soak` shows
    for watch in watches:
        assert wrong(watch, tags) == []
        assert sum(not link.up for link in watch.links()) >= count
    return watches


async def test_no_node_is_taken_for_another_after_a_restart(tmp_path: Path) -> None:
    async with opcua_server(tmp_path) as plc:

        async def restart(generation: int) -> None:
            values = {name: value_of(generation, place) for place, name in enumerate(NODES)}
            await plc.ask(restart=values, is_first=bool(generation % 2))

        await restart(0)
        await restarted(plc.port, to_opcua, len(NODES), OPCUA_RESTARTS, restart)


async def test_no_register_is_taken_for_another_after_a_restart() -> None:
    chance = random.Random(4)
    async with modbus_server() as device:

        async def restart(generation: int) -> None:
            sets = [
                [unit, "holding", address, list(divmod(value_of(generation, place), 2**16))]
                for place, (unit, address) in enumerate(REGISTERS)
            ]
            await device.ask(restart=[chance.randrange(DOWN_MS_MAX), sets])

        await restart(0)
        await restarted(device.port, to_modbus, len(REGISTERS), MODBUS_RESTARTS, restart)
