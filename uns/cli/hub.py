"""Starts and stops a whole hub on a data folder: broker, historian, workers, bridges, plant.

Owns the order of things. Start: broker, then all others at once (each waits for what it needs).
Stop: machines freeze, bridges empty their outboxes, then workers, historian, broker.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from bridges.sparkplug.directory import edge_nodes
from uns.cli.errors import CommandError
from uns.cli.folder import Folder, write_connection
from uns.cli.keeping import stored_tree
from uns.cli.live import Live
from uns.cli.meta import meta_documents
from uns.codec import encode_document
from uns.model.plant import Plant
from uns.mqtt.acl import broker_users
from uns.mqtt.broker import (
    broker_command,
    current_user,
    find_mosquitto,
    kept_passwords,
    prepare_broker,
    wait_until_ready,
)
from uns.mqtt.broker_config import BrokerSetup, queue_messages_for
from uns.mqtt.client import MqttClient
from uns.mqtt.errors import MqttError
from uns.mqtt.message import Address, Outgoing, Session
from uns.runtime.clock import PlantClock, save_clock, start_clock
from uns.runtime.keeper import HURRY_S, Keeper, KeeperWiring
from uns.runtime.supervisor import ChildSpec, Supervisor

HOST: Final = "127.0.0.1"
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - a broker in a container of its own
BROKER_TIMEOUT_S: Final = 15.0
READY_TIMEOUT_S: Final = 60.0
FREEZE_S: Final = 1.5
DRAIN_TIMEOUT_S: Final = 12.0
CLOCK_EVERY_S: Final = 5.0
LINES_PER_WORKER: Final = 4
CHILD_ENV: Final = {"MALLOC_ARENA_MAX": "2"}  # glibc keeps an arena a thread: too much for ten
MQTT_PORT: Final = 1883
WS_PORT: Final = 9001
PORT_MAX: Final = 65_535
DEMO_PORTS: Final = {"opcua": 4840, "modbus": 5020}
POLL_S: Final = 0.1
UNITS: Final = 247  # of a Modbus line
GOING: Final = "going"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HubOptions:
    """What the user asked for. `port` None: 1883 or the next free one.

    broker: host of a broker that somebody else runs on DATA/broker/mosquitto.conf; None: ours.
    """

    store: str
    port: int | None = None
    speed: float = 1.0
    seed: int = 1
    demo: bool = True
    broker: str | None = None


class Hub:
    """A running hub. `start`, then `stop`; `live` follows what it publishes."""

    def __init__(self, folder: Folder, plant: Plant, options: HubOptions) -> None:
        self.folder = folder
        self.options = options
        token = hashlib.sha256(str(folder.root).encode()).hexdigest()[:8]
        self.plant = _with_own_ports(plant, token) if options.demo else plant
        self.live = Live(self.plant)
        self.supervisor = Supervisor(folder.logs)
        self._mqtt_5 = True
        self.clock: PlantClock
        self.keeper: Keeper
        self._client: MqttClient | None = None
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._keeping: asyncio.Task[None] | None = None

    async def start(self, say: Callable[[str], None]) -> None:
        """Start everything; returns when broker and children run. `say` gets progress lines."""
        self.clock = start_clock(self.folder.root, self.options.speed)
        self.folder.plant.write_text(self.plant.model_dump_json())
        address = await self._start_broker(say)
        await self._keep_tree(address, say)
        client = MqttClient(address, "hub", clean_session=True)
        client.on_connect = partial(self._connected, client)
        self._client = await client.__aenter__()
        await client.subscribe([f"{self.plant.enterprise}/#"])
        self._tasks = [
            asyncio.create_task(self._listen(client)),
            asyncio.create_task(self._keep_clock()),
            asyncio.create_task(self._say_health(client)),
        ]
        self._keeping = asyncio.create_task(self.keeper.run())
        for spec in self._children():
            await self.supervisor.start(spec)
        say(f"started {', '.join(self.supervisor.children)}")

    async def go(self) -> None:
        """Let the simulated machines run, once every bridge has read its base lines."""
        if not self.options.demo:
            return
        await self._wait(self.live.all_connected, READY_TIMEOUT_S)
        self.supervisor.signal("plant", signal.SIGUSR1)
        self.supervisor.restart_with("plant", GOING)

    async def abort(self) -> None:
        """End a start that failed."""
        await self.supervisor.stop(list(self.supervisor.children))

    async def stop(self) -> None:
        """Stop everything in order; nothing that was said is lost."""
        if self._keeping:
            self._keeping.cancel()
        if "plant" in self.supervisor.children:
            self.supervisor.signal("plant", signal.SIGUSR2)
            await asyncio.sleep(FREEZE_S)
        await self._drain()
        await self.supervisor.stop(self._names("bridge-"))
        await self._drain()
        await self.supervisor.stop(self._names("worker-"))
        await self.supervisor.stop(["historian", "plant"])
        for task in self._tasks:
            task.cancel()
        if self._client:
            await self._client.disconnect()
        await self.supervisor.stop(["broker"])
        save_clock(self.folder.root, self.clock)

    async def _drain(self) -> None:
        since_ms = self.clock()
        if not await self._wait(lambda: self.live.drained(since_ms), DRAIN_TIMEOUT_S):
            waiting = self.live.waiting(since_ms)
            log.warning("not drained within %.0f s: %s", DRAIN_TIMEOUT_S, ", ".join(waiting))

    def _names(self, prefix: str) -> list[str]:
        return [name for name in self.supervisor.children if name.startswith(prefix)]

    async def _heard(self, timeout_s: float) -> None:
        """Until the hub said something, or a while passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        self._news.clear()

    async def _wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        end_s = time.monotonic() + timeout_s
        while not (met := condition()):
            if time.monotonic() > end_s:
                break
            await self._heard(POLL_S)
        return met

    async def _start_broker(self, say: Callable[[str], None]) -> Address:
        """Start our broker, or wait for the one that somebody else starts on the files we write."""
        host, elsewhere = self.options.broker or HOST, self.options.broker is not None
        port = _broker_port(self.options)
        ws_port = WS_PORT if elsewhere else free_port(WS_PORT)
        password_of = kept_passwords(self.folder.passwords)
        setup = BrokerSetup(
            str(self.folder.broker),
            port=port,
            ws_port=ws_port,
            host=EVERYWHERE if elsewhere else HOST,
            run_as=current_user(),
            queue_messages=queue_messages_for(self.plant),
        )
        prepare_broker(setup, broker_users(self.plant, password_of, edge_nodes(self.plant)))
        if not elsewhere:
            await self._start_own_broker(say)
        address = Address(host, port, "hub", password_of("hub"))
        try:
            await wait_until_ready(address, BROKER_TIMEOUT_S)
        except MqttError as error:
            await self.supervisor.stop(["broker"])
            raise CommandError(f"broker: {error}; {self.supervisor.tail('broker', 1)}") from None
        self._write_connection(address, ws_port, password_of("operator"))
        return address

    async def _start_own_broker(self, say: Callable[[str], None]) -> None:
        command = broker_command(find_mosquitto(cache_folder()), self.folder.broker)
        self._mqtt_5 = command.mqtt_5
        if command.weaker:
            say(command.weaker)
        await self.supervisor.start(ChildSpec("broker", command.argv, command.env))

    def _write_connection(self, address: Address, ws_port: int, password: str) -> None:
        login = f"operator:{quote(password, safe='')}"
        document = {
            "mqtt": f"mqtt://{login}@{address.host}:{address.port}",
            "ws": f"ws://{login}@{address.host}:{ws_port}",
            "store": self.options.store,
            "host": address.host,
            "port": address.port,
            "ws_port": ws_port,
            "mqtt_5": self._mqtt_5,
            "username": "operator",
            "password": password,
            "enterprise": self.plant.enterprise,
            "speed": self.options.speed,
        }
        write_connection(self.folder, document)

    def _children(self) -> Iterator[ChildSpec]:
        yield self._child("historian", "historian")
        lines = list(self.plant.lines)
        workers = ceil(len(lines) / LINES_PER_WORKER)
        for n in range(workers):
            yield self._child(f"worker-{n + 1}", "worker", *lines[n::workers])
        if self.options.demo:
            yield self._child("plant", "plant", str(self.options.seed))
        for name, bridges in self.plant.processes.items():
            yield self._child(f"bridge-{name}", "bridge", *bridges)

    def _child(self, name: str, role: str, *arguments: str) -> ChildSpec:
        module = [sys.executable, "-m", "uns.cli.child"]
        argv = [*module, str(self.folder.root), name, role, *arguments]
        return ChildSpec(name, argv, CHILD_ENV)

    async def _keep_tree(self, address: Address, say: Callable[[str], None]) -> None:
        """What the broker forgot is there again before anybody reads it; the store is free then."""
        wiring = KeeperWiring(
            enterprise=self.plant.enterprise,
            visitor=lambda: MqttClient(address, "hub.keeper", clean_session=True),
            remember=stored_tree(self.options.store, self.plant),
            note=self.folder.root / "incarnation.json",
            clock=self.clock,
        )
        self.keeper = Keeper(wiring)
        if not await self.keeper.look(HURRY_S):
            say(f"retained tree {self.keeper.account.summary}")

    async def _connected(self, client: MqttClient, _session: Session) -> None:
        self.keeper.look_soon()
        documents = (
            Outgoing(topic, encode_document(document), retain=True)
            for topic, document in meta_documents(self.plant)
        )
        self._describe = asyncio.create_task(client.publish_many(documents))

    async def _listen(self, client: MqttClient) -> None:
        async for batch in client.batches():
            for message in batch:
                self.live.take(message.topic, message.payload)
            client.ack(batch)
            self._news.set()

    async def _keep_clock(self) -> None:
        while True:
            save_clock(self.folder.root, self.clock, CLOCK_EVERY_S)
            await asyncio.sleep(CLOCK_EVERY_S)

    async def _say_health(self, client: MqttClient) -> None:
        topic = f"{self.plant.enterprise}/_hub/health/hub"
        while True:
            await client.publish(topic, encode_document(self._health()), retain=True)
            await asyncio.sleep(CLOCK_EVERY_S)

    def _health(self) -> dict[str, Any]:
        children = self.supervisor.children
        restarts = sum(child.restarts for child in children.values())
        running = sum(child.pid is not None for child in children.values())
        return {
            "summary": f"{running} of {len(children)} processes run, {restarts} restarts",
            "children": {
                name: {"pid": child.pid, "restarts": child.restarts, "ended": child.ended}
                for name, child in children.items()
            },
            "speed": self.options.speed,
            "at_ms": self.clock(),
        }


def cache_folder() -> Path:
    """Where unpacked system programs lie: `UNS_CACHE`, or `.cache` beside the project."""
    return Path(os.environ.get("UNS_CACHE", Path(__file__).parents[2] / ".cache"))


def free_port(preferred: int) -> int:
    """The preferred loopback port, or the next free one."""
    for port in (*range(preferred, min(preferred + 20, PORT_MAX + 1)), 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise CommandError(f"no free port from {preferred} on")


def _broker_port(options: HubOptions) -> int:
    """The port asked for, which must be free for a broker of ours; else the first free one."""
    preferred = options.port or MQTT_PORT
    port = preferred if options.broker else free_port(preferred)
    if options.port not in (None, port):
        raise CommandError(f"port {preferred} is taken: name another with --port, or none")
    return port


def _with_own_ports(plant: Plant, token: str) -> Plant:
    """The demo plant with its simulated PLCs on ports that are free here, under names of its own.

    A port may be lost to somebody else between now and its use: then the name is not answered to,
    and nobody else's pieces are counted.
    """
    bridges = dict(plant.bridges)
    for name, bridge in plant.bridges.items():
        if preferred := DEMO_PORTS.get(bridge.protocol):
            own = _OWN[bridge.protocol](bridge.settings, free_port(preferred), token)
            bridges[name] = type(bridge).model_validate({**bridge.model_dump(), **own})
    return plant.model_copy(update={"bridges": bridges})


def _own_opcua(settings: dict[str, Any], port: int, token: str) -> dict[str, Any]:
    url = urlsplit(settings["url"])._replace(netloc=f"{HOST}:{port}").geturl()
    return {"url": url, "namespace_uri": f"{settings['namespace_uri']}:{token}"}


def _own_modbus(_settings: dict[str, Any], port: int, token: str) -> dict[str, Any]:
    return {"port": port, "unit": 1 + int(token, 16) % UNITS}


_OWN: Final = {"opcua": _own_opcua, "modbus": _own_modbus}
