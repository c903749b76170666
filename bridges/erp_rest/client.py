"""The ERP bridge over HTTP: what the hub made of orders goes out, orders come in.

Owns what runs side by side and the status under `_hub/erp/<name>`. What an order has come to is in
hearing.py, how the counterpart is told in posting.py, how orders come in receiving.py.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final, NamedTuple

from bridges.erp_rest.config import ErpRestSettings
from bridges.erp_rest.errors import NotSent, SettingsError
from bridges.erp_rest.exchange import Exchange, server_at
from bridges.erp_rest.hearing import Clocks, Hearing
from bridges.erp_rest.listener import TOKEN_LENGTH_MIN, Listener
from bridges.erp_rest.mapping import ADAPTERS, terms_of
from bridges.erp_rest.posting import Line, Poster
from bridges.erp_rest.receiving import Receiving, Source, told_orders
from bridges.erp_rest.store import Store, store_path
from bridges.erp_rest.telling import Rules
from uns.codec import encode_document
from uns.fold import Document
from uns.model.observation import Link, Observation
from uns.model.plant import Plant
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Address

TELL_S: Final = 0.5
STATUS_S: Final = 2.0
FORGET_S: Final = 3_600.0
GREET_S: Final = 2.0
SETTINGS_S: Final = 10.0
TOKEN_BYTES_MAX: Final = 8_192
DAY_MS: Final = 86_400_000

log = logging.getLogger(__name__)
Standings = asyncio.Queue[Link | None]
"""None: the bridge has ended."""


class Hub(NamedTuple):
    """The hub as this bridge sees it: its broker, its data folder and our name there."""

    address: Address
    root: Path
    name: str

    @property
    def client_id(self) -> str:
        """The session in which orders are heard: what comes while we are away waits in it."""
        return f"bridge-{self.name}-orders"


class Tokens(NamedTuple):
    """What we show the counterpart, and what whoever pushes shows us."""

    ours: str
    theirs: str | None


async def observe(
    settings: ErpRestSettings, plant: Plant, clocks: Clocks, hub: Hub
) -> AsyncGenerator[list[Observation], None]:
    """Whether the counterpart can be spoken to, as a link, for ever; orders go other ways."""
    standings: Standings = asyncio.Queue()
    while True:
        try:
            bridge = _Bridge(settings, plant, clocks, hub, standings)
            break
        except SettingsError as error:
            log.error("%s", error)  # noqa: TRY400 - no traceback: designed
            yield [Link(settings.url, (), up=False, at_ms=clocks.plant(), reason=str(error))]
            await asyncio.sleep(SETTINGS_S)
    life = asyncio.create_task(bridge.run())
    life.add_done_callback(lambda _: standings.put_nowait(None))
    try:
        while link := await standings.get():
            yield [link]
        life.result()
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
        bridge.close()


class _Bridge:
    """The parts, wired, and what each does."""

    def __init__(
        self,
        settings: ErpRestSettings,
        plant: Plant,
        clocks: Clocks,
        hub: Hub,
        standings: Standings,
    ) -> None:
        adapter, terms = ADAPTERS[settings.adapter], terms_of(settings, plant)
        tokens = read_tokens(settings, hub.root)
        self._exchange = exchange_of(settings, hub.root, adapter.authorization(tokens.ours))
        self._settings, self._clocks, self._hub, self._tokens = settings, clocks, hub, tokens
        self._topic = f"{plant.enterprise}/_hub/erp/{hub.name}"
        self._standings = standings
        self._trouble: str | None = "nothing was asked yet"
        self._is_up: bool | None = None
        self._store = Store(store_path(hub.root, hub.name))
        line = Line(adapter, self._exchange, terms, clocks.wall, random.random)
        self._poster = Poster(self._store, line, settings, self._stands)
        source = Source(hub.name, adapter, terms, plant, clocks.wall)
        self._receiving = Receiving(self._store, source)
        self._hearing = Hearing(self._store, plant, clocks, self._receiving.answered)

    def close(self) -> None:
        """Release the file."""
        self._store.close()

    async def run(self) -> None:
        """Everything, until cancelled or something fails that should not."""
        settings = self._settings
        async with (
            MqttClient(self._hub.address, self._hub.client_id) as client,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(self._hear(client))
            tasks.create_task(self._tell())
            tasks.create_task(self._poster.run())
            tasks.create_task(self._receiving.command(client))
            tasks.create_task(self._say_status(client))
            tasks.create_task(self._forget())
            tasks.create_task(self._greet())
            if settings.poll_ms is not None:
                tasks.create_task(self._receiving.poll(self._exchange, settings.poll_ms))
            if settings.listen_port is not None and self._tokens.theirs is not None:
                listener = Listener(settings.listen_port, self._tokens.theirs, self._receiving.push)
                tasks.create_task(listener.run())

    async def _hear(self, client: MqttClient) -> None:
        await client.subscribe(self._hearing.filters)
        async for batch in client.batches():
            self._hearing.take(batch)
            client.ack(batch)

    async def _tell(self) -> None:
        settings = self._settings
        rules = Rules(
            settings.confirm_every_ms,
            settings.settle_ms,
            is_partial=settings.confirm == "progress",
            is_own=settings.orders == "own",
        )
        while True:
            for count in self._hearing.tell(rules):
                if count:
                    self._poster.wake()
                await asyncio.sleep(0)
            await asyncio.sleep(TELL_S)

    async def _forget(self) -> None:
        while True:
            before_ms = self._clocks.wall() - self._settings.keep_days * DAY_MS
            self._store.forget(before_ms, own=self._settings.orders == "own")
            await asyncio.sleep(FORGET_S)

    async def _greet(self) -> None:
        """Say whether the counterpart is there, before there is anything to tell it."""
        while self._is_up is not True:
            try:
                await self._exchange.reach()
            except NotSent as error:
                self._stands(str(error))
                await asyncio.sleep(GREET_S)
            else:
                self._stands(None)

    def _stands(self, trouble: str | None) -> None:
        """Say a change of the link; what exactly is wrong stands in the status."""
        self._trouble, is_up = trouble, trouble is None
        if is_up != self._is_up:
            self._is_up = is_up
            log.log(logging.WARNING if trouble else logging.INFO, "%s", trouble or "connected")
            link = Link(self._settings.url, (), is_up, self._clocks.plant(), trouble)
            self._standings.put_nowait(link)

    async def _say_status(self, client: MqttClient) -> None:
        while True:
            await client.publish(self._topic, encode_document(self._status()), retain=True)
            await asyncio.sleep(STATUS_S)

    def _status(self) -> Document:
        posts, orders = self._store.counts(), told_orders(self._store)
        open_ = posts.get("waiting", 0) + posts.get("unsure", 0)
        dead, oldest_ms = posts.get("dead", 0), self._store.oldest_ms()
        how = "connected" if self._trouble is None else "NOT connected"
        return {
            "summary": f"{self._hub.name} {how}, {open_} confirmations wait, {dead} dead letters",
            "bridge": self._hub.name,
            "adapter": self._settings.adapter,
            "connected": self._trouble is None,
            "reason": self._trouble,
            "waiting": posts.get("waiting", 0),
            "unsure": posts.get("unsure", 0),
            "dead": dead,
            "sent": posts.get("sent", 0),
            "skipped": posts.get("skipped", 0),
            "oldest_ms": None if oldest_ms is None else self._clocks.wall() - oldest_ms,
            "orders_missing": len(self._hearing.missing()),
            "orders_in": orders,
            "at_ms": self._clocks.plant(),
        }


def exchange_of(settings: ErpRestSettings, root: Path, authorization: str) -> Exchange:
    """The way to the counterpart. Raises SettingsError."""
    ca_file = str(root / settings.ca_file) if settings.ca_file else None
    try:
        server = server_at(settings.url, authorization, ca_file)
    except OSError as error:
        raise SettingsError(f"ca_file: {ca_file} cannot be read: {error}") from None
    return Exchange(server, settings.timeout_ms)


def read_tokens(settings: ErpRestSettings, root: Path) -> Tokens:
    """The credentials of the token files. Raises SettingsError."""
    ours = _token("credentials_file", root / settings.credentials_file, 1)
    if settings.listen_credentials_file is None:
        return Tokens(ours, None)
    path = root / settings.listen_credentials_file
    return Tokens(ours, _token("listen_credentials_file", path, TOKEN_LENGTH_MIN))


def _token(setting: str, path: Path, length_min: int) -> str:
    try:
        with path.open("rb") as file:
            token = file.read(TOKEN_BYTES_MAX).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{setting}: {path} cannot be read: {error}") from None
    if len(token) < length_min or not token.isprintable():
        raise SettingsError(f"{setting}: {path} holds no line of {length_min} characters or more")
    return token
