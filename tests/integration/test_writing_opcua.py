"""Values written to a real OPC UA server: by the node's own type, read back, refusals in words."""

import asyncio
import socket
import tempfile
from base64 import b64decode
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.common.node import Node
from asyncua.server.server import Server

from bridges.opcua.client import observe
from bridges.opcua.config import OpcUaSettings
from tests.example import WASH, plant
from uns.model.observation import Link, Observation, Reading, SetPoint, Written
from uns.model.plant import Place, TagSpec

URI: Final = "urn:acme:machining"
NOW_MS: Final = 1_000
SECONDS_MAX: Final = 20.0
PKI: Final = Path(tempfile.mkdtemp())
Batch = list[Observation]

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Plc:
    """A server with writable and read-only nodes."""

    def __init__(self, server: Any, url: str, namespace: int) -> None:
        self.server, self.url, self.namespace = server, url, namespace

    async def node(
        self, name: str, value: Any, kind: ua.VariantType, *, writable: bool = True
    ) -> Node:
        node_id = ua.NodeId.from_string(f"ns={self.namespace};s={name}")
        node: Node = await self.server.get_objects_node().add_variable(node_id, name, value, kind)
        if writable:
            await node.set_writable()
        return node


@asynccontextmanager
async def served() -> AsyncIterator[Plc]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/plc")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(URI)
    async with server:
        yield Plc(server, f"opc.tcp://127.0.0.1:{port}/plc", index)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plc() -> AsyncIterator[Plc]:
    async with served() as one:
        yield one


def places(nodes: Iterable[str]) -> dict[str, Place]:
    specs = {name: TagSpec(source={"node": f"s={name}"}) for name in nodes}
    place = plant().cells[WASH]
    cell = place.cell.model_copy(update={"tags": specs})
    return {WASH: place.model_copy(update={"cell": cell})}


def bridge(plc: Plc, set_points: asyncio.Queue[SetPoint], *nodes: str) -> AsyncGenerator[Batch]:
    settings = OpcUaSettings(
        url=plc.url, namespace_uri=URI, insecure=True,
        publishing_interval_ms=50, sampling_interval_ms=10,
    )  # fmt: skip
    return observe(settings, places(nodes), lambda: NOW_MS, set_points, PKI)


async def first(stream: AsyncIterator[Batch], kind: type[Observation], tag: str) -> Any:
    async with asyncio.timeout(SECONDS_MAX):
        async for batch in stream:
            for seen in batch:
                if isinstance(seen, kind) and getattr(seen, "tag", None) == tag:
                    return seen
    raise AssertionError("the bridge ended by itself")


async def written(plc: Plc, node: str, value: float | str | bool) -> Written:  # noqa: FBT001 - a value
    queue: asyncio.Queue[SetPoint] = asyncio.Queue()
    async with aclosing(bridge(plc, queue, node)) as stream:
        await first(stream, Reading, node)
        queue.put_nowait(SetPoint("r1", WASH, node, value))
        answer = await first(stream, Written, node)
    assert isinstance(answer, Written)
    assert (answer.request_id, answer.cell) == ("r1", WASH)
    return answer


@pytest.mark.parametrize(
    ("kind", "start", "value", "stored"),
    [
        (ua.VariantType.Double, 61.0, 58.5, 58.5),
        (ua.VariantType.Float, 1.0, 71.3, pytest.approx(71.3, rel=1e-6)),
        (ua.VariantType.Int16, 1, -300, -300),
        (ua.VariantType.UInt32, 1, 4_000_000_000.0, 4_000_000_000),
        (ua.VariantType.Boolean, False, True, True),
        (ua.VariantType.String, "", "LOT-1", "LOT-1"),
    ],
)
async def test_a_value_is_written_with_the_nodes_own_type_and_read_back(
    plc: Plc, kind: ua.VariantType, start: Any, value: Any, stored: Any
) -> None:
    node = await plc.node(f"Own.{kind.name}", start, kind)
    answer = await written(plc, f"Own.{kind.name}", value)
    assert (answer.reason, answer.value) == (None, value)
    data = await node.read_data_value()
    assert data.Value is not None
    assert (data.Value.Value, data.Value.VariantType) == (stored, kind)


@pytest.mark.parametrize(
    ("name", "kind", "value", "reason"),
    [
        ("Small", ua.VariantType.Int16, 40_000, "40000 is outside -32768 to 32767"),
        ("Whole", ua.VariantType.Int32, 1.5, "1.5 is no Int32"),
        ("Number", ua.VariantType.Double, "hot", "'hot' is no Double"),
    ],
)
async def test_what_a_node_cannot_hold_is_not_written(
    plc: Plc, name: str, kind: ua.VariantType, value: Any, reason: str
) -> None:
    node = await plc.node(name, 1, kind)
    answer = await written(plc, name, value)
    assert reason in str(answer.reason)
    assert await node.read_value() == 1


async def test_an_array_is_not_overwritten_by_a_number(plc: Plc) -> None:
    node = await plc.node("Speeds", [1, 2, 3], ua.VariantType.Int32)
    answer = await written(plc, "Speeds", 7)
    assert answer.reason == ("the node has an array or a structure: say which element with 'path'")
    assert await node.read_value() == [1, 2, 3]


async def test_an_opaque_identifier_is_base64_whatever_it_looks_like(plc: Plc) -> None:
    objects = plc.server.get_objects_node()
    for identifier, value in ((b64decode("0xAB"), 111), (bytes.fromhex("AB"), 222)):
        node_id = ua.NodeId(ua.ByteString(identifier), ua.Int16(plc.namespace))
        await objects.add_variable(node_id, str(value), value, ua.VariantType.Int32)
    place = places(["t"])[WASH]
    tags = {"t": TagSpec(source={"node": "b=0xAB"})}
    cell = place.cell.model_copy(update={"tags": tags})
    settings = OpcUaSettings(url=plc.url, namespace_uri=URI, insecure=True)
    opaque = {WASH: place.model_copy(update={"cell": cell})}
    async with aclosing(observe(settings, opaque, lambda: NOW_MS, asyncio.Queue(), PKI)) as stream:
        assert (await first(stream, Reading, "t")).value == 111


async def test_a_refusal_of_the_server_is_told_in_words(plc: Plc) -> None:
    node = await plc.node("Locked", 1.0, ua.VariantType.Double, writable=False)
    answer = await written(plc, "Locked", 2.0)
    assert "BadUserAccessDenied" in str(answer.reason) or "BadNotWritable" in str(answer.reason)
    assert str(answer.reason).startswith("the server refused it: ")
    assert await node.read_value() == 1.0


async def test_a_stuck_write_delays_no_reading(plc: Plc, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = await plc.node("Slow", 1.0, ua.VariantType.Double)
    fast = await plc.node("Fast", 0, ua.VariantType.Int64)
    go = asyncio.Event()
    service = plc.server.iserver.isession.__class__
    write = service.write

    async def stuck(self: Any, params: Any) -> Any:
        if params.NodesToWrite[0].NodeId == slow.nodeid:
            await go.wait()
        return await write(self, params)

    monkeypatch.setattr(service, "write", stuck)
    queue: asyncio.Queue[SetPoint] = asyncio.Queue()
    async with aclosing(bridge(plc, queue, "Slow", "Fast")) as stream:
        await first(stream, Reading, "Fast")
        queue.put_nowait(SetPoint("r1", WASH, "Slow", 2.0))
        await plc.server.write_attribute_value(
            fast.nodeid, ua.DataValue(ua.Variant(7, ua.VariantType.Int64))
        )
        seen = await first(stream, Reading, "Fast")
        assert seen.value == 7
        go.set()
        assert (await first(stream, Written, "Slow")).reason is None


async def test_a_write_that_meets_the_loss_of_the_session_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue: asyncio.Queue[SetPoint] = asyncio.Queue()
    has_come, never = asyncio.Event(), asyncio.Event()
    async with served() as mortal:
        node = await mortal.node("Slow", 1.0, ua.VariantType.Double)
        service = mortal.server.iserver.isession.__class__
        write = service.write

        async def stuck(self: Any, params: Any) -> Any:
            if params.NodesToWrite[0].NodeId == node.nodeid:
                has_come.set()
                await never.wait()
            return await write(self, params)

        monkeypatch.setattr(service, "write", stuck)
        async with aclosing(bridge(mortal, queue, "Slow")) as stream:
            await first(stream, Reading, "Slow")
            queue.put_nowait(SetPoint("r1", WASH, "Slow", 2.0))
            down = asyncio.create_task(answers_until_down(stream))
            async with asyncio.timeout(SECONDS_MAX):
                await has_come.wait()
                await mortal.server.bserver.stop()
                (answer,) = await down
    assert (answer.request_id, answer.tag) == ("r1", "Slow")
    assert answer.reason is not None
    assert await node.read_value() == 1.0


async def answers_until_down(stream: AsyncIterator[Batch]) -> list[Written]:
    """What was told of set-points up to the loss of the link."""
    answers = list[Written]()
    async for batch in stream:
        answers += [seen for seen in batch if isinstance(seen, Written)]
        if any(isinstance(seen, Link) for seen in batch):
            break
    return answers
