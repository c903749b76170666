"""A server that restarts over and over: no value is ever published beside its time.

Every value is a function of its source timestamp, so each reading can be checked alone. 50
restarts, with UNS_SOAK in the environment 500.
"""

import asyncio
import logging
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from asyncua import ua
from asyncua.common.node import Node
from asyncua.server.server import Server

from bridges.opcua import client
from bridges.opcua.client import observe
from bridges.opcua.config import OpcUaSettings
from tests.brokers import free_port
from tests.cuts import IS_SOAK
from tests.watching import Watch, now_ms, places, watching
from uns.model.observation import Link, Reading

RESTARTS: Final = 500 if IS_SOAK else 50
URI: Final = "urn:acme:restarts"
PKI: Final = Path(tempfile.mkdtemp())
WRITE_PERIOD_S: Final = 0.003
TAGS: Final = {
    "count": {"node": "s=Count"},
    "lot": {"node": "s=Lot"},
    "second": {"node": "s=List", "path": "[1]"},
}

log = logging.getLogger(__name__)


def value_at(at_ms: int) -> int:
    return at_ms * 7_919 % 1_000_003


def expected(tag: str, at_ms: int) -> Any:
    return f"L{value_at(at_ms)}" if tag == "lot" else value_at(at_ms)


class Plc:
    """A server whose values go on while it is down, as a PLC's program does."""

    def __init__(self, port: int) -> None:
        self._server: Any = Server()
        self._port = port
        self._nodes: list[Node] = []

    async def build(self) -> None:
        await self._server.init()
        self._server.set_endpoint(f"opc.tcp://127.0.0.1:{self._port}/plc")
        self._server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = await self._server.register_namespace(URI)
        for name, data in zip(("Count", "Lot", "List"), self._data(), strict=True):
            node_id = ua.NodeId.from_string(f"ns={index};s={name}")
            objects: Node = self._server.get_objects_node()
            node: Node = await objects.add_variable(node_id, name, data.Value)
            await node.write_value(data)
            self._nodes.append(node)

    def _data(self) -> list[ua.DataValue]:
        at = datetime.now(UTC)
        at -= timedelta(microseconds=at.microsecond % 1_000)
        value = value_at(round(at.timestamp() * 1_000))
        source_at = ua.DateTime.combine(at.date(), at.timetz())
        return [
            ua.DataValue(ua.Variant(one), SourceTimestamp=source_at)
            for one in (value, f"L{value}", [0, value])
        ]

    async def run(self) -> None:
        """Write new values, for ever."""
        while True:
            for node, data in zip(self._nodes, self._data(), strict=True):
                await node.write_value(data)
            await asyncio.sleep(WRITE_PERIOD_S)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        await self._server.start()
        try:
            yield
        finally:
            await self._stop()

    async def _stop(self) -> None:
        """Stop, though asyncua waits for whoever connects while it closes its port."""
        stopping = asyncio.ensure_future(self._server.stop())
        while not (await asyncio.wait({stopping}, timeout=0.02))[0]:
            for transport in list(self._server.iserver.asyncio_transports):
                transport.abort()
        await stopping


def check(watch: Watch) -> int:
    """Every reading against its time; how many there were."""
    newest: dict[str, int] = {}
    is_up = False
    for seen in watch.seen:
        if isinstance(seen, Link):
            is_up = seen.up
        elif isinstance(seen, Reading):
            assert is_up, "a value of a link that is down"
            assert seen.quality == "good", seen
            assert seen.value == expected(seen.tag, seen.at_ms), seen
            assert newest.get(seen.tag, 0) <= seen.at_ms <= now_ms(), seen
            newest[seen.tag] = seen.at_ms
    return sum(isinstance(seen, Reading) for seen in watch.seen)


async def test_no_restart_publishes_a_wrong_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        client, "STEADY_S", 0.0
    )  # else it would soon wait longer than a server lives
    plc, dice = Plc(port := free_port()), random.Random(4_711)
    await plc.build()
    writing = asyncio.create_task(plc.run())
    settings = OpcUaSettings(
        url=f"opc.tcp://127.0.0.1:{port}/plc", namespace_uri=URI, insecure=True,
        publishing_interval_ms=20, sampling_interval_ms=10,
    )  # fmt: skip
    checked, ups = 0, 0
    try:
        async with watching(
            lambda read, queue: observe(settings, read, now_ms, queue, PKI), places(TAGS)
        ) as watch:
            for turn in range(RESTARTS):
                async with plc.serving():
                    if turn % 3:
                        await watch.until(lambda: len(watch.readings("second")) > 3)
                    await asyncio.sleep(dice.random() * 0.1)  # any moment of connecting, too
                await watch.until(lambda: not watch.links() or not watch.links()[-1].up)
                ups += sum(link.up for link in watch.links())
                checked += check(watch)
                watch.seen.clear()
                watch.heard_s.clear()
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    assert ups >= RESTARTS * 2 // 3
    assert checked > RESTARTS * 10
    log.info("%d restarts, %d connections, %d values, 0 wrong", RESTARTS, ups, checked)
