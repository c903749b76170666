"""A real broker with the hub's own configuration, and events to send through it."""

import asyncio
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bridges import PROTOCOLS
from uns.codec import encode_event
from uns.fold import Draft
from uns.model.namespace import parse_namespace
from uns.model.plant import Plant
from uns.mqtt.acl import bridge_user, broker_users
from uns.mqtt.broker import broker_command, current_user, find_mosquitto, prepare_broker
from uns.mqtt.broker_config import BrokerSetup
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Address, Outgoing

ROOT = Path(__file__).parents[1]
LINE = "acme/berlin/machining/housing"
CELL = f"{LINE}/mill"
LAST_CELL = f"{LINE}/wash"
BRIDGE = "plc-machining"
SOURCE = f"{BRIDGE}:{LINE.replace('/', '.')}"
EPOCH = 1
PASSWORD = "bench-only-on-loopback"  # noqa: S105 - a broker that lives for one bench


@dataclass(frozen=True)
class Figure:
    """One row: what was measured, what bounded it, and their ratio."""

    path: str
    figure: float
    unit: str
    ceiling: float
    ceiling_is: str
    target: str

    @property
    def ratio(self) -> float:
        """The figure as a share of the ceiling."""
        return self.figure / self.ceiling if self.ceiling else 0.0

    def as_json(self) -> dict[str, Any]:
        """The row for programs."""
        return {**asdict(self), "ratio": self.ratio}


@dataclass(frozen=True)
class Rig:
    """A broker that runs, and the plant it was configured for."""

    plant: Plant
    port: int
    folder: Path

    def address(self, user: str) -> Address:
        """The broker, as one of its users."""
        return Address("127.0.0.1", self.port, user, PASSWORD)


@contextmanager
def broker(folder: Path) -> Iterator[Rig]:
    """Run a broker on a folder until the block ends."""
    plant = parse_namespace((ROOT / "namespace.yaml").read_text(), "namespace.yaml", PROTOCOLS)
    rig = Rig(plant, _free_port(), folder)
    setup = BrokerSetup(str(folder), port=rig.port, ws_port=_free_port(), run_as=current_user())
    prepare_broker(setup, broker_users(plant, lambda _: PASSWORD))
    command = broker_command(find_mosquitto(ROOT / ".cache"), folder)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command.argv, env=command.env or None, stdout=log, stderr=log)
    try:
        _wait_for_port(rig.port)
        yield rig
    finally:
        process.terminate()
        process.wait(10)


def counted_events(count: int, first: int = 1) -> list[Outgoing]:
    """`counted` events as a bridge sends them, about 230 bytes each."""
    events = []
    for seq in range(first, first + count):
        body = {"good": 1, "scrap": 0, "rework": 0, "order_id": "PO-1", "item": "housing-a"}
        draft = Draft(LAST_CELL, "counted", 1_790_000_000_000 + seq, body)
        events.append(Outgoing(draft.topic, encode_event(draft, SOURCE, EPOCH, seq)))
    return events


def released_event() -> Outgoing:
    """The release of the order that `counted_events` count for."""
    body = {"order_id": "PO-1", "item": "housing-a", "quantity": 1_000_000}
    draft = Draft(LINE, "released", 1_790_000_000_000, body)
    return Outgoing(draft.topic, encode_event(draft, f"erp:{LINE.replace('/', '.')}", EPOCH, 1))


async def publish_all(rig: Rig, messages: Sequence[Outgoing]) -> float:
    """Publish as the bridge, QoS 1; seconds until the last PUBACK."""
    async with MqttClient(rig.address(bridge_user(BRIDGE)), "bench-bridge", window=5_000) as client:
        await client.connected.wait()
        started = time.perf_counter()
        for start in range(0, len(messages), 5_000):
            await client.publish_many(messages[start : start + 5_000])
        return time.perf_counter() - started


async def reserve(rig: Rig, user: str, client_id: str, filters: Sequence[str]) -> None:
    """Make a session, so that what is published from now on waits for the client id."""
    async with MqttClient(rig.address(user), client_id) as client:
        await client.subscribe(filters)


async def until(condition: Callable[[], bool], timeout_s: float) -> float:
    """Seconds until a condition holds; TimeoutError after the bound."""
    started = time.perf_counter()
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the condition belongs to foreign code
            await asyncio.sleep(0.002)
    return time.perf_counter() - started


def as_table(figures: Sequence[Figure]) -> str:
    """The figures for people."""
    rows = [("path", "figure", "ceiling", "ratio", "ceiling is", "target")]
    for f in figures:
        figure, ceiling = f"{f.figure:,.2f} {f.unit}", f"{f.ceiling:,.2f} {f.unit}"
        rows.append((f.path, figure, ceiling, f"{f.ratio:.2f}", f.ceiling_is, f.target))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in rows)


def as_json(figures: Sequence[Figure]) -> str:
    """The figures for programs."""
    return json.dumps({f.path: f.as_json() for f in figures})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_port(port: int, timeout_s: float = 10) -> None:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"no broker on port {port}")
