"""The desk bridge: commands from terminals in, facts and answers out.

Owns what becomes of each message, and the answers for requests that come again. What a command
must say is in mapping.py. Judges nothing: whoever folds the fact answers it.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Final

from bridges.desk.config import DeskSettings
from bridges.desk.holding import held
from bridges.desk.mapping import (
    DAY_MS,
    USED,
    Refused,
    asked,
    gated,
    is_other,
    released,
    reply,
    request_key,
)
from uns.codec import Message, Reject, parse_json
from uns.model.commands import Command, ReleaseOrder
from uns.model.events import Reply
from uns.model.observation import Link, Observation
from uns.model.path import TopicError, level_of, parse_topic

ENDPOINT: Final = "commands"

log = logging.getLogger(__name__)

KnownFact = Callable[[str], Mapping[str, str]]


async def observe(
    settings: DeskSettings,
    clock: Callable[[], int],
    messages: "asyncio.Queue[Message | Reject]",
    known_fact: KnownFact,
    lines: Sequence[str] = (),
) -> AsyncGenerator[list[Observation], None]:
    """Batches of observations, for ever: one a message.

    clock: plant time in ms. known_fact: recorded bodies by business key, for keys with a prefix.
    lines: all lines of the plant, which hear of each other's holds.
    """
    yield [Link(ENDPOINT, (), up=True, at_ms=clock())]
    desk = Desk(settings, clock, known_fact, lines)
    while True:
        if told := desk.take(await messages.get()):
            yield told


class Desk:
    """Takes messages as they come."""

    def __init__(
        self,
        settings: DeskSettings,
        clock: Callable[[], int],
        known_fact: KnownFact,
        lines: Sequence[str],
    ) -> None:
        self._days = settings.request_days
        self._answers_max = settings.answers_max
        self._clock = clock
        self._known_fact = known_fact
        self._lines = lines
        self._answers: dict[str, Reply] = {}

    def take(self, message: Message | Reject) -> list[Observation]:
        """What a message says: a fact, an answer, a release at another line, or nothing."""
        if isinstance(message, Reject):
            return self._rejected(message)
        match message.value:
            case Command() as command:
                return self._commanded(message, command)
            case Reply() as answer:
                self._remember(answer)
            case dict() as document if message.topic.name == "transfer":
                return list(released(message.topic.path, document, self._clock()))
            case dict() as document if message.topic.name == "hold":
                known_ms = self._days * DAY_MS
                return list(
                    held(message.topic.path, document, self._lines, self._clock(), known_ms)
                )
            case dict() as document if message.topic.name == "inspections":
                return list(gated(message.topic.path, document, self._clock(), self._days))
        return []

    def _commanded(self, message: Message, command: Command) -> list[Observation]:
        """One request is one fact; who asks it again gets the answer again, when there is one."""
        path, request_id = message.topic.path, command.request_id
        if isinstance(command, ReleaseOrder) and level_of(path) == "site":
            return []
        fact = asked(message.topic, command, self._clock(), self._days)
        key = request_key(path, request_id)
        if (recorded := self._known_fact(key).get(key)) is not None:
            return self._again(path, request_id, key, is_other=is_other(fact, recorded))
        if isinstance(fact, Refused):
            return self._answer(path, request_id, "refused", fact.reason)
        return [fact]

    def _again(self, path: str, request_id: str, key: str, *, is_other: bool) -> list[Observation]:
        """A request id that is on record: its answer, unless it asks for something else now."""
        if is_other:
            return self._answer(path, request_id, "refused", USED)
        known = self._answers.get(key)
        return self._answer(path, request_id, known.outcome, known.reason) if known else []

    def _rejected(self, rejected: Reject) -> list[Observation]:
        """A refusal in words, where its sender can be named; the historian keeps the original."""
        try:
            topic = parse_topic(rejected.topic)
            request_id = str(parse_json(rejected.original)["request_id"])
        except (ValueError, KeyError):
            return []
        if topic.kind != "_cmd" or (topic.name, level_of(topic.path)) == ("order", "site"):
            return []
        return self._answer(topic.path, request_id, "refused", rejected.reason)

    def _answer(self, path: str, request_id: str, outcome: str, reason: str) -> list[Observation]:
        try:
            return [reply(path, request_id, outcome, reason, self._clock())]
        except TopicError as error:
            log.warning("a request at %s cannot be answered: %s", path, error)
            return []

    def _remember(self, answer: Reply) -> None:
        if answer.reason == USED:
            return
        key = request_key(answer.path, answer.request_id)
        self._answers[key] = answer
        while len(self._answers) > self._answers_max:
            del self._answers[next(iter(self._answers))]
