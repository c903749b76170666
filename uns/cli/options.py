"""Options that several commands share, and the readings of their values."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from uns.cli.errors import UsageError
from uns.cli.output import note
from uns.model.namespace import NamespaceError, parse_namespace
from uns.model.plant import Plant
from uns.mqtt import server
from uns.mqtt.message import Address

Data = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Data folder (default: the last used).")
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON on standard output.")]
Namespace = Annotated[
    Path | None,
    typer.Option("--namespace", metavar="FILE", help="The plant (default: ./namespace.yaml)."),
]

_AGO: Final = re.compile(r"-?(\d+)(s|m|h|d)")
_FILTER: Final = re.compile(r"(?!$)(([^+#/]*|\+)/)*([^+#/]*|\+|#)")
_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def instant_ms(text: str | None, now_ms: int, default_ms: int) -> int:
    """A point in time: ISO 8601 (`2026-11-23T06:00`), `10m` (ago), ms since 1970, or `now`."""
    if text is None:
        return default_ms
    if text == "now":
        return now_ms
    if ago := _AGO.fullmatch(text):
        return now_ms - int(ago[1]) * _MS[ago[2]]
    if text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time: use 2026-11-23T06:00, 10m, 2h or now") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def topic_filter(text: str) -> str:
    """A filter that brokers take: `+` and `#` are whole levels (MQTT 3.1.1, 4.7.1)."""
    if not _FILTER.fullmatch(text):
        raise UsageError(f"{text!r} is no topic filter: use acme/# or acme/+/_tag/state")
    return text


def address_of(url: str) -> Address:
    """The broker that `--server` names; UsageError says how to write one."""
    try:
        return server.address_of(url)
    except ValueError as error:
        raise UsageError(f"--server: {error}") from None


def iso(at_ms: int | None) -> str | None:
    """An instant for people: ISO 8601 in UTC with milliseconds."""
    if at_ms is None:
        return None
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def namespace_file(path: Path | None) -> Path:
    """The file asked for, ./namespace.yaml, or the demo plant that comes with the program."""
    if path:
        return path
    packaged, checkout = Path(__file__).parents[1] / "demo", Path(__file__).parents[2]
    candidates = [folder / "namespace.yaml" for folder in (Path(), packaged, checkout)]
    return next(filter(Path.is_file, candidates), candidates[0])


def read_text(file: Path) -> str:
    """The text of a file that the user named; UsageError where there is none."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 at byte {error.start}") from None


def read_plant(path: Path | None) -> Plant:
    """Read and check a namespace file; every fault is printed, then UsageError."""
    from bridges import PROTOCOLS  # noqa: PLC0415 - only commands that check a file need it

    file = namespace_file(path)
    try:
        return parse_namespace(read_text(file), str(file), PROTOCOLS)
    except NamespaceError as error:
        for fault in error.faults:
            note(str(fault))
        count = len(error.faults)
        raise UsageError(f"{file}: {count} fault{'s' if count > 1 else ''}") from None
