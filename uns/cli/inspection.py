"""The commands that look at things: the plant file, schemas, broker configuration, the machine."""

import asyncio
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import typer

from bridges.sparkplug.directory import edge_nodes
from uns.cli.errors import CommandError, UsageError
from uns.cli.folder import Folder, find_folder
from uns.cli.hub import cache_folder
from uns.cli.meta import SCHEMAS, asyncapi, schema
from uns.cli.options import namespace_file, read_plant, read_text
from uns.cli.output import note, print_json, print_table, say
from uns.cli.store import open_store
from uns.cli.subscribe import retained
from uns.historian.errors import HistorianError
from uns.model.checks import did_you_mean
from uns.model.namespace import NamespaceError, parse_namespace
from uns.mqtt.acl import broker_users
from uns.mqtt.broker import current_user, find_mosquitto
from uns.mqtt.broker_config import BrokerSetup, queue_messages_for, render_acl, render_config
from uns.mqtt.errors import MqttError
from uns.runtime.clock import load_clock, wall_ms

FREE_BYTES_MIN: Final = 1_000_000_000
SKEW_MS_MAX: Final = 2_000
INDENT: Final = 2


def check(file: Path | None, *, as_json: bool) -> None:
    """Check a namespace file; exit code 2 when it has faults."""
    from bridges import PROTOCOLS  # noqa: PLC0415 - only commands that check a file need it

    path = namespace_file(file)
    try:
        plant = parse_namespace(read_text(path), str(path), PROTOCOLS)
    except NamespaceError as error:
        if as_json:
            print_json({"file": str(path), "faults": [f._asdict() for f in error.faults]})
        else:
            for fault in error.faults:
                say(str(fault))
        raise typer.Exit(2) from None
    counts = {
        "file": str(path),
        "faults": [],
        "sites": len(plant.sites),
        "lines": len(plant.lines),
        "cells": len(plant.cells),
        "tags": sum(len(place.cell.tags) for place in plant.cells.values()),
        "items": len(plant.items),
    }
    if as_json:
        print_json(counts)
    else:
        say(
            f"{path}: no faults; {counts['lines']} lines, {counts['cells']} cells, "
            f"{counts['tags']} tags, {counts['items']} items"
        )


def print_schema(name: str | None, *, as_json: bool) -> None:
    """Print one schema, or the names of all."""
    names, indent = [*SCHEMAS, "asyncapi"], None if as_json else INDENT
    if name is None:
        if as_json:
            print_json(names)
        else:
            say("\n".join(names))
    elif name == "asyncapi":
        print_json(asyncapi(read_plant(None)), indent)
    elif name in SCHEMAS:
        print_json(schema(name), indent)
    else:
        hint = did_you_mean(name, names) or ": `uns schema` lists them"
        raise UsageError(f"no schema {name!r}{hint}")


def broker_config(file: Path | None, part: str, *, as_json: bool) -> None:
    """Print what the hub would write for the broker; passwords are never printed."""
    plant = read_plant(file)
    setup = BrokerSetup(
        "/var/lib/uns/broker", run_as=current_user(), queue_messages=queue_messages_for(plant)
    )
    users = broker_users(plant, lambda _: "", edge_nodes(plant))
    text = render_config(setup) if part == "conf" else render_acl(users)
    if as_json:
        print_json({part: text})
    else:
        sys.stdout.write(text)


class Finding(NamedTuple):
    """One thing that doctor looked at; `fix` says what to do when it is not `ok`."""

    subject: str
    status: str
    found: str
    fix: str = ""


def doctor(data: Path | None, *, as_json: bool) -> None:
    """Print every finding; exit code 1 when one is a failure."""
    findings = [*_machine(), *_hub(data)]
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        print_table(Finding._fields, findings)
    if any(finding.status == "fail" for finding in findings):
        raise typer.Exit(1)


def _machine() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", "ok", version)
    broker = find_mosquitto(cache_folder())
    if broker:
        yield Finding("mosquitto", "ok", f"{broker.path} {'.'.join(map(str, broker.version))}")
    else:
        fix = (
            "apt install mosquitto; until then the embedded broker is used, which drops under load"
        )
        yield Finding("mosquitto", "warn", "not found", fix)
    pdeath = shutil.which("setpriv")
    yield Finding(
        "setpriv",
        "ok" if pdeath else "warn",
        pdeath or "not found",
        "" if pdeath else "install util-linux, or stop children by hand after a kill -9 of the hub",
    )


def _hub(data: Path | None) -> Iterator[Finding]:
    try:
        folder = find_folder(data)
        plant = folder.load_plant()
    except CommandError as error:
        yield Finding("data folder", "warn", str(error), "uns demo")
        return
    free = shutil.disk_usage(folder.root).free
    enough = free > FREE_BYTES_MIN
    yield Finding(
        "data folder",
        "ok" if enough else "fail",
        f"{folder.root}, {free // 1_000_000} MB free",
        "" if enough else "free some disk: history and outboxes need it",
    )
    yield _attempt("store", lambda: _store(folder), "see log/historian.log in the data folder")
    if not folder.running:
        yield Finding("hub", "warn", "not running", f"uns demo --data {folder.root}")
        return
    yield _attempt("broker", lambda: _retained(folder), "see log/broker.log in the data folder")
    skew = abs(load_clock(folder.root)() - wall_ms()) if _speed(folder) == 1 else 0
    status = "ok" if skew < SKEW_MS_MAX else "warn"
    yield Finding("clock", status, f"plant time is {skew} ms off the wall's", "")
    note(f"checked the hub of {plant.enterprise}")


def _attempt(subject: str, look: Callable[[], str], fix: str) -> Finding:
    try:
        return Finding(subject, "ok", look())
    except (HistorianError, MqttError, CommandError) as error:
        return Finding(subject, "fail", str(error), fix)


def _store(folder: Folder) -> str:
    with open_store(folder) as reader:
        rows = reader.query("select count(*) from events").rows
    return f"{folder.load_connection()['store'].partition('@')[2] or 'duckdb'}: {rows[0][0]} events"


def _retained(folder: Folder) -> str:
    plant = folder.load_plant()
    found = asyncio.run(retained(folder.address("operator"), f"{plant.enterprise}/#"))
    expected = sum(len(place.cell.tags) for place in plant.cells.values())
    tags = sum("/_tag/" in topic for topic in found)
    if tags < expected:
        raise CommandError(f"{tags} of {expected} tags are retained; {len(found)} topics in all")
    return f"{len(found)} retained topics, all {expected} tags among them"


def _speed(folder: Folder) -> float:
    return float(folder.load_connection()["speed"])
