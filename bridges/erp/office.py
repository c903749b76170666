"""Judges orders: of files record by record, of commands one by one.

Owns what becomes of an order beside what was recorded, and what is told of it. Knows neither the
folder nor the queue.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bridges.erp.folder import INBOX, Arrived
from bridges.erp.formats import Content, Record, place_in, read
from bridges.erp.mapping import MappingRules, document_of
from bridges.erp.xsd import Schema
from uns.codec import Message, Reject, parse_json
from uns.model.commands import ReleaseOrder
from uns.model.observation import BadInput, Observation
from uns.model.path import TopicError, parse_topic
from uns.model.plant import Plant
from uns.model.releasing import (
    Document,
    Known,
    New,
    Outcome,
    Refused,
    Repeated,
    release,
    reply,
)

REJECT_CLASS: Final = "bad-order"
JSON_SUFFIX: Final = ".json"
XML_SUFFIX: Final = ".xml"

KnownFact = Callable[[str], Mapping[str, str]]


@dataclass(slots=True)
class Receipt:
    """What became of the orders of a file so far; `refused` has the reason by record number."""

    arrived: Arrived
    content: Content
    released: int = 0
    repeated: list[str] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)

    def note(self) -> str:
        """What to say beside a file that is done; nothing where every order was new."""
        orders = len(self.content.records)
        if orders == 1 and self.repeated:
            return self.repeated[0]
        if not self.repeated and not self.refused:
            return ""
        known, refused = len(self.repeated), len(self.refused)
        return (
            f"{orders} orders: {self.released} released, {known} known already, {refused} refused"
        )

    def reasons(self) -> str:
        """What to say beside a file that was refused."""
        lines = list(self.refused.values())
        return "\n".join(lines if len(self.content.records) == 1 else [self.note(), *lines])


class Office:
    """Judges orders against the plant and against what was recorded."""

    def __init__(self, plant: Plant, clock: Callable[[], int], known_fact: KnownFact) -> None:
        self._plant = plant
        self._clock = clock
        self._known_fact = known_fact
        self._told: dict[str, dict[str, Document]] = {}

    def read(
        self, arrived: Arrived, rules: MappingRules, schema: Schema | None = None
    ) -> Content | Refused:
        """The orders of a file; XML of the schema's namespace must fit it."""
        if arrived.trouble:
            return Refused("", arrived.trouble)
        if arrived.too_big:
            size = len(arrived.raw)
            return Refused("", f"larger than {size} bytes: split it, or raise file_bytes_max")
        if schema and arrived.suffix == XML_SUFFIX and (misfit := schema.misfit(arrived.raw)):
            return misfit
        return read(arrived.suffix, arrived.raw, rules)

    def of_file(self, arrived: Arrived, refused: Refused) -> BadInput:
        """What a file that cannot be read says."""
        return self._bad(arrived, about(arrived, None, refused), arrived.raw)

    def of_records(
        self, receipt: Receipt, records: Sequence[Record], rules: MappingRules
    ) -> list[Observation]:
        """What some orders of a file say, entered in its receipt. What came before is recorded."""
        self._told.clear()
        told: list[Observation] = []
        for record in records:
            match self.judge(receipt.content, record, rules):
                case New(fact):
                    receipt.released += 1
                    told.append(fact)
                case Repeated(reason):
                    receipt.repeated.append(reason)
                case Refused() as refused:
                    reason = about(receipt.arrived, record, refused)
                    receipt.refused[record.number] = reason
                    told.append(self._bad(receipt.arrived, reason, record.original))
        return told

    def judge(self, content: Content, record: Record, rules: MappingRules) -> Outcome:
        """What becomes of one order of a file."""
        document = mapped(content, record, rules)
        return document if isinstance(document, Refused) else self._release(document)

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
        self._told.clear()
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
        outcome = release(document, self._plant, self._recorded, self._clock())
        if isinstance(outcome, New):
            body, key = outcome.fact.body, outcome.fact.business_key or ""
            self._told.setdefault(body["order_id"], {})[key] = body
        return outcome

    def _recorded(self, order_id: str) -> Known:
        """The releases of an order: those on record, and those told with the batch at hand."""
        found = {key: json.loads(body) for key, body in self._known_fact(f"{order_id}@").items()}
        known = {key: body for key, body in found.items() if body["order_id"] == order_id}
        return {**known, **self._told.get(order_id, {})}

    def _below(self, path: str, outcome: Outcome) -> Outcome:
        """A command is for the site it was given at."""
        if isinstance(outcome, New) and not outcome.fact.path.startswith(f"{path}/"):
            where = outcome.fact.path
            return Refused("item", f"made at {where}, not below {path}: give the command there")
        return outcome

    def _bad(self, arrived: Arrived, reason: str, original: bytes) -> BadInput:
        origin = f"{INBOX}/{arrived.name}"
        return BadInput(origin, REJECT_CLASS, reason, original, self._clock())


def mapped(content: Content, record: Record, rules: MappingRules) -> Document | Refused:
    """The document of an order, as it is judged."""
    if isinstance(record.content, Refused):
        return record.content
    return document_of(record.content, rules.of(content.kind), content.kind)


def about(arrived: Arrived, record: Record | None, refused: Refused) -> str:
    """Why an order was refused, with the place in its file: `PO-1.json:4:3 quantity: missing`."""
    place = record.place if record else ""
    if not place and arrived.suffix == JSON_SUFFIX and not arrived.trouble:
        line, column = place_in(arrived.raw.decode("utf-8", "replace"), refused.key)
        place = f":{line}:{column}"
    return f"{arrived.name}{place or ':'} {refused}"
