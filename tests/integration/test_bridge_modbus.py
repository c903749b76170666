import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
import pytest
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from bridges import PROTOCOLS
from bridges.modbus.client import observe
from bridges.modbus.config import ModbusSettings
from uns.model.namespace import parse_namespace
from uns.model.observation import Link, Observation, Reading
from uns.model.plant import Place, TagSpec

ROOT = Path(__file__).parents[2]
PLANT = parse_namespace((ROOT / "namespace.yaml").read_text(), "namespace.yaml", PROTOCOLS)
CELL = "acme/berlin/assembly/pump/press"
HOLDING: Final = 3
SECONDS_MAX: Final = 10.0
TAGS: dict[str, dict[str, Any]] = {
    "good": {"address": 0},
    "lot": {"address": 1, "type": "string", "length": 8},
    "force": {"address": 5, "type": "float32"},
}
Batch = list[Observation]


class Device(NamedTuple):
    server: Any  # pymodbus does not type its shutdown
    port: int
    requests: list[tuple[int, int, int]]

    async def write(self, address: int, values: list[int]) -> None:
        await self.server.async_setValues(1, 16, address, values)

    async def write_coil(self, address: int, value: bool) -> None:  # noqa: FBT001 - a coil is one
        await self.server.async_setValues(1, 15, address, [value])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@asynccontextmanager
async def device(
    port: int = 0,
    registers: int = 60,
    refuse: Callable[[int], ExcCodes | None] = lambda _: None,
) -> AsyncIterator[Device]:
    """A foreign device; `refuse` says which function code it answers with an exception."""
    requests: list[tuple[int, int, int]] = []

    async def action(function: int, *_: Any) -> ExcCodes | None:
        return refuse(function)

    def trace(sending: bool, packet: bytes) -> bytes:  # noqa: FBT001 - pymodbus calls it so
        if not sending:
            requests.append(struct.unpack(">BHH", packet[7:12]))
        return packet

    bits = [SimData(0, count=1, values=[False] * 32, datatype=DataType.BITS)]
    words = [SimData(0, count=registers, datatype=DataType.REGISTERS)]
    simulated = SimDevice(1, simdata=(bits, list(bits), words, list(words)), action=action)
    port = port or free_port()
    server: Any = ModbusTcpServer(simulated, address=("127.0.0.1", port), trace_packet=trace)
    await server.serve_forever(background=True)
    try:
        yield Device(server, port, requests)
    finally:
        await server.shutdown()


def places(tags: dict[str, dict[str, Any]]) -> dict[str, Place]:
    specs = {name: TagSpec(source=keys) for name, keys in tags.items()}
    cell = PLANT.cells[CELL].cell.model_copy(update={"tags": specs})
    return {CELL: PLANT.cells[CELL].model_copy(update={"cell": cell})}


def bridge(
    port: int, tags: dict[str, dict[str, Any]] | None = None, **settings: Any
) -> AsyncGenerator[Batch, None]:
    given = {"poll_ms": 20, "timeout_ms": 5_000, **settings}
    clock = count(1).__next__
    parsed = ModbusSettings.model_validate({"host": "127.0.0.1", "port": port, **given})
    return observe(parsed, places(tags or TAGS), clock, asyncio.Queue())


async def soon(stream: AsyncIterator[Batch]) -> Batch:
    async with asyncio.timeout(SECONDS_MAX):
        return await anext(stream)


async def batch_with(stream: AsyncIterator[Batch], wanted: Callable[[Observation], bool]) -> Batch:
    """The first batch in which something is as wanted."""
    async with asyncio.timeout(SECONDS_MAX):
        async for batch in stream:
            if any(wanted(observation) for observation in batch):
                return batch
    raise AssertionError("the bridge ended by itself")


def is_link(*, up: bool) -> Callable[[Observation], bool]:
    return lambda seen: isinstance(seen, Link) and seen.up is up


def is_value(tag: str, value: Any) -> Callable[[Observation], bool]:
    return lambda seen: isinstance(seen, Reading) and (seen.tag, seen.value) == (tag, value)


def values(batch: Batch) -> dict[str, Any]:
    return {seen.tag: seen.value for seen in batch if isinstance(seen, Reading)}


def reasons(batch: Batch) -> dict[str, str | None]:
    return {seen.tag: seen.reason for seen in batch if isinstance(seen, Reading)}


def the_link(batch: Batch) -> Link:
    (link,) = (seen for seen in batch if isinstance(seen, Link))
    return link


async def test_first_batch_is_the_link_and_every_tag_of_every_table() -> None:
    tags: dict[str, dict[str, Any]] = {
        **TAGS,
        "level": {"table": "input", "address": 3, "type": "int16", "scale": 0.1},
        "ready": {"table": "coil", "address": 17, "type": "bool"},
        "door": {"table": "discrete", "address": 2, "type": "bool"},
    }
    async with device() as plc, aclosing(bridge(plc.port, tags)) as stream:
        await plc.write(0, [7, *struct.unpack(">4H", b"LOT-1\0\0\0")])
        await plc.write(5, list(struct.unpack(">2H", struct.pack(">f", 9.81))))
        await plc.write_coil(17, value=True)
        first = await batch_with(stream, lambda _: True)
        endpoint = f"127.0.0.1:{plc.port}/1"
        feeds = tuple((CELL, tag) for tag in tags)
        assert first[0] == Link(endpoint, feeds, up=True, at_ms=the_link(first).at_ms)
        assert values(first) == {
            "good": 7, "lot": "LOT-1", "force": 9.81, "level": 0.0, "ready": True, "door": False,
        }  # fmt: skip
        assert set(reasons(first).values()) == {None}
        assert sorted(plc.requests[:4]) == [(1, 17, 1), (2, 2, 1), (3, 0, 7), (4, 3, 1)]


async def test_later_batches_hold_what_changed_together_and_nothing_else() -> None:
    async with device() as plc, aclosing(bridge(plc.port)) as stream:
        await soon(stream)
        await plc.write(0, [8, *struct.unpack(">4H", b"LOT-2\0\0\0")])
        batch = await batch_with(stream, lambda _: True)
        assert values(batch) == {"good": 8, "lot": "LOT-2"}
        stamps = {seen.at_ms for seen in batch if isinstance(seen, Reading)}
        assert len(stamps) == 1, "one reply, one time"


async def test_a_quiet_device_is_polled_but_says_nothing() -> None:
    async with device() as plc, aclosing(bridge(plc.port)) as stream:
        await soon(stream)
        before = len(plc.requests)
        waiting = asyncio.ensure_future(anext(stream))
        await eventually(lambda: len(plc.requests) >= before + 5)
        assert not waiting.done()
        await plc.write(0, [9])
        assert values(await asyncio.wait_for(waiting, SECONDS_MAX)) == {"good": 9}


async def test_one_wrong_address_costs_its_own_tag_only() -> None:
    tags = {**TAGS, "beyond": {"address": 12}, "near": {"address": 9}, "far": {"address": 200}}
    async with device(registers=11) as plc, aclosing(bridge(plc.port, tags)) as stream:
        first = await batch_with(stream, is_link(up=True))
        said = reasons(first)
        assert said["beyond"] == said["far"] == "illegal data address (exception 2)"
        assert {tag: said[tag] for tag in ("good", "lot", "force", "near")} == dict.fromkeys(
            ("good", "lot", "force", "near")
        )
        plc.requests.clear()
        await plc.write(9, [5])
        assert values(await batch_with(stream, lambda _: True)) == {"near": 5}
        assert all(size == 1 for _, start, size in plc.requests if start <= 12 < start + size), (
            "what was refused is asked alone from then on"
        )


async def test_an_exception_turns_bad_and_recovers_without_losing_the_link() -> None:
    failing = dict.fromkeys([HOLDING], ExcCodes.DEVICE_BUSY)
    async with device(refuse=failing.get) as plc, aclosing(bridge(plc.port)) as stream:
        first = await batch_with(stream, is_link(up=True))
        reason = "server device busy (exception 6)"
        assert reasons(first) == dict.fromkeys(TAGS, reason)
        failing.clear()
        back = await batch_with(stream, lambda _: True)
        assert (back[0], values(back)) == (back[0], {"good": 0, "lot": "", "force": 0.0})
        assert not any(isinstance(seen, Link) for seen in back)


async def test_absent_then_started_then_killed_then_back_on_the_same_port() -> None:
    port = free_port()
    async with aclosing(bridge(port)) as stream:
        link = the_link(await soon(stream))
        assert (link.up, link.reason) == (False, f"no connection to 127.0.0.1:{port}")
        for value in (1, 2, 3):
            async with device(port) as plc:
                await plc.write(0, [value])
                up = await batch_with(stream, is_link(up=True))
                assert values(up) == {"good": value, "lot": "", "force": 0.0}
            down = await batch_with(stream, is_link(up=False))
            assert the_link(down).reason == "the device closed the connection"


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def impostor(answer: Answer) -> AsyncIterator[tuple[int, list[asyncio.StreamWriter]]]:
    """A device that answers each connection as told, in bytes."""
    seen: list[asyncio.StreamWriter] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer)
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], seen


def reply(request: bytes, body: bytes, *, transaction: int | None = None) -> bytes:
    number = request[:2] if transaction is None else struct.pack(">H", transaction)
    return number + b"\0\0" + struct.pack(">H", len(body) + 1) + request[6:7] + body


def holding(*registers: int) -> bytes:
    return struct.pack(f">BB{len(registers)}H", HOLDING, 2 * len(registers), *registers)


ONE_TAG: dict[str, dict[str, Any]] = {"good": {"address": 0}}


async def test_a_hanging_device_is_lost_within_the_timeout_and_leaves_no_socket() -> None:
    async with (
        impostor(_silent) as (port, seen),
        aclosing(bridge(port, ONE_TAG, timeout_ms=200)) as stream,
    ):
        started_s = asyncio.get_running_loop().time()
        link = the_link(await batch_with(stream, is_link(up=False)))
        assert link.reason == "no answer within 200 ms"
        assert asyncio.get_running_loop().time() - started_s < 2.0
        waiting = asyncio.ensure_future(anext(stream))
        await eventually(lambda: len(seen) >= 4)
        assert len(connections_to(port)) <= 1, "each lost connection is closed"
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_a_device_that_closes_is_noticed_before_the_timeout() -> None:
    async def hangs_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readexactly(12)

    async with (
        impostor(hangs_up) as (port, _),
        aclosing(bridge(port, ONE_TAG, timeout_ms=60_000)) as stream,
    ):
        link = the_link(await batch_with(stream, is_link(up=False)))
        assert link.reason == "the device closed the connection"


async def test_a_late_reply_is_never_taken_for_the_next_one() -> None:
    attempts = count()

    async def late_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        late = next(attempts) == 0
        for value in count(100):
            request = await reader.readexactly(12)
            if late and value > 100:
                await reader.read(1)
            writer.write(reply(request, holding(666 if late else value)))
            if late:
                await reader.readexactly(12)
                await reader.read(1)
                writer.write(reply(request, holding(13)))

    async with (
        impostor(late_once) as (port, _),
        aclosing(bridge(port, ONE_TAG, timeout_ms=1_000)) as stream,
    ):
        assert values(await soon(stream)) == {"good": 666}
        assert the_link(await soon(stream)).reason == "no answer within 1000 ms"
        assert values(await batch_with(stream, is_link(up=True))) == {"good": 100}


@pytest.mark.parametrize(
    ("body", "transaction", "reason"),
    [
        (holding(1, 2), None, "a reply of 4 bytes, not 2"),
        (b"\x04\x02\x00\x01", None, "a reply to function 4, not 3"),
        (holding(1), 4711, "a reply to request 4711, not "),
        (b"\x83", None, "a reply that says 2 bytes follow, not 3"),
        (b"\x03\xff\x00", None, "a reply of 255 bytes, not 2"),
        (b"\x03\x02\x00", None, "a reply that says 4 bytes follow, not 5"),
        (holding(1) + b"\0", None, "a reply that says 6 bytes follow, not 5"),
        (b"\x2b\x0e\x99", None, "a reply to function 43, not 3"),
    ],
)
async def test_a_reply_that_does_not_fit_drops_the_connection(
    body: bytes, transaction: int | None, reason: str
) -> None:
    async def wrong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await reader.readexactly(12)
            writer.write(reply(request, body, transaction=transaction))

    async with (
        impostor(wrong) as (port, seen),
        aclosing(bridge(port, ONE_TAG, timeout_ms=200)) as stream,
    ):
        batch = await soon(stream)
        assert not the_link(batch).up
        assert reason in str(the_link(batch).reason)
        assert values(batch) == {}
        waiting = asyncio.ensure_future(anext(stream))
        await eventually(lambda: len(seen) >= 2)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_a_reply_of_another_unit_drops_the_connection() -> None:
    async def wrong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readexactly(12)
        writer.write(reply(request[:6] + b"\x09", holding(1)))
        await reader.read(1)

    async with impostor(wrong) as (port, seen), aclosing(bridge(port, ONE_TAG)) as stream:
        assert the_link(await soon(stream)).reason == "a reply of unit 9, not 1"
        waiting = asyncio.ensure_future(anext(stream))
        await eventually(lambda: len(seen) >= 2)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_bytes_that_nobody_asked_for_drop_the_connection() -> None:
    async def talks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readexactly(12)
        writer.write(reply(request, holding(1)))
        await asyncio.sleep(0.02)
        writer.write(reply(request, holding(2)))
        await reader.read(1)

    async with (
        impostor(talks) as (port, _),
        aclosing(bridge(port, ONE_TAG, poll_ms=200)) as stream,
    ):
        assert values(await soon(stream)) == {"good": 1}
        lost = the_link(await soon(stream))
        assert lost.reason == "the device sent bytes that nobody had asked for"


async def test_bytes_come_one_by_one() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for value in count(5):
            request = await reader.readexactly(12)
            for byte in reply(request, holding(value)):
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.001)

    async with impostor(slow) as (port, _), aclosing(bridge(port, ONE_TAG)) as stream:
        assert values(await soon(stream)) == {"good": 5}
        assert values(await soon(stream)) == {"good": 6}


async def _silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    while await reader.read(100):
        pass


async def test_aclose_leaves_no_task_and_no_socket() -> None:
    async with device() as plc:
        before = asyncio.all_tasks()
        stream = bridge(plc.port)
        await soon(stream)
        await stream.aclose()
        await eventually(lambda: asyncio.all_tasks() <= before)
        await eventually(lambda: not connections_to(plc.port))


async def test_cancelling_a_request_leaves_no_task_and_no_socket() -> None:
    async with impostor(_silent) as (port, seen):
        stream = bridge(port, timeout_ms=60_000)
        before = len(asyncio.all_tasks())
        waiting = asyncio.ensure_future(anext(stream))
        await eventually(lambda: len(seen) == 1 and len(asyncio.all_tasks()) > before + 2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await eventually(lambda: not connections_to(port))
        await eventually(lambda: len(asyncio.all_tasks()) <= before)


async def test_cancelling_while_the_device_is_absent_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    stream = bridge(free_port())
    await soon(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert asyncio.all_tasks() <= before


async def test_a_cancellation_is_heard_at_any_moment() -> None:
    async with device() as plc:
        for delay_ms in range(0, 60, 3):
            stream = bridge(plc.port, poll_ms=10)
            consuming = asyncio.create_task(_consume(stream))
            await asyncio.sleep(delay_ms / 1000)
            consuming.cancel()
            done, _ = await asyncio.wait((consuming,), timeout=2)
            assert done
            assert consuming.cancelled()


async def _consume(stream: AsyncIterator[Batch]) -> None:
    async for _ in stream:
        pass


def connections_to(port: int) -> list[Any]:
    return [
        connection
        for connection in psutil.Process().net_connections("tcp")
        if connection.raddr
        and connection.raddr.port == port
        and connection.status in (psutil.CONN_ESTABLISHED, psutil.CONN_CLOSE_WAIT)
    ]


async def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("waited 10 s in vain")
