"""`uns demo` and `uns up`: run a hub in the foreground, show it live, sum it up at the end."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.live import Live as Screen

from uns.cli.errors import UsageError
from uns.cli.folder import Folder, locked, open_folder
from uns.cli.hub import Hub, HubOptions
from uns.cli.live import per_cent
from uns.cli.output import console, note, print_json, say
from uns.cli.store import store_location, summarize
from uns.model.plant import Plant

REFRESH_S: Final = 0.5
STATUS_EVERY_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the user asked for, checked. `duration_s` None: until Ctrl-C."""

    hub: HubOptions
    duration_s: float | None
    json: bool


def run_hub(plant: Plant, data: Path, options: RunOptions) -> None:
    """Run a hub on a data folder until Ctrl-C, SIGTERM or the end of `duration_s`."""
    folder = open_folder(data)
    with locked(folder):
        asyncio.run(_run(folder, plant, options))


def store_url(store: str, data: Path) -> str:
    """`duckdb` becomes the URL of the folder's own file; a DSN is taken as it is."""
    if store == "duckdb":
        return store_location(data)
    if store.startswith(("postgresql://", "postgres://")):
        return store
    raise UsageError(f"--store {store!r}: use duckdb or postgresql://user@host/database")


async def _run(folder: Folder, plant: Plant, options: RunOptions) -> None:
    folder.logs.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=folder.logs / "hub.log",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    hub = Hub(folder, plant, options.hub)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    tell = note if options.json or not sys.stdout.isatty() else say
    try:
        await hub.start(tell)
    except BaseException:
        await hub.abort()
        raise
    _first_screen(hub, tell)
    try:
        async with _going(hub), _shown(hub, options):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(options.duration_s):
                    await stop.wait()
    finally:
        tell("stopping: machines freeze, outboxes empty, then the processes end")
        sources, oee = _sources(hub), _oee(hub)
        await hub.stop()
    oee = _oee(hub) or oee
    summary = {**summarize(folder), "oee": oee, "sources": sources, "data": str(folder.root)}
    if options.json:
        print_json(summary)
    else:
        _print_summary(summary)


@contextlib.asynccontextmanager
async def _going(hub: Hub) -> AsyncIterator[None]:
    task = asyncio.create_task(hub.go())
    try:
        yield
    finally:
        task.cancel()


@contextlib.asynccontextmanager
async def _shown(hub: Hub, options: RunOptions) -> AsyncIterator[None]:
    """The live table on a terminal, a status line now and then elsewhere."""
    on_screen = not options.json and sys.stdout.isatty()
    task = asyncio.create_task(_draw(hub) if on_screen else _report(hub))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _draw(hub: Hub) -> None:
    with Screen(hub.live.table(), console=console, auto_refresh=False) as screen:
        while True:
            screen.update(hub.live.table(), refresh=True)
            await asyncio.sleep(REFRESH_S)


async def _report(hub: Hub) -> None:
    while True:
        await asyncio.sleep(STATUS_EVERY_S)
        lines = (
            f"{line.rpartition('/')[2]} {document.get('state')} OEE {per_cent(document.get('oee'))}"
            for line, document in hub.live.oee().items()
        )
        note(", ".join(lines) or "no line has said anything yet")


def _first_screen(hub: Hub, tell: Callable[[str], None]) -> None:
    connection = hub.folder.load_connection()
    first = next(iter(hub.plant.cells))
    for line in (
        f"MQTT       {connection['mqtt']}",
        f"WebSocket  {connection['ws']}",
        f"store      {connection['store']}",
        f"login      {connection['username']} {connection['password']}",
        f"           also in {hub.folder.connection}",
        f"open MQTT Explorer and look at {first.rpartition('/')[0]}/…",
        "elsewhere: uns tree · uns watch 'acme/#' · uns oee · uns trace LOT; Ctrl-C stops all",
    ):
        tell(line)


def _sources(hub: Hub) -> dict[str, Any]:
    return {
        name: {key: document.get(key) for key in ("connected", "tags", "reconnects", "protocol")}
        for name, document in sorted(hub.live.bridges().items())
    }


def _oee(hub: Hub) -> dict[str, Any]:
    keys = ("oee", "availability", "effectiveness", "quality_ratio", "sums", "policy_id")
    return {
        line: {key: document.get(key) for key in keys} for line, document in hub.live.oee().items()
    }


def _print_summary(summary: dict[str, Any]) -> None:
    for key in ("orders", "verdicts", "events"):
        counts = ", ".join(f"{name} {count}" for name, count in summary[key].items())
        say(f"{key:9} {counts or 'none'}")
    say(f"{'edges':9} {summary['edges']}")
    for line, figures in summary["oee"].items():
        say(f"OEE       {line} {per_cent(figures['oee'])}")
    say(f"rejects {summary['rejects']}, gaps {summary['gaps']}; kept in {summary['data']}")
