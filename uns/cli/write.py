"""`uns write`: a value for a device, and the hub's answer to it."""

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any, Final

import typer

from uns.cli.errors import CommandError, UsageError
from uns.cli.folder import Folder, find_folder
from uns.cli.output import print_json, say
from uns.cli.subscribe import entered, visitor
from uns.codec import encode_document
from uns.model.checks import did_you_mean
from uns.model.path import Topic, parse_topic
from uns.model.plant import Plant
from uns.mqtt.message import Address
from uns.runtime.clock import load_clock

REPLY_TIMEOUT_S: Final = 10.0
"""Beyond the tag's own `write_timeout_ms`, so that the answer is the bridge's."""
EXPIRY_S: Final = 10.0


def write(topic: str, value: str, data: Path | None, *, as_json: bool) -> None:
    """Write to the device behind a tag; exit code 1 when it is refused."""
    tag, wanted = _tag(topic), scalar(value)
    folder = find_folder(data)
    if not folder.running:
        raise CommandError(f"no hub runs on {folder.root}: start it with `uns demo` or `uns up`")
    command, timeout_s = _command(folder, wanted), _timeout_s(folder.load_plant(), tag)
    reply = asyncio.run(_ask(folder.address("operator"), tag, command, timeout_s))
    if as_json:
        print_json(reply)
    else:
        say(f"{reply['outcome']}: {reply['reason']}")
    if reply["outcome"] != "accepted":
        raise typer.Exit(1)


def scalar(text: str) -> float | str | bool:
    """A number or true/false as JSON writes it, any other text as it is: `71.5`, `true`, LOT-1."""
    try:
        value = json.loads(text, parse_constant=str)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float | str) else text


def _tag(text: str) -> Topic:
    topic = parse_topic(text)
    if topic.kind != "_tag" or topic.keys:
        raise UsageError(f"{text!r} is no tag: use a topic as acme/b/a/l/cell/_tag/name")
    return topic


def _command(folder: Folder, value: float | str | bool) -> dict[str, Any]:  # noqa: FBT001 - a value
    clock = load_clock(folder.root)
    now_ms = clock()
    return {
        "request_id": secrets.token_hex(8),
        "value": value,
        "expires_at_ms": now_ms + int(EXPIRY_S * 1000 * clock.speed),
        "at_ms": now_ms,
        "actor": folder.address("operator").username,
    }


def _timeout_s(plant: Plant, tag: Topic) -> float:
    """How long to wait for the answer; UsageError where there is nobody to give one."""
    place = plant.cells.get(tag.path)
    if place is None:
        raise UsageError(f"no cell {tag.path}{did_you_mean(tag.path, plant.cells)}")
    tags = place.cell.tags
    if tag.name not in tags:
        raise UsageError(f"no tag {tag.name!r} at {tag.path}{did_you_mean(tag.name, tags)}")
    writable = tags[tag.name].writable
    return REPLY_TIMEOUT_S + (writable.write_timeout_ms if writable else 0) / 1000


async def _ask(
    address: Address, tag: Topic, command: dict[str, Any], timeout_s: float
) -> dict[str, Any]:
    async with visitor(address) as client:
        await entered(client, address)
        await client.subscribe([f"{tag.path}/_event/reply/{command['request_id']}"])
        await client.publish(f"{tag.path}/_cmd/write/{tag.name}", encode_document(command))
        replies = await client.receive(timeout_s=timeout_s)
        client.ack(replies)
    if not replies:
        raise CommandError(f"no reply within {timeout_s:g} s: does a bridge serve {tag.path}?")
    reply: dict[str, Any] = json.loads(replies[0].payload)
    return reply
