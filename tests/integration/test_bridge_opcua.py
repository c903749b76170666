import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import psutil
import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.common.node import Node
from asyncua.server.server import Server
from asyncua.server.subscription_service import SubscriptionService
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

from bridges import PROTOCOLS
from bridges.opcua import client as client_module
from bridges.opcua import inbox as inbox_module
from bridges.opcua import limits as limits_module
from bridges.opcua import session as session_module
from bridges.opcua.client import observe
from bridges.opcua.config import OpcUaSettings
from bridges.opcua.errors import LostError
from bridges.opcua.inbox import Inbox, News
from bridges.opcua.mapping import OVERFLOW_BITS, items_of
from bridges.opcua.session import Session, opened
from tests.fault_proxy import proxied
from uns.model.namespace import parse_namespace
from uns.model.observation import Link, Observation, Reading
from uns.model.plant import Place, TagSpec

ROOT = Path(__file__).parents[2]
PLANT = parse_namespace((ROOT / "namespace.yaml").read_text(), "namespace.yaml", PROTOCOLS)
CELL = "acme/berlin/machining/housing/saw"
URI: Final = "urn:acme:machining"
SECONDS_MAX: Final = 20.0
NOW_MS: Final = 1_000
ITEMS_PER_CALL: Final = ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall
OVERFLOW: Final = ua.UInt32(OVERFLOW_BITS)
PKI: Final = Path(tempfile.mkdtemp())
Batch = list[Observation]

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Plc(NamedTuple):
    """A server of another maker's library, with a few nodes."""

    server: Any  # asyncua types little of its inside
    url: str
    namespace: int

    async def node(self, name: str, value: Any, kind: ua.VariantType | None = None) -> Node:
        objects: Node = self.server.get_objects_node()
        node_id = ua.NodeId.from_string(f"ns={self.namespace};s={name}")
        return await objects.add_variable(node_id, name, value, kind)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plc() -> AsyncIterator[Plc]:
    url = f"opc.tcp://127.0.0.1:{free_port()}/plc"
    server = Server()
    await server.init()
    server.set_endpoint(url)
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(URI)
    async with server:
        yield Plc(server, url, index)


PROGRAM: Final = """
import asyncio, json, sys
from asyncua import ua
from asyncua.server.server import Server
from asyncua.server.subscription_service import SubscriptionService
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

async def main(port, fillers, first):
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/plc")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    for i in range(fillers):
        await server.register_namespace(f"urn:filler:{i}")
    index = await server.register_namespace("urn:acme:machining")
    objects = server.get_objects_node()
    good = await objects.add_variable(ua.NodeId("Good", index), "Good", first)
    async with server:
        print(json.dumps({"index": index}), flush=True)
        while True:
            await asyncio.sleep(0.05)
            first += 1
            await good.write_value(first)

asyncio.run(main(*map(int, sys.argv[1:])))
"""


@asynccontextmanager
async def program(port: int, *, fillers: int = 0, first: int = 0) -> AsyncIterator[tuple[int, int]]:
    """A server in its own process that counts; gives its process id and the namespace index."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(port), str(fillers), str(first),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            started = json.loads(await process.stdout.readline())
        yield process.pid, started["index"]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def places(specs: Mapping[str, TagSpec]) -> dict[str, Place]:
    cell = PLANT.cells[CELL].cell.model_copy(update={"tags": dict(specs)})
    return {CELL: PLANT.cells[CELL].model_copy(update={"cell": cell})}


def bridge_of(
    url: str, specs: Mapping[str, TagSpec], **settings: Any
) -> AsyncGenerator[Batch, None]:
    given = {"namespace_uri": URI, "insecure": True, "publishing_interval_ms": 50, **settings}
    parsed = OpcUaSettings.model_validate({"url": url, "sampling_interval_ms": 10, **given})
    return observe(parsed, places(specs), lambda: NOW_MS, asyncio.Queue(), PKI)


def bridge(url: str, *nodes: str, **settings: Any) -> AsyncGenerator[Batch, None]:
    specs = {name.lower(): TagSpec(source={"node": f"s={name}"}) for name in nodes}
    return bridge_of(url, specs, **settings)


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


def is_good(seen: Observation) -> bool:
    return isinstance(seen, Reading) and seen.quality == "good"


def values(batch: Batch) -> dict[str, Any]:
    return {seen.tag: seen.value for seen in batch if isinstance(seen, Reading)}


def the_link(batch: Batch) -> Link:
    (link,) = (seen for seen in batch if isinstance(seen, Link))
    return link


async def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("waited 10 s in vain")


def connections_to(port: int) -> list[Any]:
    return [
        connection
        for connection in psutil.Process().net_connections("tcp")
        if connection.raddr and connection.raddr.port == port
        and connection.status in (psutil.CONN_ESTABLISHED, psutil.CONN_CLOSE_WAIT)
    ]  # fmt: skip


# --- values ---------------------------------------------------------------------------------


async def test_the_link_then_one_batch_with_every_value(plc: Plc) -> None:
    await plc.node("First.Count", 41, ua.VariantType.UInt32)
    await plc.node("First.Single", 71.3, ua.VariantType.Float)
    await plc.node("First.Text", "PO-1000")
    await plc.node("First.Flag", val := True)
    await plc.node("First.List", [1, 2])
    names = ["First.Count", "First.Single", "First.Text", "First.Flag", "First.List", "First.None"]
    async with aclosing(bridge(plc.url, *names)) as stream:
        up, first = await soon(stream), await soon(stream)
    assert up == [
        Link(plc.url, tuple((CELL, name.lower()) for name in names), up=True, at_ms=NOW_MS),
        Reading(CELL, "first.none", None, NOW_MS, "bad", "BadNodeIdUnknown: s=First.None"),
    ]
    assert values(first) == {
        "first.count": 41, "first.single": 71.3, "first.text": "PO-1000", "first.flag": val,
        "first.list": None,
    }  # fmt: skip
    (array,) = (seen for seen in first if isinstance(seen, Reading) and seen.tag == "first.list")
    assert (array.quality, str(array.reason)[:17]) == ("bad", "an array of Int64")


async def test_time_and_quality_are_the_servers(plc: Plc) -> None:
    node = await plc.node("Time.Count", 0)
    at = ua.DateTime(2025, 12, 10, 6, tzinfo=UTC)
    steps = [
        (1, StatusCodes.Good, ("good", 1, None)),
        (2, StatusCodes.UncertainSimulatedValue, ("uncertain", 2, "UncertainSimulatedValue")),
        (3, StatusCodes.BadSensorFailure, ("bad", None, "BadSensorFailure")),
    ]
    async with aclosing(bridge(plc.url, "Time.Count")) as stream:
        await batch_with(stream, is_value("time.count", 0))
        for value, status, expected in steps:
            at += timedelta(seconds=1)
            code = ua.StatusCode(ua.UInt32(status))
            await node.write_value(ua.DataValue(ua.Variant(value), code, SourceTimestamp=at))
            (seen,) = await soon(stream)
            assert isinstance(seen, Reading)
            assert (seen.quality, seen.value, seen.reason) == expected
            assert seen.at_ms == int(at.timestamp() * 1000)


async def test_what_changes_together_comes_together_and_in_order(plc: Plc) -> None:
    lot = await plc.node("Batch.Lot", "L0")
    good = await plc.node("Batch.Good", 0)
    async with aclosing(bridge(plc.url, "Batch.Lot", "Batch.Good", queue_size=100)) as stream:
        await batch_with(stream, is_value("batch.good", 0))
        for n in range(1, 41):
            await lot.write_value(f"L{n}")
            await good.write_value(n)
        seen: Batch = []
        while not any(map(is_value("batch.good", 40), seen)):
            batch = await soon(stream)
            assert values(batch)["batch.lot"] == f"L{values(batch)['batch.good']}"
            seen += batch
    counts = [r.value for r in seen if isinstance(r, Reading) and r.tag == "batch.good"]
    assert counts == list(range(1, 41))


async def test_a_node_that_comes_later_is_found(plc: Plc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "CLAIM_PERIOD_S", 0.1)
    await plc.node("Later.Here", 1)
    async with aclosing(bridge(plc.url, "Later.Here", "Later.Missing")) as stream:
        await batch_with(stream, is_value("later.here", 1))
        await plc.node("Later.Missing", 2)
        assert values(await soon(stream)) == {"later.missing": 2}


async def test_more_nodes_than_one_request_may_have(
    plc: Plc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "ITEMS_A_REQUEST_MAX", 3)
    names = [f"Many.N{i}" for i in range(10)]
    for i, name in enumerate(names):
        await plc.node(name, i)
    async with aclosing(bridge(plc.url, *names)) as stream:
        await soon(stream)
        assert values(await soon(stream)) == {f"many.n{i}": i for i in range(10)}


async def test_no_request_is_longer_than_the_server_takes(
    plc: Plc, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, sizes = SubscriptionService.create_monitored_items, list[int]()

    async def counting(self: Any, params: Any) -> Any:
        sizes.append(len(params.ItemsToCreate))
        return await create(self, params)

    limit = plc.server.get_node(ua.NodeId(ua.Int32(ITEMS_PER_CALL)))
    monkeypatch.setattr(SubscriptionService, "create_monitored_items", counting)
    await limit.write_value(ua.UInt32(2), ua.VariantType.UInt32)
    names = [f"Limit.N{i}" for i in range(5)]
    for i, name in enumerate(names):
        await plc.node(name, i)
    try:
        async with aclosing(bridge(plc.url, *names)) as stream:
            await batch_with(stream, is_value("limit.n4", 4))
    finally:
        await limit.write_value(ua.UInt32(0), ua.VariantType.UInt32)
    assert sizes == [2, 2, 1]


async def test_a_server_that_samples_much_more_slowly_is_told_once(
    plc: Plc, caplog: pytest.LogCaptureFixture
) -> None:
    await plc.node("Slow.Count", 1)
    service = plc.server.iserver.subscription_service
    async with aclosing(bridge(plc.url, "Slow.Count", silence_ms_max=300)) as stream:
        await batch_with(stream, is_value("slow.count", 1))
        for subscription in list(service.subscriptions):
            await service.delete_subscriptions([subscription])
        await batch_with(stream, is_link(up=False))
        await batch_with(stream, is_value("slow.count", 1))
    told = "the server samples s=Slow.Count every 50 ms, not every 10"
    assert caplog.text.count(told) == 1


# --- refusals -------------------------------------------------------------------------------


async def test_plain_text_must_be_allowed_by_name(plc: Plc) -> None:
    async with aclosing(bridge(plc.url, "A", insecure=False)) as stream:
        link = the_link(await soon(stream))
    assert not link.up
    assert "say 'insecure: true'" in str(link.reason)


async def test_a_missing_namespace_turns_its_tags_bad_and_is_asked_for_again(
    plc: Plc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "CLAIM_PERIOD_S", 0.1)
    await plc.node("Space.Here", 1)
    specs = {
        "here": TagSpec(source={"node": "s=Space.Here"}),
        "later": TagSpec(source={"node": "s=Later", "namespace_uri": "urn:later"}),
    }
    async with aclosing(bridge_of(plc.url, specs)) as stream:
        up = await soon(stream)
        (bad,) = (seen for seen in up if isinstance(seen, Reading))
        assert str(bad.reason).startswith("no namespace urn:later among http://opcfoundation.org")
        assert values(await soon(stream)) == {"here": 1}
        index = await plc.server.register_namespace("urn:later")
        node_id = ua.NodeId.from_string(f"ns={index};s=Later")
        await plc.server.get_objects_node().add_variable(node_id, "Later", 2)
        assert values(await soon(stream)) == {"later": 2}


# --- losses ---------------------------------------------------------------------------------


async def test_absent_killed_and_back_with_another_namespace_index() -> None:
    port = free_port()
    async with aclosing(bridge(f"opc.tcp://127.0.0.1:{port}/plc", "Good")) as stream:
        link = the_link(await soon(stream))
        assert (link.up, link.reason) == (False, "connection refused")
        indices = set[int]()
        for fillers, first in ((0, 100), (3, 500)):
            async with program(port, fillers=fillers, first=first) as (pid, index):
                indices.add(index)
                await batch_with(stream, is_link(up=True))
                counts = [values(await soon(stream))["good"] for _ in range(3)]
                assert first <= counts[0] < counts[1] < counts[2] < first + 400
                os.kill(pid, signal.SIGKILL)
                down = the_link(await batch_with(stream, is_link(up=False)))
                assert down.reason == "connection lost"
        assert len(indices) == 2, "the index moved, the URI did not"


async def test_a_hanging_server_is_lost_in_time_and_found_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_module, "CLOSE_TIMEOUT_S", 60.0)  # no politeness to the lost
    port, loop = free_port(), asyncio.get_running_loop()
    stream = bridge(f"opc.tcp://127.0.0.1:{port}/plc", "Good", silence_ms_max=2_000)
    async with program(port) as (pid, _), aclosing(stream):
        await batch_with(stream, is_good)
        os.kill(pid, signal.SIGSTOP)
        stopped_s = loop.time()
        down = the_link(await batch_with(stream, is_link(up=False)))
        assert loop.time() - stopped_s < 3.5
        assert "silent" in str(down.reason) or down.reason == "no answer in time"
        await eventually(lambda: len(connections_to(port)) <= 1)
        os.kill(pid, signal.SIGCONT)
        await batch_with(stream, is_link(up=True))
        await batch_with(stream, is_good)


async def test_a_subscription_that_died_on_the_server_is_made_again(plc: Plc) -> None:
    await plc.node("Died.Count", 1)
    service = plc.server.iserver.subscription_service
    async with aclosing(bridge(plc.url, "Died.Count", silence_ms_max=300)) as stream:
        await batch_with(stream, is_value("died.count", 1))
        for subscription in list(service.subscriptions):
            await service.delete_subscriptions([subscription])
        down = the_link(await batch_with(stream, is_link(up=False)))
        assert "silent for" in str(down.reason)
        await batch_with(stream, is_link(up=True))
        await batch_with(stream, is_value("died.count", 1))


async def test_an_answer_that_is_too_large_is_a_loss_with_its_reason(
    plc: Plc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits_module, "MESSAGE_BYTES_MAX", 200_000)
    node = await plc.node("Large.Text", "small")
    async with aclosing(bridge(plc.url, "Large.Text", silence_ms_max=1_000)) as stream:
        await batch_with(stream, is_value("large.text", "small"))
        await node.write_value("x" * 1_000_000)
        down = the_link(await batch_with(stream, is_link(up=False)))
        assert down.reason == "an answer of the server is larger than 200000 bytes"
        await node.write_value("small again")
        await batch_with(stream, is_value("large.text", "small again"))


async def test_keep_alives_are_no_silence(plc: Plc) -> None:
    node = await plc.node("Quiet.Count", 1)
    async with aclosing(bridge(plc.url, "Quiet.Count", silence_ms_max=1_000)) as stream:
        await batch_with(stream, is_value("quiet.count", 1))
        waiting = asyncio.ensure_future(anext(stream))
        done, _ = await asyncio.wait((waiting,), timeout=2.5)
        assert not done
        await node.write_value(2)
        assert values(await asyncio.wait_for(waiting, SECONDS_MAX)) == {"quiet.count": 2}


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    while await reader.read(1_000):
        pass


async def _rubbish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1_000)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(range(256)))
    await reader.read(1_000)


async def _refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1_000)
    writer.write(b"ERRF\x10\x00\x00\x00" + (0x807D_0000).to_bytes(4, "little") + b"\xff" * 4)
    await reader.read(1_000)


async def _acknowledging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1_000)
    limits = (0, 65_535, 65_535, 0, 0)
    writer.write(b"ACKF\x1c\x00\x00\x00" + b"".join(n.to_bytes(4, "little") for n in limits))
    await reader.read(1_000)
    writer.write(b"OPNF\xff\x00\x00\x00" + bytes(247))
    await reader.read(1_000)


@pytest.mark.parametrize("answer", [_silent, _rubbish, _refusing, _acknowledging])
async def test_an_impostor_is_no_server_and_leaves_no_socket(answer: Answer) -> None:
    accepted: list[asyncio.StreamWriter] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        try:
            await answer(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"opc.tcp://127.0.0.1:{port}/plc"
    async with server, aclosing(bridge(url, "A", silence_ms_max=200)) as stream:
        link = the_link(await soon(stream))
        assert not link.up
        assert link.reason
        waiting = asyncio.ensure_future(_until_ended(stream))
        await eventually(lambda: len(accepted) >= 3)
        assert len(connections_to(port)) <= 1
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def _until_ended(stream: AsyncIterator[Batch]) -> None:
    async for _ in stream:
        pass


@pytest.mark.parametrize(("steady_s", "expected"), [(60.0, [0, 1, 2, 3]), (0.0, [0, 0, 0, 0])])
async def test_a_link_that_breaks_after_each_connect_is_not_hammered(
    plc: Plc, monkeypatch: pytest.MonkeyPatch, steady_s: float, expected: list[int]
) -> None:
    attempts = list[int]()

    def noting(attempt: int, _jitter: float) -> float:
        attempts.append(attempt)
        return 0.0

    monkeypatch.setattr(client_module, "STEADY_S", steady_s)
    monkeypatch.setattr(client_module, "delay_s", noting)
    port = urlsplit(plc.url).port
    assert port
    async with proxied("127.0.0.1", port) as proxy:
        stream = bridge(plc.url.replace(str(port), str(proxy.port)))
        async with aclosing(stream):
            for _ in expected:
                await batch_with(stream, is_link(up=True))
                proxy.reset()
                await batch_with(stream, is_link(up=False))
            await batch_with(stream, is_link(up=True))
    assert attempts == expected


# --- the end --------------------------------------------------------------------------------


async def test_the_end_leaves_no_task_and_no_socket_even_when_the_server_hangs() -> None:
    port = free_port()
    url = f"opc.tcp://127.0.0.1:{port}/plc"
    async with program(port) as (pid, _):
        before = asyncio.all_tasks()
        for hangs in (False, True):
            stream = bridge(url, "Good")
            await batch_with(stream, is_good)
            if hangs:
                os.kill(pid, signal.SIGSTOP)
            async with asyncio.timeout(3):
                await stream.aclose()
            await eventually(lambda: asyncio.all_tasks() <= before)
            await eventually(lambda: not connections_to(port))


async def test_a_cancellation_is_heard_at_any_moment() -> None:
    port = free_port()
    url = f"opc.tcp://127.0.0.1:{port}/plc"
    async with program(port):
        before = asyncio.all_tasks()
        for delay_ms in range(0, 200, 13):
            consuming = asyncio.create_task(_until_ended(bridge(url, "Good")))
            await asyncio.sleep(delay_ms / 1000)
            consuming.cancel()
            done, _ = await asyncio.wait((consuming,), timeout=5)
            assert done
            assert consuming.cancelled()
        await eventually(lambda: asyncio.all_tasks() <= before)
        await eventually(lambda: not connections_to(port))


# --- the inbox ------------------------------------------------------------------------------


def publish(*values_: tuple[int, int], more: bool = False, sequence: int = 1) -> ua.PublishResult:
    items = [
        ua.MonitoredItemNotification(ClientHandle=handle, Value=ua.DataValue(ua.Variant(value)))
        for handle, value in values_
    ]
    data = [ua.DataChangeNotification(MonitoredItems=items)] if items else []
    message = ua.NotificationMessage(SequenceNumber=ua.Counter(sequence), NotificationData=data)
    return ua.PublishResult(MoreNotifications=more, NotificationMessage=message)


def numbers(items: list[News]) -> list[tuple[int, int]]:
    return [(item.handle, item.value.Value.Value) for item in items if item.value.Value]


async def test_a_publish_in_parts_is_taken_as_a_whole() -> None:
    inbox, soon_s = Inbox(lambda: NOW_MS), asyncio.get_running_loop().time() + 0.05
    inbox.published(publish((0, 1), more=True))
    assert await inbox.take(soon_s) == []
    inbox.published(publish((1, 2)))
    assert numbers(await inbox.take(float("inf"))) == [(0, 1), (1, 2)]


async def test_half_a_publish_is_dropped_with_the_connection() -> None:
    inbox = Inbox(lambda: NOW_MS)
    inbox.published(publish((0, 1), more=True))
    inbox.lose("gone")
    with pytest.raises(LostError, match="gone"):
        await inbox.take(float("inf"))


async def test_a_slow_taker_gets_the_newest_of_each_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "ITEMS_MAX", 5)
    inbox, ticks = Inbox(lambda: NOW_MS), count()
    for tick in ticks:
        inbox.published(publish((0, tick), (1, -tick)))
        if tick == 100:
            break
    taken = numbers(await inbox.take(float("inf")))
    assert len(taken) <= 5 + 2
    assert taken[-2:] == [(0, 100), (1, -100)]
    assert [value for handle, value in taken if handle == 0] == sorted(
        value for handle, value in taken if handle == 0
    ), "never back in time"


async def test_what_gave_way_is_told_by_the_overflow_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "ITEMS_MAX", 3)
    inbox = Inbox(lambda: NOW_MS)
    inbox.published(publish((0, 1), (1, 1)))
    inbox.published(publish((0, 2), (2, 2)))
    taken = await inbox.take(float("inf"))
    assert numbers(taken) == [(1, 1), (0, 2), (2, 2)]
    lossy = [item.handle for item in taken if item.value.StatusCode == ua.StatusCode(OVERFLOW)]
    assert lossy == [0]


async def test_arrays_count_with_their_elements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "ELEMENTS_MAX", 10)
    inbox = Inbox(lambda: NOW_MS)
    for n in range(5):
        wave = publish((0, 0), (1, n))
        wave.NotificationMessage.NotificationData[0].MonitoredItems[0].Value.Value = ua.Variant(
            [n] * 4
        )
        inbox.published(wave)
    taken = await inbox.take(float("inf"))
    assert numbers(taken)[-2:] == [(0, [4] * 4), (1, 4)]
    assert len(taken) <= 4
    assert taken[-2].value.StatusCode == ua.StatusCode(OVERFLOW)


async def test_a_missed_publish_is_a_loss() -> None:
    inbox = Inbox(lambda: NOW_MS)
    inbox._sequence = 4_294_967_293
    for sequence in (4_294_967_294, 4_294_967_295, 1, 2):
        inbox.published(publish((0, 1), sequence=sequence))
        assert len(await inbox.take(float("inf"))) == 1
    inbox.published(publish(sequence=3))
    inbox.published(publish((0, 1), sequence=3))
    inbox.published(publish((0, 3), sequence=5))
    assert numbers(await inbox.take(float("inf"))) == [(0, 1)]
    with pytest.raises(LostError, match="publish 5 came after 3"):
        await inbox.take(float("inf"))


async def test_a_missed_first_publish_is_a_loss_and_a_keep_alive_tells_of_it_too() -> None:
    for news in (publish((0, 1), sequence=2), publish(sequence=2)):
        inbox = Inbox(lambda: NOW_MS)
        inbox.published(publish(sequence=1))
        inbox.published(news)
        with pytest.raises(LostError, match=r"publish 2 came after 0|publish 1 did not come"):
            await inbox.take(asyncio.get_running_loop().time() + 1)


async def test_what_came_before_the_loss_is_handed_out_first() -> None:
    inbox = Inbox(lambda: NOW_MS)
    inbox.published(publish((0, 1)))
    inbox.lose("first reason")
    inbox.lose("second reason")
    assert numbers(await inbox.take(float("inf"))) == [(0, 1)]
    with pytest.raises(LostError, match="first reason"):
        await inbox.take(float("inf"))


async def test_what_came_before_a_question_without_answer_is_handed_out_first(
    plc: Plc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "CLAIM_PERIOD_S", 0.0)
    await plc.node("Before", 7)
    specs = {name: TagSpec(source={"node": f"s={name}"}) for name in ("Before", "Never")}
    settings = OpcUaSettings.model_validate(
        {"url": plc.url, "namespace_uri": URI, "insecure": True, "publishing_interval_ms": 50}
    )

    async def fail(_self: Session, _handles: Any) -> None:
        raise LostError("no answer in time")

    async with opened(settings, items_of(settings, places(specs)), PKI, lambda: NOW_MS) as session:
        monkeypatch.setattr(Session, "_claim", fail)
        await eventually(lambda: bool(session._inbox._items))
        assert [one.sample.value for one in await session.take()] == [7]
        with pytest.raises(LostError, match="no answer in time"):
            await session.take()
