"""`uns bridge test` before devices that are right, and before every kind that is wrong."""

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.server.server import Server
from asyncua.ua.status_codes import StatusCodes
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tests.brokers import free_port
from tests.certificates import URI, issued
from tests.modbus_devices import devices
from tests.pasting import CELL, plant_text
from tests.terminal import Answer, Cli

SPACE: Final = "urn:acme:plant"
PLC: Final = issued()
Row = Mapping[str, Any]

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Bench:
    """Writes a plant with one bridge and tests it."""

    def __init__(self, uns: Cli, folder: Path) -> None:
        self.uns = uns
        self.folder = folder

    async def __call__(
        self, bridge: Mapping[str, Any], tags: Mapping[str, Any], *more: str | Path
    ) -> Answer:
        file = self.folder / "plant.yaml"
        await asyncio.to_thread(file.write_text, plant_text(bridge, tags))
        return await asyncio.to_thread(self.uns, "bridge", "test", "device", "--file", file, *more)

    async def rows(
        self, bridge: Mapping[str, Any], tags: Mapping[str, Any], *more: str | Path
    ) -> dict[str, Row]:
        """What is said of each tag; the exit code is 0 when all are good, and only then."""
        answer = await self(bridge, tags, "--json", *more)
        rows = {row["topic"].rpartition("/")[2]: row for row in answer.json["tags"]}
        assert answer.code == (0 if all(row["is_good"] for row in rows.values()) else 1)
        assert list(rows) == list(tags)
        return rows


@pytest.fixture
def bench(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Bench:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Bench(Cli(monkeypatch, capsys), tmp_path)


# --- OPC UA ---------------------------------------------------------------------------------


@asynccontextmanager
async def served(policy: ua.SecurityPolicyType) -> AsyncIterator[str]:
    url = f"opc.tcp://127.0.0.1:{free_port()}/plc"
    server: Any = Server()
    await server.init()
    await server.set_application_uri(URI)
    server.set_endpoint(url)
    server.set_security_policy([policy])
    if policy is not ua.SecurityPolicyType.NoSecurity:
        await server.load_certificate(PLC.der)
        await server.load_private_key(PLC.key_pem, format="pem")
    await server.register_namespace(SPACE)
    objects = server.get_objects_node()
    values = {"Saw.Good": 41, "Saw.Temperature": 71.3, "Saw.List": [1, 2], "Saw.Broken": 0}
    for name, value in values.items():
        node = await objects.add_variable(ua.NodeId.from_string(f"ns=2;s={name}"), name, value)
    status = ua.StatusCode(ua.UInt32(StatusCodes.BadDeviceFailure))
    await node.write_value(ua.DataValue(ua.Variant(0), StatusCode=status))
    async with server:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plc() -> AsyncIterator[str]:
    async with served(ua.SecurityPolicyType.NoSecurity) as url:
        yield url


def opcua(url: str, **settings: Any) -> dict[str, Any]:
    given = {"namespace_uri": SPACE, "insecure": True, "publishing_interval_ms": 50, **settings}
    return {"protocol": "opcua", "url": url, **given}


def node(identifier: str, **keys: Any) -> dict[str, Any]:
    return {"source": {"node": identifier}, **keys}


async def test_good_tags_of_an_opc_ua_server(bench: Bench, plc: str) -> None:
    tags = {"good": node("s=Saw.Good", unit="pcs"), "bath": node("s=Saw.Temperature", unit="degC")}
    rows = await bench.rows(opcua(plc), tags)
    assert (rows["good"]["value"], rows["bath"]["value"], rows["bath"]["unit"]) == (
        41, 71.3, "degC",
    )  # fmt: skip
    assert rows["good"]["topic"] == f"{CELL}/_tag/good"
    assert 0 <= rows["good"]["age_ms"] < 600_000
    answer = await bench(opcua(plc), tags)
    assert (answer.code, answer.err) == (0, "")
    assert "line/cell/bath" in answer.out
    assert f"device, {plc}: 2 of 2 tags are good" in answer.out


async def test_an_unknown_node_gets_the_nearest_one(bench: Bench, plc: str) -> None:
    tags = {"good": node("s=Saw.Good"), "bath": node("s=Saw.Temprature")}
    rows = await bench.rows(opcua(plc), tags)
    assert rows["good"]["is_good"]
    assert "BadNodeIdUnknown" in rows["bath"]["reason"]
    assert rows["bath"]["fix"].endswith("did you mean 's=Saw.Temperature'?")
    unlike = await bench.rows(opcua(plc), {"bath": node("g=72962B91-FA75-4AE6-8D28-B404DC7DAF63")})
    assert "`uns discover opcua` lists" in unlike["bath"]["fix"]


async def test_values_that_no_tag_takes_as_they_are(bench: Bench, plc: str) -> None:
    rows = await bench.rows(
        opcua(plc), {"list": node("s=Saw.List"), "broken": node("s=Saw.Broken")}
    )
    assert "add `path`" in rows["list"]["fix"]
    assert (rows["broken"]["quality"], rows["broken"]["reason"]) == ("bad", "BadDeviceFailure")


async def test_an_unknown_namespace_gets_the_nearest_one(bench: Bench, plc: str) -> None:
    rows = await bench.rows(
        opcua(plc, namespace_uri="urn:acme:plont"), {"good": node("s=Saw.Good")}
    )
    assert rows["good"]["fix"] == f"set namespace_uri to one that the server has, as '{SPACE}'"


async def test_a_server_that_is_not_there(bench: Bench) -> None:
    url = f"opc.tcp://127.0.0.1:{free_port()}"
    tags = {"good": node("s=Saw.Good"), "bath": node("s=Saw.Temperature")}
    rows = await bench.rows(opcua(url), tags)
    assert rows["good"]["fix"] == f"nothing listens at {url}: is the server up, is the port right?"
    answer = await bench(opcua(url), tags)
    assert answer.out.count("nothing listens") == 1
    assert "(1) connection refused; nothing listens" in answer.out


async def test_security_that_does_not_fit(bench: Bench, plc: str) -> None:
    secure = {"insecure": False, "security_policy": "Basic256Sha256"}
    rows = await bench.rows(
        opcua(plc, **secure), {"good": node("s=Saw.Good")}, "--data", bench.folder
    )
    assert "or say 'insecure: true'" in rows["good"]["fix"]


async def test_an_untrusted_certificate_says_what_to_type(bench: Bench) -> None:
    async with served(ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt) as url:
        asked = (opcua(url, insecure=False), {"good": node("s=Saw.Good")}, "--data", bench.folder)
        rows = await bench.rows(*asked)
        typed = rows["good"]["fix"].partition("then type `uns ")[2].strip("`").split()
        trusted = await asyncio.to_thread(bench.uns, *typed, "--data", bench.folder)
        assert trusted.code == 0, typed
        rows = await bench.rows(*asked)
    assert rows["good"]["value"] == 41


# --- Modbus ---------------------------------------------------------------------------------


@asynccontextmanager
async def device(function: int = 0, refusal: ExcCodes | None = None) -> AsyncIterator[int]:
    """A device with holding registers 0 to 29 and input register 40; one function is refused."""
    port = free_port()
    little = struct.unpack(">HH", struct.pack(">f", 71.3))[::-1]
    swapped = struct.unpack("<4H", "Größe1".encode())
    values = [7, *little, 0, 0x7FC0, 0x4248, *swapped, *[1] * 20]

    async def action(asked: int, *_: Any) -> ExcCodes | None:
        return refusal if asked == function else None

    bits = [SimData(0, count=1, values=[True] * 16, datatype=DataType.BITS)]
    holding = [SimData(0, values=values, datatype=DataType.REGISTERS)]
    inputs = [SimData(40, values=[55], datatype=DataType.REGISTERS)]
    one = SimDevice(1, simdata=(bits, list(bits), holding, inputs), action=action)
    server: Any = ModbusTcpServer(one, address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    try:
        yield port
    finally:
        await server.shutdown()


def modbus(port: int, **settings: Any) -> dict[str, Any]:
    return {"protocol": "modbus", "host": "127.0.0.1", "port": port, "poll_ms": 50, **settings}


def at(address: int, **keys: Any) -> dict[str, Any]:
    return {"source": {"address": address, **keys}}


async def test_good_tags_of_a_modbus_device(bench: Bench) -> None:
    async with device() as port:
        tags = {"good": at(0), "force": at(1, type="float32", word_order="little")}
        rows = await bench.rows(modbus(port), tags)
    assert (rows["good"]["value"], rows["force"]["value"]) == (7, 71.3)
    assert rows["force"]["address"] == "holding 1 float32"


async def test_addresses_off_by_one_and_in_the_other_table(bench: Bench) -> None:
    async with device() as port:
        tags = {"off": at(30), "table": at(40), "nowhere": at(900)}
        rows = await bench.rows(modbus(port), tags)
    assert "(exception 2)" in rows["off"]["reason"]
    assert rows["off"]["fix"].startswith("off by one? holding 29 can be read (raw 1)")
    assert rows["table"]["fix"] == "another table? input 40 can be read: set table"
    assert "neither the addresses beside it nor the other table" in rows["nowhere"]["fix"]


async def test_a_float_that_looks_absurd_gets_the_other_word_order(bench: Bench) -> None:
    async with device() as port:
        tags = {
            "force": at(1, type="float32"),
            "nan": at(4, type="float32"),
            "text": at(6, type="string", length=8),
            "small": at(2, type="float32", scale=1e-12),
        }
        rows = await bench.rows(modbus(port), tags)
    assert rows["force"]["quality"] == "good"
    assert rows["force"]["fix"] == "try word_order: little, which reads 71.3"
    assert (rows["nan"]["reason"], rows["nan"]["fix"]) == (
        "the float32 is nan, no number", "try word_order: little, which reads 50.124756",
    )  # fmt: skip
    assert rows["text"]["fix"] == "try byte_order: little, which reads 'Größe1'"
    assert rows["small"]["is_good"], "no other order makes more sense of it"


async def test_a_function_that_the_device_has_not(bench: Bench) -> None:
    async with device(3, ExcCodes.ILLEGAL_FUNCTION) as port:
        rows = await bench.rows(modbus(port), {"table": at(40)})
    assert rows["table"]["fix"] == "another table? input 40 can be read: set table"


async def test_a_unit_that_is_silent_and_one_behind_a_gateway(bench: Bench) -> None:
    async with devices(units=(1, 9)) as them:
        them.mute = {9}
        tags = {"good": at(0), "silent": at(0, unit=9)}
        rows = await bench.rows(modbus(them.settings["port"], timeout_ms=200), tags)
    assert rows["good"]["is_good"]
    assert "`uns discover modbus` finds who answers" in rows["silent"]["fix"]
    async with device(3, ExcCodes.GATEWAY_NO_RESPONSE) as port:
        rows = await bench.rows(modbus(port), {"good": at(0)})
    assert "the gateway cannot reach the unit" in rows["good"]["fix"]


async def test_a_device_that_is_not_there(bench: Bench) -> None:
    port = free_port()
    rows = await bench.rows(modbus(port), {"good": at(0)})
    assert f"127.0.0.1:{port} was tried for 1000 ms" in rows["good"]["fix"]


# --- which bridge ---------------------------------------------------------------------------


async def test_a_bridge_is_named_by_its_name_or_a_part_of_its_address(bench: Bench) -> None:
    async with device() as port:
        file = bench.folder / "plant.yaml"
        await asyncio.to_thread(file.write_text, plant_text(modbus(port), {"good": at(0)}))
        asked = ("bridge", "test", f"127.0.0.1:{port}", "--file", file)
        assert (await asyncio.to_thread(bench.uns, *asked)).code == 0
        asked = ("bridge", "test", "devise", "--file", file)
        assert "did you mean 'device'?" in await asyncio.to_thread(bench.uns.fails, 2, *asked)
