"""A real mosquitto for tests: generated files, a free port, killed and restarted at will."""

import asyncio
import functools
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec

from uns.model.plant import Plant
from uns.mqtt.acl import READ, WRITE, BrokerUser, Grant, broker_users
from uns.mqtt.broker import (
    Command,
    broker_command,
    current_user,
    find_mosquitto,
    kept_passwords,
    prepare_broker,
)
from uns.mqtt.broker_config import BrokerSetup
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Address, Message

P = ParamSpec("P")
TESTER = "tester"
START_TIMEOUT_S = 20.0
TEST_TIMEOUT_S = 40.0


def small_plant(tags: int = 2) -> Plant:
    """One site, two areas; line `housing` read by OPC UA, line `packing` by Sparkplug."""
    sources = {f"tag-{i}": {"source": {"node": f"n{i}"}} for i in range(tags)}
    cell = {"ideal_cycle_ms": {}, "tags": sources}
    day = {"rrule": "FREQ=DAILY;BYHOUR=6;BYMINUTE=0;BYSECOND=0", "duration_min": 480}
    areas = {
        "machining": {"lines": {"housing": _line("plc", {"mill": cell, "wash": cell})}},
        "assembly": {"lines": {"packing": _line("packer", {"box": cell})}},
    }
    bridges = {
        "plc": {"protocol": "opcua", "url": "opc.tcp://127.0.0.1:4840"},
        "packer": {"protocol": "sparkplug", "group": "acme", "edge_node": "packing"},
        "erp": {"protocol": "erp", "folder": "erp"},
    }
    site = {"time_zone": "Europe/Berlin", "shifts": {"early": day}, "areas": areas}
    return Plant.model_validate(
        {
            "namespace": 1,
            "enterprise": "acme",
            "sites": {"berlin": site},
            "items": {},
            "bridges": bridges,
        }
    )


def _line(bridge: str, cells: dict[str, Any]) -> dict[str, Any]:
    return {"bridge": bridge, "bottleneck": next(iter(cells)), "cells": cells}


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class RunningBroker:
    """A broker process on its folder; `start`, `kill` and `pause` as the test likes."""

    def __init__(
        self, folder: Path, plant: Plant, command: Command | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.plant = plant
        self.folder = folder
        self.host = host
        self.port, self.ws_port = free_port(), free_port()
        self._password_of = kept_passwords(folder / "secrets.json")
        tester = (Grant(READ, "#"), Grant(READ, "$SYS/#"), Grant(WRITE, "#"))
        self.users = [
            *broker_users(plant, self._password_of),
            BrokerUser(TESTER, self._password_of(TESTER), tester),
        ]
        setup = BrokerSetup(str(folder), self.port, self.ws_port, host, run_as=current_user())
        prepare_broker(setup, self.users)
        self.command = command or broker_command(find_mosquitto(folder), folder)
        self.process: subprocess.Popen[bytes] | None = None

    def address(self, user: str = TESTER) -> Address:
        """Where it listens, as a user; the tester may read and write everything."""
        return Address(self.host, self.port, user, self._password_of(user))

    def start(self) -> None:
        """Start it and wait until it listens."""
        with (self.folder / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command.argv, env=os.environ | self.command.env, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._listens():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / "broker.log").read_text())
            time.sleep(0.01)

    def kill(self) -> None:
        """kill -9: what it had not saved is gone."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        """kill -9 and start again at once."""
        self.kill()
        self.start()

    def forget(self) -> None:
        """Kill it and delete what it saved: amnesia."""
        self.kill()
        (self.folder / "mosquitto.db").unlink(missing_ok=True)
        self.start()

    def freeze(self) -> None:
        """It stops answering, and its connections stay open."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def _listens(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), timeout=1).close()
        except OSError:
            return False
        return True


@contextmanager
def running_broker(folder: Path, plant: Plant) -> Iterator[RunningBroker]:
    """A mosquitto on a folder, gone at the end."""
    broker = RunningBroker(folder, plant)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def bounded(
    test: Callable[P, Coroutine[Any, Any, None]],
) -> Callable[P, Coroutine[Any, Any, None]]:
    """Let an async test fail instead of waiting for ever."""

    @functools.wraps(test)
    async def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async with asyncio.timeout(TEST_TIMEOUT_S):
            await test(*args, **kwargs)

    return run


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; `bounded` bounds it."""
    while not condition():  # noqa: ASYNC110 - any condition, whoever makes it true
        await asyncio.sleep(0.01)


async def collect(client: MqttClient, count: int) -> list[Message]:
    """Receive so many messages, acking none."""
    got: list[Message] = []
    while len(got) < count:
        got += await client.receive(count - len(got))
    return got


def unique(name: str) -> str:
    """A client id of its own."""
    return f"{name}-{secrets.token_hex(4)}"
