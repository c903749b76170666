"""The link alone: what befalls a connection in the moment of its making."""

import asyncio
import socket
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from uns.mqtt import link
from uns.mqtt.message import Address, Session
from uns.mqtt.wire import Wire

TIMEOUT_S = 0.05


class SlowWire:
    """A wire whose CONNACK is read in the same turn of the loop in which the time is over."""

    def __init__(self) -> None:
        self.paho = SimpleNamespace(on_connect=None, on_disconnect=None)
        self.on_bug: Callable[[Exception], None]
        self.attached = 0
        self._up = False

    def attach(self, _sock: socket.socket) -> None:
        self.attached += 1
        loop = asyncio.get_running_loop()
        if self.attached == 1:
            loop.call_soon(time.sleep, TIMEOUT_S)  # a process that is busy beyond the time-out
        loop.call_soon(loop.call_soon, self._connack)

    def drop(self) -> None:
        if self._up:
            self._up = False
            self.paho.on_disconnect(None, None, None, SimpleNamespace(value=0), None)

    def _connack(self) -> None:
        self._up = True
        reason = SimpleNamespace(is_failure=False)
        self.paho.on_connect(None, None, SimpleNamespace(session_present=True), reason, None)


async def test_a_connection_that_stands_too_late_is_told_as_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def dial(_address: Address) -> Any:
        return None

    async def greet(_session: Session) -> None:
        greeted.set()

    async def nothing() -> None:
        return None

    monkeypatch.setattr(link, "dial", dial)
    monkeypatch.setattr(link, "CONNECT_TIMEOUT_S", TIMEOUT_S)
    greeted, told, wire = asyncio.Event(), list[str](), SlowWire()
    owner = link.Owner(
        lambda *_: told.append("opened"),
        lambda: told.append("lost"),
        greet,
        nothing,
        lambda: False,
    )
    running = asyncio.create_task(
        link.Link(cast("Wire", wire), Address("127.0.0.1", 1, "", ""), "late", owner).run()
    )
    async with asyncio.timeout(10):
        await greeted.wait()
    running.cancel()
    assert told == ["opened", "lost", "opened"]
