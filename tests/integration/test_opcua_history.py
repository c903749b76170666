"""Holes in what was recorded, filled from the history of a real server."""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.common.node import Node
from asyncua.common.utils import ServiceError
from asyncua.server.history import HistoryDict
from asyncua.server.internal_session import InternalSession
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.server import Server
from asyncua.ua.status_codes import StatusCodes

from bridges.opcua import history as history_module
from bridges.opcua.client import NOTHING_KNOWN, observe
from bridges.opcua.config import OpcUaSettings
from bridges.opcua.errors import LostError
from bridges.opcua.mapping import LOST_BEFORE, MAYBE_LOST_BEFORE, OVERFLOW_BITS
from bridges.opcua.session import Session
from tests.brokers import free_port
from tests.example import WASH
from tests.fault_proxy import proxied
from tests.watching import Watch, now_ms, places, watching
from uns.model.observation import Link, Reading

URI: Final = "urn:acme:historian"
PKI: Final = Path(tempfile.mkdtemp())
TAG: Final = "count"

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Historian:
    """A server with history; the value n of a node is so at `at(n)`."""

    def __init__(self, server: Any, port: int, index: int) -> None:
        self.server, self.port, self._index = server, port, index
        self._start = datetime.now(UTC) - timedelta(hours=1)

    @property
    def storage(self) -> Any:
        return self.server.iserver.history_manager.storage

    def at(self, n: int) -> datetime:
        return self._start + timedelta(milliseconds=n)

    def at_ms(self, n: int) -> int:
        return int(self.at(n).timestamp() * 1_000)

    async def node(self, name: str, *, historized: bool = True) -> Node:
        node_id = ua.NodeId.from_string(f"ns={self._index};s={name}")
        objects: Node = self.server.get_objects_node()
        node: Node = await objects.add_variable(node_id, name, 0, ua.VariantType.Int32)
        await self.tell(node, 0)
        if historized:
            await self.server.historize_node_data_change(node)
        return node

    async def tell(self, node: Node, *values: int) -> None:
        for n in values:
            variant = ua.Variant(n, ua.VariantType.Int32)
            at = self.at(n)
            source_at = ua.DateTime.combine(at.date(), at.timetz())
            await node.write_value(ua.DataValue(variant, SourceTimestamp=source_at))

    async def remembers(self, node: Node, n: int) -> None:
        """Wait until the history has a value."""
        async with asyncio.timeout(10):
            while True:
                found, _ = await self.storage.read_node_history(
                    node.nodeid, self.at(n), self.at(n + 1), 10
                )
                if any(value.Value.Value == n for value in found):
                    return
                await asyncio.sleep(0.01)


@asynccontextmanager
async def historian(storage: Any) -> AsyncIterator[Historian]:
    port = free_port()
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/plc")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(URI)
    server.iserver.history_manager.set_storage(storage)
    await storage.init()
    async with server:
        yield Historian(server, port, index)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plc() -> AsyncIterator[Historian]:
    async with historian(HistoryDict()) as plc:
        yield plc


def following(
    port: int,
    name: str,
    known: Mapping[tuple[str, str], int] = NOTHING_KNOWN,
    record: str = "every",
    **more: Any,
) -> AbstractAsyncContextManager[Watch]:
    settings = OpcUaSettings.model_validate(
        {
            "url": f"opc.tcp://127.0.0.1:{port}/plc",
            "namespace_uri": URI,
            "insecure": True,
            "publishing_interval_ms": 50,
            "sampling_interval_ms": 50,
            "queue_size": 1_000,
            **more,
        }
    )
    return watching(
        lambda read, set_points: observe(settings, read, now_ms, set_points, PKI, known),
        places({TAG: {"node": f"s={name}"}}, record=record),
    )


def told(watch: Watch, *, history: bool | None = None) -> list[int]:
    return [
        int(read.value)
        for read in watch.readings(TAG)
        if isinstance(read.value, int) and history in (None, read.is_history)
    ]


async def links_down(watch: Watch, many: int) -> None:
    await watch.until(lambda: sum(not link.up for link in watch.links()) >= many)


async def test_the_hole_of_a_cut_is_filled_before_the_live_values(plc: Historian) -> None:
    node = await plc.node("Cut")
    async with proxied("127.0.0.1", plc.port) as proxy, following(proxy.port, "Cut") as watch:
        await watch.value(TAG, 0)
        await plc.tell(node, 1, 2)
        await watch.value(TAG, 2)
        await proxy.cut(0.3)
        await links_down(watch, 1)
        await plc.tell(node, *range(3, 2_000))
        await watch.value(TAG, 1_999)
        await plc.tell(node, 2_000)
        await watch.value(TAG, 2_000)
    assert told(watch) == list(range(2_001)), "each once, in order of time"
    assert told(watch, history=True) == list(range(3, 1_999))
    assert [r.at_ms for r in watch.readings(TAG)] == [plc.at_ms(n) for n in range(2_001)]
    after = watch.seen.index(watch.links()[-1])
    assert all(isinstance(one, Reading) for one in watch.seen[after + 1 :])


async def test_a_tag_that_records_changes_only_is_told_the_newest(plc: Historian) -> None:
    node = await plc.node("Changes")
    async with (
        proxied("127.0.0.1", plc.port) as proxy,
        following(proxy.port, "Changes", record="changes") as watch,
    ):
        await watch.value(TAG, 0)
        await proxy.cut(0.2)
        await links_down(watch, 1)
        await plc.tell(node, 1, 2, 3)
        await watch.value(TAG, 3)
    assert told(watch) == [0, 3]


async def test_after_a_restart_of_the_bridge_the_hole_begins_at_what_is_known(
    plc: Historian,
) -> None:
    node = await plc.node("Restart")
    await plc.tell(node, *range(1, 50))
    await plc.remembers(node, 49)
    known = {(WASH, TAG): plc.at_ms(20)}
    async with following(plc.port, "Restart", known) as watch:
        await watch.value(TAG, 49)
    assert told(watch) == list(range(20, 50)), "a time may have more values than the known one"
    async with following(plc.port, "Restart", known, history_ms_max=10) as watch:
        await watch.value(TAG, 49)
    assert told(watch) == list(range(39, 50)), "10 ms before the newest, and no further"
    async with following(plc.port, "Restart", known, history_ms_max=0) as watch:
        await watch.value(TAG, 49)
    assert told(watch) == [49]


@pytest.mark.parametrize("page", [7, 10_000])
async def test_pages_and_continuation_points(page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server cuts at its own page with a continuation point, and at ours without one."""
    monkeypatch.setattr(history_module, "VALUES_A_PAGE_MAX", 20)
    async with historian(HistoryDict(page)) as plc:
        node = await plc.node("Pages")
        await plc.tell(node, *range(1, 100))
        await plc.remembers(node, 99)
        async with following(plc.port, "Pages", {(WASH, TAG): plc.at_ms(1)}) as watch:
            await watch.value(TAG, 99)
        assert told(watch) == list(range(1, 100))


async def test_too_much_history_is_bounded_and_told(
    plc: Historian, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(history_module, "VALUES_A_PAGE_MAX", 20)
    monkeypatch.setattr(history_module, "VALUES_MAX", 50)
    node = await plc.node("Much")
    await plc.tell(node, *range(1, 100))
    await plc.remembers(node, 99)
    async with following(plc.port, "Much", {(WASH, TAG): plc.at_ms(1)}) as watch:
        await watch.value(TAG, 99)
    assert told(watch) == [*range(1, 59), 99]
    assert "more than 50 values" in caplog.text


# --- servers that do not


async def test_a_node_without_history_is_passed_over(
    plc: Historian, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bridges.opcua.history")
    node = await plc.node("Bare", historized=False)
    await plc.tell(node, 5)
    async with following(plc.port, "Bare", {(WASH, TAG): plc.at_ms(1)}) as watch:
        await watch.value(TAG, 5)
    assert told(watch) == [5]
    assert "1 of 1 nodes have no history to be read" in caplog.text


async def test_a_server_that_refuses_history_costs_a_line(
    plc: Historian, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(_self: Any, _params: Any) -> Any:
        raise ServiceError(StatusCodes.BadServiceUnsupported)

    monkeypatch.setattr(InternalSession, "history_read", refuse)
    node = await plc.node("Refused")
    await plc.tell(node, 5)
    async with following(plc.port, "Refused", {(WASH, TAG): plc.at_ms(1)}) as watch:
        await watch.value(TAG, 5)
        await plc.tell(node, 6)
        await watch.value(TAG, 6)
    assert told(watch) == [5, 6]
    assert caplog.text.count("history: the server refuses it") == 1


async def test_a_historian_that_writes_late_is_waited_for(
    plc: Historian, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, reads = HistoryDict.read_node_history, list[int]()

    async def late(self: HistoryDict, *args: Any) -> Any:
        found, cont = await read(self, *args)
        reads.append(len(found))
        return (found if len(reads) > 2 else found[:10]), cont

    node = await plc.node("Late")
    await plc.tell(node, *range(1, 30))
    await plc.remembers(node, 29)
    monkeypatch.setattr(HistoryDict, "read_node_history", late)
    async with following(plc.port, "Late", {(WASH, TAG): plc.at_ms(1)}) as watch:
        await watch.value(TAG, 29)
    assert told(watch) == list(range(1, 30))


# --- losses meanwhile


@pytest.mark.parametrize("losses", [1, 2])
async def test_a_connection_lost_over_the_history_loses_nothing(
    plc: Historian, monkeypatch: pytest.MonkeyPatch, losses: int
) -> None:
    monkeypatch.setattr(history_module, "VALUES_A_PAGE_MAX", 20)
    node = await plc.node(f"Lost{losses}")
    await plc.tell(node, *range(1, 100))
    await plc.remembers(node, 99)
    monkeypatch.setattr(Session, "history", breaking(losses))
    async with following(plc.port, f"Lost{losses}", {(WASH, TAG): plc.at_ms(1)}) as watch:
        await watch.value(TAG, 99)
    assert told(watch) == list(range(1, 100))
    assert sum(not link.up for link in watch.links()) == losses


async def test_a_history_that_always_breaks_the_connection_is_given_up(
    plc: Historian, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    node = await plc.node("Breaking")
    await plc.tell(node, 1, 2)
    await plc.remembers(node, 2)
    monkeypatch.setattr(Session, "history", breaking(1_000_000))
    async with following(plc.port, "Breaking", {(WASH, TAG): plc.at_ms(1)}) as watch:
        await watch.value(TAG, 2)
    assert told(watch) == [2]
    assert "given up after 3 lost connections" in caplog.text


def breaking(losses: int) -> Callable[..., Any]:
    """Session.history, of which every second call is a loss, so many times."""
    history, calls = Session.history, list[None]()

    async def break_or_read(self: Session, *args: Any) -> Any:
        calls.append(None)
        if len(calls) % 2 == 0 and len(calls) // 2 <= losses:
            raise LostError("no answer in time")
        if losses > 1_000:
            raise LostError("no answer in time")
        return await history(self, *args)

    return break_or_read


# --- clocks


async def test_a_clock_that_was_put_back_meanwhile_is_told_once(plc: Historian) -> None:
    node = await plc.node("Back")
    async with proxied("127.0.0.1", plc.port) as proxy, following(proxy.port, "Back") as watch:
        await plc.tell(node, 100)
        await watch.value(TAG, 100)
        await proxy.refuse()
        await plc.tell(node, 49, 50)
        await proxy.listen()
        await watch.value(TAG, 50)
        await plc.tell(node, 51)
        await watch.value(TAG, 51)
    doubts = [(read.value, read.reason) for read in watch.readings(TAG) if read.reason]
    assert doubts == [(50, MAYBE_LOST_BEFORE)]


# --- overflow


@pytest.fixture
def _standard_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncua's server drops the oldest in silence; a server of the standard says so."""
    enqueue = InternalSubscription._enqueue_event

    async def flagging(self: Any, mid: int, event: Any, size: int, queue: Any) -> None:
        before = queue.get(mid, [])
        full = size != 0 and len(before) >= size and len(before) > 1
        await enqueue(self, mid, event, size, queue)
        if full:
            oldest = queue[mid][0]
            value = oldest.Value
            flagged = ua.DataValue(
                value.Value,
                ua.StatusCode(ua.UInt32(OVERFLOW_BITS)),
                value.SourceTimestamp,
                value.ServerTimestamp,
            )
            queue[mid][0] = ua.MonitoredItemNotification(oldest.ClientHandle, flagged)

    monkeypatch.setattr(InternalSubscription, "_enqueue_event", flagging)


@pytest.mark.usefixtures("_standard_queue")
async def test_what_overflowed_is_read_from_the_history(
    plc: Historian, caplog: pytest.LogCaptureFixture
) -> None:
    node = await plc.node("Overflow")
    async with following(plc.port, "Overflow", queue_size=3) as watch:
        await watch.value(TAG, 0)
        for start in (1, 101, 201):
            await plc.tell(node, *range(start, start + 100))
            await watch.value(TAG, start + 99)
    assert sorted(told(watch)) == list(range(301))
    assert {read.quality for read in watch.readings(TAG)} == {"good"}
    assert len(told(watch, history=True)) > 200
    assert caplog.text.count("came too fast for a queue of 3") == 1, "once a burst"


@pytest.mark.usefixtures("_standard_queue")
@pytest.mark.parametrize("record", ["every", "changes"])
async def test_an_overflow_without_history_is_uncertain_where_every_value_counts(
    plc: Historian, record: str
) -> None:
    node = await plc.node(f"Bare.{record}", historized=False)
    async with following(plc.port, f"Bare.{record}", record=record, queue_size=3) as watch:
        await watch.value(TAG, 0)
        await plc.tell(node, *range(1, 101))
        await watch.value(TAG, 100)
        await plc.tell(node, 101)
        await watch.value(TAG, 101)
    uncertain = [read.reason for read in watch.readings(TAG) if read.quality == "uncertain"]
    assert set(uncertain) == ({LOST_BEFORE} if record == "every" else set())
    last = watch.last(TAG)
    assert last
    assert last.quality == "good"


async def test_links_are_told_before_the_history(plc: Historian) -> None:
    node = await plc.node("Order")
    await plc.tell(node, 1, 2, 3)
    await plc.remembers(node, 3)
    async with following(plc.port, "Order", {(WASH, TAG): plc.at_ms(1)}) as watch:
        await watch.value(TAG, 3)
    assert isinstance(watch.seen[0], Link)
    assert [one.is_history for one in watch.seen[1:] if isinstance(one, Reading)] == [
        True, True, False,
    ]  # fmt: skip
