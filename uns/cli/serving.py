"""The record over HTTP from a data folder, while its hub runs there and after it stopped."""

import logging
import re
import socket
import time
from collections.abc import AsyncIterator
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple

import uvicorn

from uns.api.app import build
from uns.api.context import Context, Readers
from uns.api.feed import Feed, Said
from uns.api.gate import LOOPBACK
from uns.cli.errors import CommandError, UsageError
from uns.cli.folder import Folder, find_folder
from uns.cli.output import note, print_json, say
from uns.cli.reading import plant_time
from uns.cli.store import open_store
from uns.cli.subscribe import entered, visitor
from uns.model.path import LEVELS
from uns.mqtt.errors import MqttError
from uns.runtime.clock import PlantClock, load_clock

TOKEN_LENGTH_MIN: Final = 16
TOKEN: Final = re.compile("[!-~]+")
"""What a header can say, without blanks."""
CONNECTIONS_MAX: Final = 200
GRACE_S: Final = 3
LOOK_S: Final = 5.0


class ServeOptions(NamedTuple):
    """What the user asked for. tls: the files of a certificate and its key (PEM)."""

    host: str
    port: int
    token: str | None
    tls: tuple[Path, Path] | None = None


class FolderClock:
    """Plant time of a data folder: going on while a hub runs there, else when it stopped."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._looked_s = -LOOK_S
        self._running: PlantClock | None = None
        self._reached_ms = 0

    def __call__(self) -> int:
        """Plant time in ms. Whether the hub runs is looked up every LOOK_S."""
        if time.monotonic() - self._looked_s >= LOOK_S:
            self._running = load_clock(self._folder.root) if self._folder.running else None
            self._reached_ms = plant_time(self._folder)
            self._looked_s = time.monotonic()
        return self._running() if self._running else self._reached_ms


def serve(options: ServeOptions, data: Path | None, *, as_json: bool) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    checked(options)
    folder = find_folder(data)
    plant = folder.load_plant()
    context = Context(
        plant,
        Readers(partial(open_store, folder)),
        FolderClock(folder),
        Feed(partial(live, folder, plant.enterprise), away=(MqttError, CommandError)),
    )
    app = build(context, options.token, None if options.token else LOOPBACK | {options.host})
    certificate, key = options.tls or (None, None)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    logging.basicConfig(level=logging.WARNING)
    with _bound(options) as listening:
        _say_where(options, listening.getsockname()[1], as_json=as_json)
        uvicorn.Server(config).run([listening])


def checked(options: ServeOptions) -> ServeOptions:
    """The options, or UsageError: whoever can be reached from elsewhere needs a token."""
    if options.token is not None and len(options.token) < TOKEN_LENGTH_MIN:
        raise UsageError(f"the token is shorter than {TOKEN_LENGTH_MIN} characters")
    if options.token is not None and not TOKEN.fullmatch(options.token):
        raise UsageError("no header can say this token: use letters of ASCII, digits and signs")
    if options.token is None and not _is_loopback(options.host):
        raise UsageError(
            f"--host {options.host} can be reached from elsewhere: give a token by UNS_TOKEN "
            "(`openssl rand -hex 32` makes one), or stay on 127.0.0.1"
        )
    return options


def in_the_clear(options: ServeOptions) -> bool:
    """Whether somebody on the way could learn the token."""
    return bool(options.token) and not options.tls and not _is_loopback(options.host)


async def live(folder: Folder, enterprise: str) -> AsyncIterator[Said]:
    """The tag and state topics as the hub's broker says them, the retained ones first."""
    if not folder.running:
        raise CommandError(f"no hub runs on {folder.root}")
    address = folder.address("operator")
    places = [enterprise + "/+" * depth for depth in range(len(LEVELS))]
    async with visitor(address) as client:
        await entered(client, address)
        await client.subscribe([f"{places[-1]}/_tag/#", *(f"{p}/_state/#" for p in places)])
        async for batch in client.batches():
            client.ack(batch)
            for message in batch:
                yield message.topic, message.payload


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _bound(options: ServeOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family)
    except OSError as error:
        raise CommandError(f"{options.host}:{options.port}: {error.strerror or error}") from None


def _say_where(options: ServeOptions, port: int, *, as_json: bool) -> None:
    host = f"[{options.host}]" if ":" in options.host else options.host
    root = f"{'https' if options.tls else 'http'}://{host}:{port}"
    where = {"api": f"{root}/v1", "i3x": f"{root}/i3x/v1", "openapi": f"{root}/openapi.json"}
    if in_the_clear(options):
        note("who listens on the way learns the token: give --certificate and --key")
    if as_json:
        print_json(where)
        return
    for name, url in where.items():
        say(f"{name:8} {url}")
    note("Ctrl-C stops it")
