"""The Modbus bridge against npm modbus-serial, with Debian's mbpoll as witness.

mbpoll shares no code with either side: what it writes the bridge must publish, what the bridge
writes it must read. It also reads the registers that the demo's own devices serve.
"""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import pytest
import pytest_asyncio

from tests.bridged import modbus
from tests.brokers import free_port
from tests.example import WASH
from tests.foreign import ForeignServer, modbus_server
from tests.watching import Watch, now_ms, places, watching
from uns.demo.modbus_plc import ModbusPlc
from uns.demo.plc import TagName

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="module")]

TIMEOUT_MS: Final = 1_000
MBPOLL_S_MAX: Final = 10
Follow = AbstractAsyncContextManager[Watch]
# name: source, registers or bits, the value they are
LAYOUTS: Final[dict[str, tuple[dict[str, Any], list[int], Any]]] = {
    "word": ({"address": 0}, [0xFFFE], 65_534),
    "signed": ({"address": 1, "type": "int16"}, [0xFFFE], -2),
    "long": ({"address": 2, "type": "uint32"}, [0x0001, 0x0002], 65_538),
    "whole": ({"address": 4, "type": "int32"}, [0xFFFF, 0xFFFE], -2),
    "huge": ({"address": 6, "type": "uint64"}, [0xFFFF] * 4, 2**64 - 1),
    "deep": ({"address": 10, "type": "int64"}, [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE], -2),
    "single": ({"address": 14, "type": "float32"}, [0x428E, 0x999A], 71.3),
    "double": ({"address": 16, "type": "float64"}, [0x3FB9, 0x9999, 0x9999, 0x999A], 0.1),
    "text": ({"address": 20, "type": "string", "length": 6}, [0x4C4F, 0x542D, 0x3100], "LOT-1"),
    "scaled": ({"address": 23, "type": "int16", "scale": 0.1, "offset": -40}, [1_015], 61.5),
    "flag": ({"address": 24, "type": "bool"}, [1], True),
    "reading": ({"table": "input", "address": 7, "type": "float32"}, [0xC2F6, 0xE979], -123.456),
    "coil": ({"table": "coil", "address": 9, "type": "bool"}, [1], True),
    "contact": ({"table": "discrete", "address": 17, "type": "bool"}, [1], True),
}
SOURCES: Final = {name: source for name, (source, _, _) in LAYOUTS.items()}
CODES: Final = {"coil": "0", "discrete": "1", "input": "3:hex", "holding": "4:hex"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def device() -> AsyncIterator[ForeignServer]:
    async with modbus_server() as server:
        yield server


def following(port: int, tags: Mapping[str, Mapping[str, Any]], **settings: Any) -> Follow:
    return watching(modbus(port, timeout_ms=TIMEOUT_MS, **settings), places(tags))


def location(name: str, unit: int = 1) -> list[Any]:
    """A layout's place as the server's orders name it."""
    source = SOURCES[name]
    return [unit, source.get("table", "holding"), source["address"]]


async def hold(device: ForeignServer, unit: int = 1) -> None:
    """Let the device have every layout's registers."""
    for name, (_, registers, _) in LAYOUTS.items():
        await device.ask(set=[*location(name, unit), registers])


async def mbpoll(port: int, place: list[Any], *values: str, size: int = 1) -> list[int]:
    """Run mbpoll once on a place: read so many registers or bits, or write values."""
    program = shutil.which("mbpoll")
    if program is None and os.environ.get("CI"):
        pytest.fail("needs Debian's mbpoll")
    if program is None:
        pytest.skip("needs Debian's mbpoll")
    unit, table, address = place
    options = ["-m", "tcp", "-0", "-1", "-p", port, "-a", unit, "-t", CODES[table], "-r", address]
    count = [] if values else ["-c", size]
    process = await asyncio.create_subprocess_exec(
        *map(str, [program, *options, *count, "127.0.0.1", *values]),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(MBPOLL_S_MAX):
        said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    return [int(found, 0) for found in re.findall(r"^\[\d+\]:\s+(\w+)", said, re.MULTILINE)]


# --- values, times, quality


async def test_every_layout_is_read(device: ForeignServer) -> None:
    await hold(device)
    before_ms = now_ms()
    async with following(device.port, SOURCES) as watch:
        for name, (_, _, value) in LAYOUTS.items():
            reading = await watch.value(name, value)
            assert (reading.quality, type(reading.value)) == ("good", type(value))
            assert before_ms <= reading.at_ms <= now_ms()


async def test_the_low_word_comes_first_where_the_device_has_it_so(device: ForeignServer) -> None:
    await device.ask(set=[*location("long"), [0x0002, 0x0001]])
    async with following(device.port, {"long": SOURCES["long"]}, word_order="little") as watch:
        await watch.value("long", 65_538)


async def test_each_unit_has_registers_of_its_own(device: ForeignServer) -> None:
    for unit, value in ((1, 11), (2, 22)):
        await device.ask(set=[*location("word", unit), [value]])
        async with following(device.port, {"word": SOURCES["word"]}, unit=unit) as watch:
            await watch.value("word", value)


@pytest.mark.parametrize(
    ("code", "words"), [(2, "illegal data address"), (6, "server device busy")]
)
async def test_an_exception_is_a_bad_value_in_words_until_it_ends(
    device: ForeignServer, code: int, words: str
) -> None:
    await hold(device)
    async with following(device.port, {name: SOURCES[name] for name in ("word", "coil")}) as watch:
        await watch.value("word", 65_534)
        await device.ask(refuse=[1, 3, code])
        await watch.value("word", None)
        refused = watch.last("word")
        assert refused
        assert refused.quality == "bad"
        assert words in str(refused.reason)
        assert (await watch.value("coil", value=True)).quality == "good"
        await device.ask(refuse=[1, 3, 0])
        await watch.until(lambda: (last := watch.last("word")) and last.quality == "good")


async def test_an_address_the_device_has_not_costs_only_its_tag(device: ForeignServer) -> None:
    await hold(device)
    tags = {"last": {"address": 999}, "beyond": {"address": 1_000}}
    await device.ask(set=[1, "holding", 999, [5]])
    async with following(device.port, tags) as watch:
        await watch.value("last", 5)
        reading = await watch.until(lambda: watch.last("beyond"))
        assert "illegal data address" in reading.reason


async def test_a_counter_is_read_whole_and_at_its_time(device: ForeignServer) -> None:
    tags = {
        "counter": {"address": 100, "type": "uint32"},
        "served": {"address": 102, "type": "uint64"},
    }
    await device.ask(count=50)
    async with following(device.port, tags) as watch:
        await watch.until(lambda: len(watch.readings("counter")) > 10)
    await device.ask(count=0)
    counts = watch.values("counter")
    assert counts == sorted(set(counts))
    for served in watch.readings("served"):
        assert isinstance(served.value, int)
        assert 0 <= served.value - served.at_ms <= TIMEOUT_MS, "not older than its time says"


# --- write-back, with mbpoll as witness

WRITTEN: Final = [name for name in LAYOUTS if name not in ("reading", "contact")]


@pytest.mark.parametrize("name", WRITTEN)
async def test_what_is_written_is_read_by_mbpoll(device: ForeignServer, name: str) -> None:
    source, registers, value = LAYOUTS[name]
    place = location(name)
    await device.ask(set=[*place, [0] * len(registers)])
    async with following(device.port, {name: source}) as watch:
        await watch.until(lambda: watch.last(name))
        answer = await watch.written(name, value)
        assert (answer.reason, answer.value) == (None, value)
        assert await mbpoll(device.port, place, size=len(registers)) == registers
        await watch.value(name, value)


async def test_what_mbpoll_writes_is_published(device: ForeignServer) -> None:
    names = ("word", "coil")
    async with following(device.port, {name: SOURCES[name] for name in names}) as watch:
        for word, bit in ((7, 1), (8, 0)):
            await mbpoll(device.port, location("word"), str(word))
            await mbpoll(device.port, location("coil"), str(bit))
            await watch.value("word", word)
            await watch.value("coil", bool(bit))


async def test_a_refused_write_is_told_in_words(device: ForeignServer) -> None:
    await device.ask(set=[*location("word"), [3]])
    await device.ask(refuse=[1, 6, 4])
    async with following(device.port, {"word": SOURCES["word"]}) as watch:
        await watch.value("word", 3)
        answer = await watch.written("word", 4)
        assert answer.reason == "the device refused it: server device failure (exception 4)"
        assert await mbpoll(device.port, location("word")) == [3]
    await device.ask(refuse=[1, 6, 0])


# --- the demo's own device, seen by mbpoll


async def test_mbpoll_reads_and_writes_what_the_demo_serves() -> None:
    names = ("word", "signed", "long", "single", "text")
    sources = {name: SOURCES[name] for name in names}
    port = free_port()
    plc = ModbusPlc(places(sources), {"host": "127.0.0.1", "port": port})
    await plc.start({TagName(WASH, name): LAYOUTS[name][2] for name in names}, at_ms=0)
    try:
        for name in names:
            registers = LAYOUTS[name][1]
            assert await mbpoll(port, location(name), size=len(registers)) == registers
        async with following(port, sources) as watch:
            await mbpoll(port, location("word"), "12")
            await watch.value("word", 12)
            assert (await watch.written("long", 7)).value == 7
            assert await mbpoll(port, location("long"), size=2) == [0, 7]
    finally:
        await plc.stop()
