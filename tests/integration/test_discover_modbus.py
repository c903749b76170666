"""`uns discover modbus` before devices with holes, odd refusals and several units."""

import asyncio
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

import pytest
from pymodbus.constants import ExcCodes
from pymodbus.pdu.device import ModbusControlBlock
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from bridges.modbus.scan import READ, worth_asking
from tests.brokers import free_port
from tests.modbus_devices import devices
from tests.pasting import proposed
from tests.terminal import Answer, Cli

WRITES: Final = {5, 6, 15, 16, 22, 23}
FORCE: Final = struct.unpack(">HH", struct.pack(">f", 71.3))
LOT: Final = struct.unpack(">4H", b"LOT-17\0\0")
Refuse = Callable[[int, int, int], ExcCodes | None]


@pytest.fixture
def uns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Cli(monkeypatch, capsys)


class Meter:
    """A device on a port; `asked` is each function, address and count."""

    def __init__(self) -> None:
        self.port = free_port()
        self.asked: list[tuple[int, int, int]] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


def words(start: int, *values: int) -> SimData:
    return SimData(start, values=list(values), datatype=DataType.REGISTERS)


@asynccontextmanager
async def meter(
    holding: list[SimData], refuse: Refuse = lambda *_: None, answers_max: int = 10_000
) -> AsyncIterator[Meter]:
    """A device that takes every unit id, and falls silent after so many answers."""
    it = Meter()

    async def action(function: int, _: int, address: int, count: int, *__: Any) -> Any:
        return refuse(function, address, count)

    def passing(sending: bool, pdu: Any) -> Any:  # noqa: FBT001 - pymodbus calls it so
        if sending:
            return pdu
        it.asked.append((pdu.function_code, pdu.address, pdu.count))
        return pdu if len(it.asked) <= answers_max else None

    bits = [SimData(0, count=1, values=[True] + [False] * 15, datatype=DataType.BITS)]

    parts = (bits, list(bits), holding, [words(7, 55)])
    device = SimDevice(0, simdata=parts, action=action)
    server: Any = ModbusTcpServer(device, address=("127.0.0.1", it.port), trace_pdu=passing)
    await server.serve_forever(background=True)
    try:
        yield it
    finally:
        await server.shutdown()


async def typed(uns: Cli, *arguments: str | Path) -> Answer:
    """A command, beside the servers of this test."""
    return await asyncio.to_thread(uns, "discover", "modbus", *arguments)


async def test_ranges_with_holes_are_found_to_the_register(uns: Cli) -> None:
    holding = [words(0, 700, *FORCE, *LOT), words(130, 5), words(402, *range(1, 21))]
    async with meter(holding) as it:
        answer = await typed(
            uns, it.address, "--unit", "1", "--addresses", "0-499", "--requests", "5000",
            "--pause", "0", "--json",
        )  # fmt: skip
    (unit,) = answer.json["units"]
    assert unit["readable"] == [
        ["coil", 0, 15], ["discrete", 0, 15],
        ["holding", 0, 6], ["holding", 130, 130], ["holding", 402, 421], ["input", 7, 7],
    ]  # fmt: skip
    values = {tag["name"]: tag["value"] for tag in unit["tags"]}
    assert (values["holding-0"], values["holding-1"], values["holding-3"], values["input-7"]) == (
        700, 71.3, "LOT-17", 55,
    )  # fmt: skip
    assert len(it.asked) == answer.json["requests"]
    assert not {function for function, *_ in it.asked} & WRITES


async def test_the_number_of_requests_is_bounded_and_said(uns: Cli) -> None:
    async with meter([words(3_000, 1)]) as it:
        answer = await typed(uns, it.address, "--unit", "1", "--requests", "50", "--pause", "0")
        assert len(it.asked) <= 52  # the unit is looked for, and asked who it is
    assert answer.code == 0
    assert "ranges that were refused as a whole were not looked at closer" in answer.out
    assert "52 requests" in answer.err


async def test_what_is_beside_readable_addresses_is_asked_first(uns: Cli) -> None:
    async with meter([words(0, *range(1, 61))]) as it:
        answer = await typed(
            uns, it.address, "--unit", "1", "--requests", "60", "--pause", "0", "--json"
        )
    (unit,) = answer.json["units"]
    assert [span for span in unit["readable"] if span[0] != "input"] == [
        ["coil", 0, 15], ["discrete", 0, 15], ["holding", 0, 59],
    ]  # fmt: skip


async def test_the_proposal_passes_the_check(uns: Cli, tmp_path: Path) -> None:
    out = tmp_path / "meter.yaml"
    async with meter([words(0, 700, *FORCE, *LOT)]) as it:
        answer = await typed(uns, it.address, "--addresses", "0-99", "--out", out, "--pause", "0")
    assert (answer.code, answer.out) == (0, "")
    text = out.read_text()
    place = proposed(text)
    assert place.cell.tags["holding-1"].source == {
        "table": "holding", "address": 1, "type": "float32",
    }  # fmt: skip
    assert "Modbus tells no names, types or units" in text
    assert place.bridge == "meter"


async def test_one_device_for_every_unit_id_is_looked_at_once(uns: Cli) -> None:
    async with meter([words(0, 1)]) as it:
        answer = await typed(uns, it.address, "--addresses", "0-9", "--json", "--pause", "0")
    assert answer.json["answering"] == list(range(1, 11))
    assert answer.json["takes_any"]
    assert [unit["unit"] for unit in answer.json["units"]] == [1]
    assert "only these were looked at: 1" in answer.err


@pytest.mark.parametrize(
    ("answers", "anybody", "units"),
    [
        ({1: READ, 2: READ}, None, [1, 2]),
        ({1: READ, 2: READ}, READ, [1]),
        ({1: "failure", 2: READ, 3: "failure"}, "failure", [2]),
        ({1: "failure", 2: "failure"}, "failure", [1]),
        ({1: READ, 2: "illegal data address", 3: READ}, READ, [2, 1]),
    ],
)
async def test_units_that_answer_as_nobody_does_are_looked_at_once(
    answers: dict[int, str], anybody: str | None, units: list[int]
) -> None:
    assert worth_asking(answers, anybody) == units


async def test_the_units_that_answer_are_found(uns: Cli) -> None:
    async with devices(units=(2, 5)) as them:
        them.mute = {1, 3, 4, 6, 247}
        await them.write(5, 17, [4711])
        answer = await typed(
            uns, f"127.0.0.1:{them.settings['port']}", "--unit", "1-6", "--timeout", "100",
            "--addresses", "0-299", "--pause", "0", "--json",
        )  # fmt: skip
    assert answer.json["answering"] == [2, 5]
    assert not answer.json["takes_any"]
    assert {"unit": 5, "table": "holding", "address": 17} in [
        tag["source"] for unit in answer.json["units"] for tag in unit["tags"]
    ]
    assert ["holding", 0, 199] in answer.json["units"][0]["readable"]


async def test_a_table_that_is_not_there_is_asked_for_once(uns: Cli) -> None:
    def refuse(function: int, *_: int) -> ExcCodes | None:
        return ExcCodes.ILLEGAL_FUNCTION if function in (1, 2) else None

    async with meter([words(0, 1)], refuse) as it:
        answer = await typed(uns, it.address, "--unit", "1", "--addresses", "0-9", "--pause", "0")
    assert "no table coil: illegal function (exception 1)" in answer.out
    counts = Counter(function for function, *_ in it.asked)
    assert (counts[1], counts[2]) == (1, 1)


async def test_a_device_with_small_blocks_is_read_in_small_blocks(uns: Cli) -> None:
    def refuse(_: int, __: int, count: int) -> ExcCodes | None:
        return ExcCodes.ILLEGAL_VALUE if count > 20 else None

    async with meter([words(0, *range(1, 101))], refuse) as it:
        answer = await typed(
            uns, it.address, "--unit", "1", "--addresses", "0-99", "--pause", "0", "--json"
        )
    assert ["holding", 0, 99] in answer.json["units"][0]["readable"]


async def test_a_device_that_falls_silent_is_left_alone(uns: Cli) -> None:
    async with meter([words(0, 1)], answers_max=3) as it:
        answer = await typed(uns, it.address, "--unit", "1", "--timeout", "100", "--json")
    (unit,) = answer.json["units"]
    assert unit["remarks"][-1] == "asked no further: no answer 3 times in a row"
    assert len(it.asked) == 6


async def test_a_device_says_who_it_is(uns: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    identity: Any = cast("Any", ModbusControlBlock)().Identity
    monkeypatch.setattr(identity, "stat_data", {0: "Acme", 1: "PM-5", 2: "1.7"})
    async with meter([words(0, 1)]) as it:
        answer = await typed(
            uns, it.address, "--unit", "1", "--addresses", "0-9", "--pause", "0", "--json"
        )
    (unit,) = answer.json["units"]
    assert unit["identity"] == ["vendor: Acme", "product: PM-5", "revision: 1.7"]


@pytest.mark.parametrize("transport", ["rtu-over-tcp", "serial"])
async def test_serial_lines_are_looked_at_too(uns: Cli, transport: str) -> None:
    async with devices(transport, units=(1, 2)) as them:
        them.mute = {3}
        await them.write(2, 0, [1, 2, 3])
        where = (
            ["--serial", them.settings["device"], "--parity", "none"]
            if transport == "serial"
            else ["--rtu-over-tcp", f"127.0.0.1:{them.settings['port']}"]
        )
        answer = await typed(
            uns, *where, "--unit", "1-3", "--addresses", "0-19", "--timeout", "400", "--json"
        )
    assert answer.json["answering"] == [1, 2]
    assert [tag["value"] for tag in answer.json["units"][1]["tags"]] == [1, 2, 3]


async def test_nobody_there_is_said_in_one_line(uns: Cli) -> None:
    port = free_port()
    line = await asyncio.to_thread(uns.fails, 1, "discover", "modbus", f"127.0.0.1:{port}")
    assert line == f"uns: 127.0.0.1:{port}: no connection to 127.0.0.1:{port}"
    async with devices(units=(1,)) as them:
        them.mute = {1, 2, 3}
        where = f"127.0.0.1:{them.settings['port']}"
        asked = ("discover", "modbus", where, "--unit", "1-3", "--timeout", "60")
        line = await asyncio.to_thread(uns.fails, 1, *asked)
    assert "no unit answers (1 to 3 asked, 60 ms each)" in line


def test_wrong_options_are_said(uns: Cli, tmp_path: Path) -> None:
    (tmp_path / "there.yaml").write_text("mine")
    for wrong, said in {
        (): "name a HOST",
        ("10.0.0.7", "--serial", "/dev/ttyUSB0"): "name a HOST",
        ("10.0.0.7:x",): "no HOST[:PORT]",
        ("10.0.0.7", "--unit", "5-3"): "--unit '5-3': use 1-10",
        ("10.0.0.7", "--unit", "256"): "from 0 to 255",
        ("10.0.0.7", "--addresses", "0-70000"): "--addresses",
        ("10.0.0.7", "--name", "My Meter"): "--name",
        ("10.0.0.7", "--out", str(tmp_path / "there.yaml")): "exists already",
        ("10.0.0.7", "--out", str(tmp_path / "no" / "x.yaml")): "No such file",
        ("10.0.0.7:99999",): "port",
    }.items():
        assert said in uns.fails(2, "discover", "modbus", *wrong)
    assert (tmp_path / "there.yaml").read_text() == "mine"
