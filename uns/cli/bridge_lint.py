"""What `uns bridge lint` does: hear a foreign namespace, live or recorded, and list what is wrong.

Owns where messages come from and how the list is shown. What contradicts is bridges.mqtt.lint's.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NamedTuple

import typer

from bridges.mqtt.config import MqttSettings
from bridges.mqtt.lint import Finding, Linter
from bridges.mqtt.mapping import Heard
from bridges.mqtt.payload import time_ms
from bridges.mqtt.points import Known, known_of
from uns.cli.errors import UsageError
from uns.cli.folder import find_folder
from uns.cli.options import address_of, iso, read_plant, topic_filter
from uns.cli.output import note, print_json, say
from uns.cli.subscribe import messages
from uns.model.checks import did_you_mean
from uns.mqtt.message import Address
from uns.runtime.clock import wall_ms

PROTOCOL: Final = "mqtt"
SCHEME: Final = "mqtt://"


class Listening(NamedTuple):
    """A namespace that is heard: which broker, which topics, how long, and what is known of it."""

    address: Address
    topic_filter: str
    duration_s: float


class Recorded(NamedTuple):
    """A namespace in a file, as `mosquitto_sub -F %j` prints it, a message a line."""

    file: Path


Source = Listening | Recorded


class Mapped(NamedTuple):
    """What a bridge of namespace.yaml says of the namespace."""

    settings: MqttSettings
    known: list[Known]


def mapping_of(bridge: str, file: Path | None) -> Mapped:
    """The mapping of a bridge; UsageError for one that is none of MQTT."""
    plant = read_plant(file)
    names = [name for name, one in plant.bridges.items() if one.protocol == PROTOCOL]
    if bridge not in names:
        hint = did_you_mean(bridge, names)
        raise UsageError(f"no bridge {bridge!r} of protocol {PROTOCOL}{hint}")
    settings = MqttSettings.model_validate(plant.bridges[bridge].settings)
    return Mapped(settings, list(known_of(settings, plant.served_by(bridge))))


def source_of(
    source: str | None,
    mapping: Mapped | None,
    wanted: str | None,
    duration_s: float,
    data: Path | None,
) -> Source:
    """What is to be heard: a file, the broker of a URL, or the one that a bridge listens to."""
    if source is not None and not source.startswith(SCHEME):
        return Recorded(Path(source))
    if source is None and mapping is None:
        raise UsageError("name a SOURCE, or a bridge with --bridge")
    if wanted is None:
        wanted = f"{mapping.settings.root}/#" if mapping else "#"
    url = source or (mapping.settings.server if mapping else None)
    address = address_of(url) if url else find_folder(data).address("operator")
    return Listening(address, topic_filter(wanted), duration_s)


def run(source: Source, mapping: Mapped | None, *, as_json: bool) -> None:
    """Print what was found; exit code 1 if anything was."""
    linter = Linter(mapping.known if mapping else ())
    match source:
        case Recorded(file):
            for message in recorded(file):
                linter.hear(message)
        case Listening():
            note(f"listening to {source.topic_filter} for {source.duration_s:g} s")
            with suppress(KeyboardInterrupt, TimeoutError):
                asyncio.run(_listen(source, linter))
    _print(linter, as_json=as_json)
    if linter.findings():
        raise typer.Exit(1)


async def _listen(source: Listening, linter: Linter) -> None:
    async with asyncio.timeout(source.duration_s):
        async for message in messages(source.address, source.topic_filter):
            heard = Heard(message.topic, message.payload, wall_ms(), message.retain)
            linter.hear(heard)


def recorded(file: Path) -> Iterator[Heard]:
    """The messages of a file; UsageError names the line that is none."""
    try:
        with file.open(encoding="utf-8", errors="surrogateescape") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _message(file, number, line)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None


def _message(file: Path, number: int, line: str) -> Heard:
    try:
        told: dict[str, Any] = json.loads(line)
        payload, at = told["payload"], told["tst"]
        text = payload or "" if isinstance(payload, str | None) else json.dumps(payload)
        at_ms = time_ms(at.replace("Z+", "+").replace("Z-", "-") if isinstance(at, str) else at)
        raw = text.encode(errors="surrogateescape")
        heard = Heard(str(told["topic"]), raw, at_ms or 0, bool(told.get("retain")))
    except (ValueError, KeyError, TypeError, AttributeError):
        at_ms = None
    if at_ms is None:
        raise UsageError(f"{file}:{number}: no line of `mosquitto_sub -F %j`")
    return heard


def _print(linter: Linter, *, as_json: bool) -> None:
    found = linter.findings()
    if as_json:
        heard = {"messages": linter.messages, "values": linter.values}
        print_json({**heard, "findings": [_document(one) for one in found]})
        return
    for one in found:
        say(_paragraph(one))
    passed = f"; {linter.passed_over} passed over, for there are too many" * bool(
        linter.passed_over
    )
    count = f"{len(found)} finding{'s' if len(found) != 1 else ''}"
    say(f"{count} in {linter.messages} messages of {linter.values} values{passed}")


def _document(finding: Finding) -> dict[str, Any]:
    document = asdict(finding)
    return {**document, "at": iso(document.pop("at_ms"))}


def _paragraph(finding: Finding) -> str:
    seen = finding.first if finding.first == finding.last else f"{finding.first}; {finding.last}"
    times = f"{finding.times} times: " if finding.times > 1 else ""
    return f"{finding.rule}  {finding.where}\n    {times}{seen}\n    -> {finding.fix}"
