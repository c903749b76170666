"""Several units on one connection, on every transport: good days, dead neighbours, late replies."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
from pymodbus.constants import ExcCodes

from bridges.modbus import station
from bridges.modbus.client import observe
from bridges.modbus.config import ModbusSettings
from tests.modbus_devices import devices, terminal, with_crc
from tests.watching import WAIT_S_MAX, Batch, Watch, now_ms, places, watching
from uns.model.observation import Link, SetPoint
from uns.model.plant import Place

TRANSPORTS: Final = ("tcp", "rtu-over-tcp", "serial")
TIMEOUT_MS: Final = 200
SOURCES: Final[dict[str, dict[str, Any]]] = {
    "one": {"address": 0, "unit": 1},
    "two": {"address": 0, "unit": 2, "type": "float32", "word_order": "little"},
}
SERIAL: Final = {"transport": "serial", "parity": "none"}  # a pseudo-terminal has no parity
every_transport = pytest.mark.parametrize("transport", TRANSPORTS)


def following(
    given: Mapping[str, Any],
    tags: Mapping[str, Mapping[str, Any]] = SOURCES,
    keys: Mapping[str, Any] | None = None,
    **more: Any,
) -> AbstractAsyncContextManager[Watch]:
    settings = ModbusSettings.model_validate(
        {"poll_ms": 20, "timeout_ms": TIMEOUT_MS, **given, **more}
    )

    def bridge(
        read: Mapping[str, Place], set_points: asyncio.Queue[SetPoint]
    ) -> AsyncGenerator[Batch, None]:
        return observe(settings, read, now_ms, set_points)

    return watching(bridge, places(tags, **(keys or {})))


def links(watch: Watch, unit: int) -> list[Link]:
    return [link for link in watch.links() if link.endpoint.endswith(f"/{unit}")]


async def up(watch: Watch, unit: int) -> Link:
    found = await watch.until(lambda: (all_ := links(watch, unit)) and all_[-1].up and all_[-1])
    assert isinstance(found, Link)
    return found


async def down(watch: Watch, unit: int) -> Link:
    found = await watch.until(lambda: (all_ := links(watch, unit)) and not all_[-1].up and all_[-1])
    assert isinstance(found, Link)
    return found


async def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("waited 10 s in vain")


@every_transport
async def test_units_of_one_connection_are_read_and_written(transport: str) -> None:
    async with devices(transport) as them, following(them.settings) as watch:
        for unit, tag in ((1, "one"), (2, "two")):
            assert (await up(watch, unit)).feeds == ((places(SOURCES).popitem()[0], tag),)
        await them.write(1, 0, [7])
        await them.write(2, 0, [0x999A, 0x428E])
        await watch.value("one", 7)
        await watch.value("two", 71.3)
        answer = await watch.written("two", -2.5)
        assert (answer.reason, answer.value) == (None, -2.5)
        assert (await them.read(2, 1), await them.read(1, 0)) == (0xC020, 7)
        assert them.connections == 1, "a gateway may allow no more"


@every_transport
async def test_a_dead_unit_costs_its_neighbour_one_time_out_a_try(transport: str) -> None:
    async with devices(transport) as them, following(them.settings) as watch:
        them.mute.add(2)
        link = await down(watch, 2)
        assert link.reason == f"no answer within {TIMEOUT_MS} ms"
        await up(watch, 1)
        before, since_s = them.polls(1), time.monotonic()
        await eventually(lambda: them.polls(1) >= before + 100)
        spent_s = time.monotonic() - since_s
        assert len(links(watch, 2)) == 1, "told once"
        assert all(link.up for link in links(watch, 1)), "the live one is never down"
        assert spent_s < 100 * 0.05 + 8 * (TIMEOUT_MS / 1000 + 0.05), "the tries become rare"


@every_transport
async def test_the_living_go_between_any_two_tries_of_the_dead(transport: str) -> None:
    """Half of the units are dead and due all the time."""
    dead, living = {2, 3, 4}, {1, 5, 6}
    tags = {f"t{unit}": {"address": 0, "unit": unit} for unit in dead | living}
    async with (
        devices(transport, (1, 2, 3, 4, 5, 6)) as them,
        following(them.settings, tags, timeout_ms=100, back_off_ms_max=50) as watch,
    ):
        them.mute |= dead
        for unit in living:
            await up(watch, unit)
        them.asked.clear()

        def tries() -> list[int]:
            return [i for i, (unit, *_) in enumerate(them.asked) if unit in dead]

        await eventually(lambda: len(tries()) >= 9)
        for one, next_ in pairwise(tries()):
            assert living <= {unit for unit, *_ in them.asked[one:next_]}
        assert {them.asked[i][0] for i in tries()[:6]} == dead, "none waits for ever"


@every_transport
async def test_a_unit_that_comes_back_is_up_with_all_its_tags(transport: str) -> None:
    async with devices(transport) as them, following(them.settings) as watch:
        await up(watch, 2)
        them.mute.add(2)
        await down(watch, 2)
        them.mute.clear()
        await them.write(1, 0, [9])
        await watch.value("one", 9)
        await up(watch, 2)
        assert len(watch.readings("two")) == 2, "once with each link"
        assert [link.up for link in links(watch, 1)] == [True]


async def test_a_refusal_that_has_passed_splits_no_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(station, "PLAN_S_MAX", 0.5)
    tags = {"one": {"address": 0, "unit": 1}, "near": {"address": 1, "unit": 1}}
    async with devices() as them, following(them.settings, tags) as watch:
        await up(watch, 1)
        them.refuse[1, 3] = ExcCodes.ILLEGAL_ADDRESS
        await watch.until(lambda: (last := watch.last("near")) and last.quality == "bad")
        them.refuse.clear()
        await watch.until(lambda: (last := watch.last("near")) and last.quality == "good")
        assert them.asked[-1][3] == 1, "split, and for how long"
        them.asked.clear()
        await eventually(lambda: (1, 3, 0, 2) in them.asked)
        them.asked.clear()
        await eventually(lambda: len(them.asked) >= 3)
        assert set(them.asked) == {(1, 3, 0, 2)}
        assert [link.up for link in watch.links()] == [True]


async def test_a_unit_its_gateway_cannot_reach_is_absent_in_words() -> None:
    async with devices() as them, following(them.settings) as watch:
        them.refuse[2, 3] = ExcCodes.GATEWAY_NO_RESPONSE
        link = await down(watch, 2)
        assert link.reason == "gateway target device failed to respond (exception 11)"
        await up(watch, 1)
        them.refuse[1, 3] = ExcCodes.GATEWAY_PATH_UNAVIABLE
        assert (await down(watch, 1)).reason == "gateway path unavailable (exception 10)"
        them.refuse.clear()
        await up(watch, 1)
        assert them.connections == 1, "an answer is no reason to drop the connection"


async def test_a_set_point_for_an_absent_unit_is_refused_at_once() -> None:
    async with devices() as them, following(them.settings, timeout_ms=2_000) as watch:
        them.mute.add(2)
        await down(watch, 2)
        since_s = time.monotonic()
        answer = await watch.written("two", 1.0)
        assert answer.reason == "no answer within 2000 ms"
        assert time.monotonic() - since_s < 2.5, "it waits for a try under way, and costs none"


async def test_the_end_of_the_connection_is_the_end_of_all_units() -> None:
    async with devices() as them, following(them.settings) as watch:
        await up(watch, 1)
        await up(watch, 2)
        await them.server.shutdown()
        await down(watch, 1)
        await down(watch, 2)
        async with asyncio.timeout(WAIT_S_MAX):
            while "no connection to" not in str((await watch.written("two", 1.0)).reason):
                pass
        assert len(watch.links()) == 4, "each up and down once"


async def test_an_end_is_told_once_however_often_its_reason_changes() -> None:
    """A dying gateway is silent, hangs up and answers something else, in turn."""
    tries = list[int]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(tries)
        tries.append(number)
        with suppress(asyncio.IncompleteReadError):
            request = await reader.readexactly(12)
            if number % 3 == 1:
                writer.write(bytes([number, *request[1:5], 5, *request[6:8], 2, 0, 7]))
            if number % 3 == 2:
                await reader.read()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        given = {"host": "127.0.0.1", "port": server.sockets[0].getsockname()[1]}
        tags = {"one": SOURCES["one"]}
        async with following(given, tags, timeout_ms=50, back_off_ms_max=50) as watch:
            await eventually(lambda: len(tries) >= 9)
            assert [link.up for link in watch.links()] == [False]


async def test_a_gateway_that_hangs_up_on_an_unknown_unit_takes_nobody_else_down() -> None:
    asked = list[int]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while (request := await reader.readexactly(12))[6] == 1:
                asked.append(1)
                writer.write(request[:5] + b"\x05" + request[6:8] + b"\x02\x00\x07")
            asked.append(2)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with following({"host": "127.0.0.1", "port": port}) as watch:
            await watch.value("one", 7)
            await eventually(lambda: asked.count(2) >= 4)
            assert [link.reason for link in links(watch, 2)] == ["the device closed the connection"]
            assert [link.up for link in links(watch, 1)] == [True]


async def test_record_every_gives_a_sample_a_poll_each_with_its_time() -> None:
    tags = {"one": SOURCES["one"]}
    async with devices() as them, following(them.settings, tags, {"record": "every"}) as watch:
        await watch.until(lambda: len(watch.readings("one")) >= 20)
        samples, polls = watch.readings("one"), them.polls(1)
        times = [reading.at_ms for reading in samples]
        assert {reading.value for reading in samples} == {0}
        assert times == sorted(times)
        assert times[-1] - times[0] >= 19 * 20 * 0.9, "the rhythm of the polls"
        assert polls - len(watch.readings("one")) <= 1, "no poll without its sample"


async def test_a_poll_that_is_cut_short_loses_no_sample() -> None:
    asked = 0

    def reply(frame: bytes) -> list[tuple[float, bytes]]:
        nonlocal asked
        asked += 1
        return [(0.0, own_address(frame))] if asked <= 7 else []

    slave = Slave(reply)
    async with terminal(slave.hear) as (path, slave.say):
        given = {**SERIAL, "device": path}
        async with following(given, TWO_BLOCKS, {"record": "every"}) as watch:
            await down(watch, 1)
            assert (watch.values("low"), watch.values("high")) == ([11] * 4, [101] * 3)


async def test_a_pause_is_kept_between_requests() -> None:
    tags = {"one": {"address": 0, "unit": 1}, "far": {"address": 100, "unit": 1}}
    async with devices() as them, following(them.settings, tags, pause_ms=50) as watch:
        await up(watch, 1)
        before, since_s = len(them.asked), time.monotonic()
        await eventually(lambda: len(them.asked) >= before + 6)
        assert time.monotonic() - since_s >= 5 * 0.05


# --- a serial line by hand -------------------------------------------------------------------


class Slave:
    """A device on a terminal that answers each request as `reply` says: (delay_s, bytes), ..."""

    def __init__(self, reply: Callable[[bytes], list[tuple[float, bytes]]]) -> None:
        self.heard: list[tuple[float, bytes]] = []
        self.spoke_s = 0.0
        self.say: Callable[[bytes], None] = lambda _: None
        self._reply = reply
        self._buffer = b""

    def hear(self, said: bytes) -> None:
        self._buffer += said
        frame = self._buffer
        if len(frame) < 4 or with_crc(frame[:-2]) != frame:
            return
        self.heard.append((time.monotonic(), frame))
        self._buffer = b""
        for delay_s, answer in self._reply(frame):
            asyncio.get_running_loop().call_later(delay_s, self._speak, answer)

    def _speak(self, answer: bytes) -> None:
        self.spoke_s = time.monotonic()
        self.say(answer)


def holding(frame: bytes, *registers: int) -> bytes:
    words = b"".join(register.to_bytes(2) for register in registers)
    return with_crc(frame[:2] + bytes([len(words)]) + words)


def own_address(frame: bytes) -> bytes:
    """A register holds its address plus one."""
    return holding(frame, int.from_bytes(frame[2:4]) + 1)


TWO_BLOCKS: Final = {"low": {"address": 10}, "high": {"address": 100}}


@pytest.mark.parametrize("late_s", [0.25, 0.35, 0.55])
async def test_a_late_reply_on_a_serial_line_is_never_taken_for_another(late_s: float) -> None:
    """Nothing in an RTU reply tells `low` from `high`: only silence does."""
    asked = 0

    def reply(frame: bytes) -> list[tuple[float, bytes]]:
        nonlocal asked
        asked += 1
        return [(late_s if asked % 8 in (3, 4) else 0.0, own_address(frame))]

    slave = Slave(reply)
    async with terminal(slave.hear) as (path, slave.say):
        given = {**SERIAL, "device": path}
        async with following(given, TWO_BLOCKS) as watch:
            await watch.until(lambda: sum(link.up for link in watch.links()) >= 3)
            assert set(watch.values("low")) == {11}
            assert set(watch.values("high")) == {101}


async def test_a_set_point_that_never_went_out_is_not_said_to_be_in_doubt() -> None:
    slave = Slave(lambda frame: [(0.0, own_address(frame))])
    async with terminal(slave.hear) as (path, slave.say):
        given = {**SERIAL, "device": path, "baud_rate": 1_200, "poll_ms": 60_000}
        async with following(given, {"low": {"address": 10}}) as watch:
            await up(watch, 1)
            noise = asyncio.create_task(_noise(slave.say))
            answer = await watch.written("low", 3)
            noise.cancel()
            assert answer.reason == "the line is never silent"
            assert len(slave.heard) == 1, "only the poll"


async def _noise(say: Callable[[bytes], None]) -> None:
    while True:
        say(b"\x55")
        await asyncio.sleep(0.001)


async def test_noise_between_requests_is_thrown_away_and_silence_kept() -> None:
    def reply(frame: bytes) -> list[tuple[float, bytes]]:
        return [(0.0, own_address(frame)), (0.015, b"\x01\x03\x02\x02"), (0.03, b"\x9a\x55")]

    slave = Slave(reply)
    gaps = list[float]()

    def hear(said: bytes) -> None:
        gaps.append(time.monotonic() - slave.spoke_s)
        slave.hear(said)

    async with terminal(hear) as (path, slave.say):
        given = {**SERIAL, "device": path, "baud_rate": 1_200, "poll_ms": 40}
        async with following(given, TWO_BLOCKS) as watch:
            await eventually(lambda: len(slave.heard) >= 20)
            assert [link.up for link in watch.links()] == [True]
            assert (watch.values("low"), watch.values("high")) == ([11], [101])
    assert min(gaps) >= 3.5 * 11 / 1_200 * 0.95, "3.5 characters since the last byte"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda frame: holding(frame, 1, 2), "a reply of 4 bytes, not 2"),
        (lambda frame: with_crc(frame[:1] + b"\x04\x02\x00\x01"), "a reply to function 4, not 3"),
        (lambda frame: holding(b"\x07" + frame[1:], 1), "no answer within 200 ms"),
        (lambda frame: holding(frame, 1)[:-1] + b"\x00", "no answer within 200 ms"),
    ],
)
async def test_a_serial_reply_that_does_not_fit_is_no_value(
    answer: Callable[[bytes], bytes], reason: str
) -> None:
    slave = Slave(lambda frame: [(0.0, answer(frame))])
    async with terminal(slave.hear) as (path, slave.say):
        given = {**SERIAL, "device": path}
        async with following(given, {"low": {"address": 10}}) as watch:
            assert (await down(watch, 1)).reason == reason
            await eventually(lambda: len(slave.heard) >= 3)
            assert watch.readings("low") == []


async def test_a_serial_port_that_is_not_there_and_then_is(tmp_path: Path) -> None:
    port = tmp_path / "ttyUSB0"
    slave = Slave(lambda frame: [(0.0, own_address(frame))])
    given = {**SERIAL, "device": str(port)}
    async with following(given, {"low": {"address": 10}}) as watch:
        assert (await down(watch, 1)).reason == f"no connection to {port}"
        async with terminal(slave.hear) as (path, slave.say):
            port.symlink_to(path)
            await watch.value("low", 11)
            port.unlink()
        await down(watch, 1)


async def test_a_value_is_never_older_than_its_time() -> None:
    """The device reads its register, then takes its time to say so."""

    def stamped(frame: bytes) -> list[tuple[float, bytes]]:
        low = now_ms() & 0xFFFF_FFFF
        return [(0.1, holding(frame, low >> 16, low & 0xFFFF))]

    slave = Slave(stamped)
    async with terminal(slave.hear) as (path, slave.say):
        given = {**SERIAL, "device": path}
        async with following(given, {"now": {"address": 0, "type": "uint32"}}) as watch:
            await watch.until(lambda: len(watch.readings("now")) >= 5)
            for reading in watch.readings("now"):
                assert isinstance(reading.value, int)
                age_ms = (reading.at_ms & 0xFFFF_FFFF) - reading.value
                assert -100 < age_ms <= 0
