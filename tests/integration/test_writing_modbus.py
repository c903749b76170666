"""Values written to a real Modbus server: every layout, read back, refusals in words."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from itertools import count
from typing import Any, Final, NamedTuple

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from bridges.modbus.client import observe
from bridges.modbus.config import ModbusSettings
from bridges.modbus.writing import NOT_KNOWN
from tests.example import FIT, plant
from uns.model.observation import Link, Observation, Reading, SetPoint, Written
from uns.model.plant import Place, TagSpec

SECONDS_MAX: Final = 10.0
TAGS: dict[str, dict[str, Any]] = {
    "word": {"address": 0},
    "signed": {"address": 1, "type": "int16"},
    "long": {"address": 2, "type": "uint32"},
    "single": {"address": 4, "type": "float32"},
    "double": {"address": 6, "type": "float64"},
    "text": {"address": 10, "type": "string", "length": 8},
    "scaled": {"address": 14, "type": "int16", "scale": 0.1, "offset": -40},
    "flag": {"address": 15, "type": "bool"},
    "coil": {"table": "coil", "address": 3, "type": "bool"},
    "input": {"table": "input", "address": 0},
    "digits": {"address": 16, "type": "bcd32"},
    "swapped": {"address": 18, "type": "string", "length": 4, "byte_order": "little"},
    "middle": {"address": 20, "type": "float32", "byte_order": "little"},
    "bit": {"address": 22, "type": "bool", "bit": 3},
    "field": {"address": 22, "bits": [4, 6]},
}
Batch = list[Observation]


class Device(NamedTuple):
    port: int
    functions: list[int]
    refuse: dict[int, ExcCodes]
    stuck: set[int]
    ignored: set[int]

    async def registers(self, address: int, size: int) -> list[int]:
        """What another client reads."""
        async with AsyncModbusTcpClient("127.0.0.1", port=self.port) as client:
            answer = await client.read_holding_registers(address, count=size, device_id=1)
            return list(answer.registers)

    async def coil(self, address: int) -> bool:
        async with AsyncModbusTcpClient("127.0.0.1", port=self.port) as client:
            answer = await client.read_coils(address, count=1, device_id=1)
            return bool(answer.bits[0])


@asynccontextmanager
async def device() -> AsyncIterator[Device]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    plc = Device(port, [], {}, set(), set())

    async def action(function: int, *given: Any) -> ExcCodes | None:
        plc.functions.append(function)
        if function in plc.ignored and given[-1]:
            given[-1][:] = [0]
        if function in plc.stuck:
            await asyncio.sleep(SECONDS_MAX)
        return plc.refuse.get(function)

    bits = [SimData(0, count=1, values=[False] * 32, datatype=DataType.BITS)]
    words = [SimData(0, count=40, datatype=DataType.REGISTERS)]
    simulated = SimDevice(1, simdata=(bits, list(bits), words, list(words)), action=action)
    server: Any = ModbusTcpServer(simulated, address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    try:
        yield plc
    finally:
        await server.shutdown()


def places(tags: Mapping[str, dict[str, Any]]) -> dict[str, Place]:
    specs = {name: TagSpec(source=keys) for name, keys in tags.items()}
    place = plant().cells[FIT]
    return {FIT: place.model_copy(update={"cell": place.cell.model_copy(update={"tags": specs})})}


def bridge(
    port: int,
    set_points: asyncio.Queue[SetPoint],
    tags: Mapping[str, dict[str, Any]] = TAGS,
    **settings: Any,
) -> AsyncGenerator[Batch, None]:
    given = {"host": "127.0.0.1", "port": port, "poll_ms": 20, "timeout_ms": 1_000, **settings}
    parsed = ModbusSettings.model_validate(given)
    return observe(parsed, places(tags), count(1).__next__, set_points)


async def first(stream: AsyncIterator[Batch], kind: type[Observation], tag: str) -> Any:
    async with asyncio.timeout(SECONDS_MAX):
        async for batch in stream:
            for seen in batch:
                if isinstance(seen, kind) and getattr(seen, "tag", None) == tag:
                    return seen
    raise AssertionError("the bridge ended by itself")


async def written(port: int, tag: str, value: Any, **settings: Any) -> Written:
    queue: asyncio.Queue[SetPoint] = asyncio.Queue()
    async with aclosing(bridge(port, queue, **settings)) as stream:
        await first(stream, Reading, tag)
        queue.put_nowait(SetPoint("r1", FIT, tag, value))
        answer = await first(stream, Written, tag)
    assert isinstance(answer, Written)
    return answer


@pytest.mark.parametrize(
    ("tag", "value", "address", "registers", "function"),
    [
        ("word", 513, 0, [513], 6),
        ("signed", -2, 1, [0xFFFE], 6),
        ("long", 65_536, 2, [1, 0], 16),
        ("single", 71.3, 4, [0x428E, 0x999A], 16),
        ("double", 1.5, 6, [0x3FF8, 0, 0, 0], 16),
        ("text", "LOT-1", 10, [0x4C4F, 0x542D, 0x3100, 0], 16),
        ("scaled", 61.5, 14, [1_015], 6),
        ("flag", True, 15, [1], 6),
        ("digits", 12_345_678, 16, [0x1234, 0x5678], 16),
        ("swapped", "ABC", 18, [0x4241, 0x0043], 16),
        ("middle", 71.3, 20, [0x8E42, 0x9A99], 16),
        ("bit", True, 22, [0x0008], 22),
        ("field", 5, 22, [0x0050], 22),
    ],
)
async def test_a_value_is_in_the_registers_and_read_back(
    tag: str, value: Any, address: int, registers: list[int], function: int
) -> None:
    async with device() as plc:
        answer = await written(plc.port, tag, value)
        assert (answer.reason, answer.value) == (None, value)
        assert await plc.registers(address, len(registers)) == registers
        assert function in plc.functions


async def test_the_low_word_comes_first_where_the_device_wants_it() -> None:
    async with device() as plc:
        answer = await written(plc.port, "long", 65_537 * 2, word_order="little")
        assert answer.value == 131_074
        assert await plc.registers(2, 2) == [2, 2]
        await written(plc.port, "long", 65_536, word_order="little")
        assert await plc.registers(2, 2) == [0, 1]
        await written(plc.port, "text", "AB", word_order="little")
        assert await plc.registers(10, 1) == [0x4142]


async def test_a_coil_is_switched_by_function_5() -> None:
    async with device() as plc:
        assert (await written(plc.port, "coil", value=True)).value is True
        assert await plc.coil(3)
        assert 5 in plc.functions


@pytest.mark.parametrize(
    ("tag", "value", "reason"),
    [
        ("word", 65_536, "65536 is beyond the range of a uint16"),
        ("word", 1.5, "1.5 does not fit a uint16; the nearest is 2"),
        ("scaled", 61.53, "61.53 does not fit a int16; the nearest is 61.5"),
        ("single", 1e39, "beyond the range of a float32"),
        ("text", "123456789", "longer than 8 bytes"),
        ("text", "a\nb", "unprintable"),
        ("coil", 1, "1 is no bool"),
        ("word", "1", "'1' is no uint16"),
        ("input", 1, "the table 'input' of a device can only be read"),
        ("digits", 100_000_000, "beyond the range of a bcd32"),
        ("field", 8, "beyond the range of a field of 3 bits"),
    ],
)
async def test_what_registers_cannot_hold_is_not_written(tag: str, value: Any, reason: str) -> None:
    async with device() as plc:
        assert reason in str((await written(plc.port, tag, value)).reason)
        assert not {5, 6, 15, 16, 22} & set(plc.functions)


async def test_an_exception_reply_is_told_in_words() -> None:
    async with device() as plc:
        plc.refuse[6] = ExcCodes.ILLEGAL_VALUE
        answer = await written(plc.port, "word", 1)
        assert answer.reason == "the device refused it: illegal data value (exception 3)"
        assert await plc.registers(0, 1) == [0]


async def test_a_device_without_single_writes_gets_the_others() -> None:
    async with device() as plc:
        plc.refuse.update(dict.fromkeys((5, 6), ExcCodes.ILLEGAL_FUNCTION))
        assert (await written(plc.port, "word", 7, single_write=False)).value == 7
        assert (await written(plc.port, "coil", value=True, single_write=False)).value is True
        assert {15, 16} <= set(plc.functions)


async def test_bits_leave_their_neighbours_alone() -> None:
    async with device() as plc:
        async with AsyncModbusTcpClient("127.0.0.1", port=plc.port) as other:
            await other.write_register(22, 0xFF7F, device_id=1)
        assert (await written(plc.port, "bit", value=False)).value is False
        assert (await written(plc.port, "field", 2)).value == 2
        assert await plc.registers(22, 1) == [0xFF27]


async def test_bits_need_function_22_or_leave_to_write_the_whole_register() -> None:
    async with device() as plc:
        async with AsyncModbusTcpClient("127.0.0.1", port=plc.port) as other:
            await other.write_register(22, 0xFF00, device_id=1)
        plc.refuse[22] = ExcCodes.ILLEGAL_FUNCTION
        refused = await written(plc.port, "field", 5)
        assert "the device cannot write bits of a register (function 22)" in str(refused.reason)
        assert await plc.registers(22, 1) == [0xFF00]
        allowed = await written(plc.port, "field", 5, read_modify_write=True)
        assert (allowed.value, await plc.registers(22, 1)) == (5, [0xFF50])


async def test_a_device_that_takes_the_value_but_does_not_show_it() -> None:
    async with device() as plc:
        plc.ignored.add(6)
        answer = await written(plc.port, "word", 7)
        assert answer.reason == "the device took it, but shows 0 afterwards"


async def test_a_stuck_write_ends_by_its_timeout_and_the_polls_go_on() -> None:
    queue: asyncio.Queue[SetPoint] = asyncio.Queue()
    async with device() as plc, aclosing(bridge(plc.port, queue, timeout_ms=300)) as stream:
        await first(stream, Reading, "word")
        plc.stuck.add(6)
        queue.put_nowait(SetPoint("r1", FIT, "word", 7))
        answer = await first(stream, Written, "word")
        assert answer.reason == f"no answer within 300 ms: {NOT_KNOWN}"
        async with AsyncModbusTcpClient("127.0.0.1", port=plc.port) as other:
            await other.write_registers(2, [0, 9], device_id=1)
        async with asyncio.timeout(SECONDS_MAX):
            async for batch in stream:
                assert not any(isinstance(seen, Link) for seen in batch), "the unit answers polls"
                if any(isinstance(seen, Reading) and seen.value == 9 for seen in batch):
                    break


async def test_a_set_point_for_a_closed_connection_is_not_said_to_be_in_doubt() -> None:
    asked = list[int]()
    is_closed = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readexactly(12)
        asked.append(request[7])
        writer.write(request[:5] + b"\x05" + request[6:8] + b"\x02\x00\x07")
        writer.write_eof()
        await reader.read()
        is_closed.set()
        writer.close()

    queue: asyncio.Queue[SetPoint] = asyncio.Queue()
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        tags = {"word": TAGS["word"]}
        async with aclosing(bridge(port, queue, tags, poll_ms=60_000)) as stream:
            await first(stream, Reading, "word")
            await is_closed.wait()
            queue.put_nowait(SetPoint("r1", FIT, "word", 7))
            written_ = await first(stream, Written, "word")
    assert written_.reason == "the device closed the connection"
    assert asked == [3]


async def test_every_set_point_is_answered_also_when_the_device_is_lost() -> None:
    queue: asyncio.Queue[SetPoint] = asyncio.Queue()
    async with device() as plc, aclosing(bridge(plc.port, queue, timeout_ms=300)) as stream:
        await first(stream, Reading, "word")
        plc.stuck.add(3)
        for n in range(3):
            queue.put_nowait(SetPoint(f"r{n}", FIT, "word", 7))
        answers = [await first(stream, Written, "word") for _ in range(3)]
        assert {answer.request_id for answer in answers} == {"r0", "r1", "r2"}
        assert all("no answer within 300 ms" in str(answer.reason) for answer in answers)
