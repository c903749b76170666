"""A command to a running hub and the answer to it. Does not know what is commanded."""

import asyncio
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import typer

from uns.cli.errors import CommandError
from uns.cli.folder import Folder, find_folder
from uns.cli.output import print_json, say
from uns.cli.subscribe import entered, visitor
from uns.codec import encode_document
from uns.mqtt.message import Address

TRY_S: Final = 2.0
TRIES: Final = 5


async def ask(address: Address, place: str, command: str, body: dict[str, Any]) -> dict[str, Any]:
    """Publish `<place>/_cmd/<command>` and return the reply.

    The same request is said again while nobody answers: whoever takes it may not have subscribed
    yet, and takes it once. Raises CommandError when there is no reply to any of TRIES.
    """
    request_id = secrets.token_hex(8)
    said = encode_document({"request_id": request_id, "actor": address.username, **body})
    async with visitor(address) as client:
        await entered(client, address)
        await client.subscribe([f"{place}/_event/reply/{request_id}"])
        for _ in range(TRIES):
            await client.publish(f"{place}/_cmd/{command}", said)
            if replies := await client.receive(timeout_s=TRY_S):
                client.ack(replies)
                reply: dict[str, Any] = json.loads(replies[0].payload)
                return reply
    waited_s = TRIES * TRY_S
    raise CommandError(f"no reply within {waited_s:g} s: is the bridge of {place} running?")


def answered(address: Address, place: str, command: str, body: dict[str, Any]) -> dict[str, Any]:
    """`ask`, for a command line."""
    return asyncio.run(ask(address, place, command, body))


def running(data: Path | None) -> Folder:
    """The folder of a hub that runs; CommandError where none does."""
    folder = find_folder(data)
    if not folder.running:
        raise CommandError(f"no hub runs on {folder.root}: start it with `uns demo` or `uns up`")
    return folder


def print_answer(reply: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what was answered; exit code 1 when it is refused."""
    if as_json:
        print_json(reply)
    else:
        say(f"{reply['outcome']}: {reply['reason']}")
    if reply["outcome"] != "accepted":
        raise typer.Exit(1)
