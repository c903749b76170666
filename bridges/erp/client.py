"""The ERP bridge: orders from a folder and from commands become released orders.

Owns when the folder is looked at and what becomes of each file: it is put away when its release
is durable, never before. What an order must say is in mapping.py, files are in folder.py.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bridges.erp.config import ErpSettings
from bridges.erp.errors import FolderLost
from bridges.erp.folder import INBOX, Arrived, OrderFolder
from bridges.erp.mapping import (
    REJECT_CLASS,
    Known,
    New,
    Outcome,
    Refused,
    Repeated,
    place_in,
    read_document,
    release,
    reply,
)
from uns.codec import Message, Reject, parse_json
from uns.model.commands import ReleaseOrder
from uns.model.observation import BadInput, Link, Observation
from uns.model.path import TopicError, parse_topic
from uns.model.plant import Plant

log = logging.getLogger(__name__)

KnownFact = Callable[[str], Mapping[str, str]]


async def observe(  # noqa: PLR0913, PLR0917 - the contract's four, and where orders come from
    settings: ErpSettings,
    plant: Plant,
    clock: Callable[[], int],
    folder: Path,
    commands: "asyncio.Queue[Message | Reject]",
    known_fact: KnownFact,
) -> AsyncGenerator[list[Observation], None]:
    """Batches of observations, for ever: one a file, one a command, the folder's ups and downs.

    clock: plant time in ms. folder: holds `in`, `done` and `error`, made when missing.
    known_fact: recorded bodies (JSON) by business key, for keys with a prefix.
    """
    office = Office(plant, clock, known_fact)
    inbox = Inbox(OrderFolder(folder, settings), FolderLink(str(folder), clock), office)
    loop, poll_s = asyncio.get_running_loop(), settings.poll_ms / 1000
    while True:
        now_s = loop.time()
        for told in inbox.look(now_s):
            yield told
        async for message in taken(commands, until_s=now_s + poll_s):
            if told := office.of_command(message):
                yield told


class Inbox:
    """The folder being looked at: what a file says, and where it goes once that is durable."""

    def __init__(self, folder: OrderFolder, link: "FolderLink", office: "Office") -> None:
        self._folder = folder
        self._link = link
        self._office = office

    def look(self, now_s: float) -> Iterator[list[Observation]]:
        """Batches of one look; a file is put away when the next batch is asked for."""
        try:
            self._folder.prepare()
            yield from self._link.is_up()
            for arrived in self._folder.complete(now_s):
                outcome = self._office.judge(arrived)
                if told := self._office.of_file(arrived, outcome):
                    yield told
                self._put_away(arrived, outcome)
        except FolderLost as error:
            yield from self._link.is_down(str(error))

    def _put_away(self, arrived: Arrived, outcome: Outcome) -> None:
        match outcome:
            case New():
                self._folder.done(arrived.path)
            case Repeated(reason):
                self._folder.done(arrived.path, reason)
            case Refused():
                self._folder.refused(arrived.path, about(arrived, outcome))
                log.warning("%s", about(arrived, outcome))


class Office:
    """Judges orders against the plant and against what was recorded."""

    def __init__(self, plant: Plant, clock: Callable[[], int], known_fact: KnownFact) -> None:
        self._plant = plant
        self._clock = clock
        self._known_fact = known_fact

    def judge(self, arrived: Arrived) -> Outcome:
        """What becomes of a file."""
        if arrived.too_big:
            size = len(arrived.raw)
            return Refused("", f"larger than {size} bytes: split it, or raise file_bytes_max")
        document = read_document(arrived.raw)
        return document if isinstance(document, Refused) else self._release(document)

    def of_file(self, arrived: Arrived, outcome: Outcome) -> list[Observation]:
        """What a judged file says."""
        match outcome:
            case New(fact):
                return [fact]
            case Refused():
                origin, reason = f"{INBOX}/{arrived.path.name}", about(arrived, outcome)
                return [BadInput(origin, REJECT_CLASS, reason, arrived.raw, self._clock())]
            case Repeated():
                return []

    def of_rejected(self, rejected: Reject) -> list[Observation]:
        """A refusal in words, where its sender can be named; the historian keeps the original."""
        try:
            request_id = str(parse_json(rejected.original)["request_id"])
            path = parse_topic(rejected.topic).path
            refused = Refused("command", rejected.reason)
            return [reply(path, request_id, refused, self._clock())]
        except (ValueError, KeyError):
            return []

    def of_command(self, message: Message | Reject) -> list[Observation]:
        """What a command says: the release if it is new, and an answer in any case."""
        if isinstance(message, Reject):
            return self.of_rejected(message)
        path, command = message.topic.path, message.value
        if not isinstance(command, ReleaseOrder):
            return []
        outcome = self._below(path, self._release(command.order))
        try:
            answer = reply(path, command.request_id, outcome, self._clock())
        except TopicError as error:
            original = command.model_dump_json().encode()
            reason = f"request_id: {error}"
            return [BadInput(str(message.topic), REJECT_CLASS, reason, original, self._clock())]
        return [outcome.fact, answer] if isinstance(outcome, New) else [answer]

    def _release(self, document: Mapping[str, Any]) -> Outcome:
        return release(document, self._plant, self._recorded, self._clock())

    def _recorded(self, order_id: str) -> Known:
        found = {key: json.loads(body) for key, body in self._known_fact(f"{order_id}@").items()}
        return {key: body for key, body in found.items() if body["order_id"] == order_id}

    def _below(self, path: str, outcome: Outcome) -> Outcome:
        """A command is for the site it was given at."""
        if isinstance(outcome, New) and not outcome.fact.path.startswith(f"{path}/"):
            where = outcome.fact.path
            return Refused("item", f"made at {where}, not below {path}: give the command there")
        return outcome


class FolderLink:
    """Whether the folder can be used, said on every change."""

    def __init__(self, endpoint: str, clock: Callable[[], int]) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._said: str | None = None

    def is_up(self) -> Iterator[list[Observation]]:
        """The folder can be used."""
        yield from self._say("")

    def is_down(self, reason: str) -> Iterator[list[Observation]]:
        """The folder cannot be used."""
        yield from self._say(reason)

    def _say(self, trouble: str) -> Iterator[list[Observation]]:
        if trouble == self._said:
            return
        self._said = trouble
        log.log(logging.WARNING if trouble else logging.INFO, "%s", trouble or self._endpoint)
        yield [Link(self._endpoint, (), not trouble, self._clock(), trouble or None)]


async def taken(
    commands: "asyncio.Queue[Message | Reject]", until_s: float
) -> AsyncGenerator[Message | Reject, None]:
    """The commands that come in until a time of the loop's clock; one at least, if one waits."""
    while True:
        try:
            async with asyncio.timeout_at(until_s):
                message = await commands.get()
        except TimeoutError:
            return
        yield message
        if asyncio.get_running_loop().time() >= until_s:
            return


def about(arrived: Arrived, refused: Refused) -> str:
    """Why a file was refused, with the place in it: `PO-1.json:4:3 quantity: missing`."""
    line, column = place_in(arrived.raw.decode("utf-8", "replace"), refused.key)
    return f"{arrived.path.name}:{line}:{column} {refused}"
