"""The one parse point: an MQTT message becomes a model value, or a Reject with its reason.

Contracts fail closed. Nothing behind this module sees bytes, and nothing before it sees models.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from math import isinf
from typing import Any, Final, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from uns.fold import Document, Draft
from uns.model.commands import COMMANDS, Command, command_named, nearest_command
from uns.model.events import (
    BRIDGE_EVENTS,
    EVENTS,
    ChartCommanded,
    Event,
    HoldCommanded,
    HoldSaid,
    InspectionCommanded,
    KanbanCommanded,
    OperationGated,
    OrderCommanded,
    OrderMoved,
    Rejected,
    Released,
    Reply,
    StopCommanded,
    Tag,
    Traced,
)
from uns.model.observation import Quality, Scalar
from uns.model.path import RETAINED, Topic, TopicError, level_of, parent, parse_topic, to_dotted
from uns.model.plant import Plant

BYTES_MAX: Final[dict[str, int]] = {
    "_tag": 150,
    "_event": 96_000,
    "_state": 5_000,
    "_cmd": 64_000,
    "_meta": 256_000,
    "_hub": 256_000,
}
DEPTH_MAX: Final = 32
SEAL_DIGITS: Final = 16
STAMPS_BYTES_MAX: Final = 120
TOPICS_CACHED: Final = 20_000
REASON_LENGTH_MAX: Final = 300
PROCESSOR_SOURCE: Final = "processor"
_PROCESSORS: Final = frozenset({PROCESSOR_SOURCE})
Model = TypeVar("Model", bound=BaseModel)
_BRIDGE_TYPES: Final = frozenset(model.type_name for model in BRIDGE_EVENTS)
_OFFICES: Final[dict[str, tuple[type[Event], ...]]] = {
    "erp": (Released,),
    "erp-rest": (),
    "desk": (
        *(Released, OrderCommanded, OrderMoved, StopCommanded),
        *(KanbanCommanded, ChartCommanded, InspectionCommanded, OperationGated),
        *(HoldCommanded, HoldSaid),
    ),
    "epcis": (Traced,),
}
"""By protocol, what is said by nobody else. Offices are bridges without tags."""
_FOREIGN: Final = "mqtt"
"""The protocol whose bridges release orders of the lines that they read, too."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A message that breaks the contract: why, and the bytes as they came."""

    reject_class: str
    reason: str
    topic: str
    original: bytes = field(repr=False)


class Cleared(NamedTuple):
    """An empty retained payload: the topic was deleted."""

    topic: Topic


Value = Event | Tag | Command | Document | Cleared


class Message(NamedTuple):
    """A well-formed message of our tree."""

    topic: Topic
    value: Value


class _RefusedError(ValueError):
    def __init__(self, reject_class: str, reason: str) -> None:
        super().__init__(reason)
        self.reject_class = reject_class


class Codec:
    """Decodes against one plant: topics, writers and payloads."""

    def __init__(self, plant: Plant) -> None:
        self._topic = lru_cache(TOPICS_CACHED)(self._parse_topic)
        self._tags = {path: frozenset(place.cell.tags) for path, place in plant.cells.items()}
        self._readers = {line: plant.readers(line) for line in plant.lines}
        self._offices = frozenset(n for n, b in plant.bridges.items() if b.protocol in _OFFICES)
        self._foreign = frozenset(n for n, b in plant.bridges.items() if b.protocol == _FOREIGN)
        self._theirs = {
            event.type_name: frozenset(
                n for n, b in plant.bridges.items() if event in _OFFICES.get(b.protocol, ())
            )
            for event in {event for events in _OFFICES.values() for event in events}
        }
        self._places = frozenset(
            "/".join(parts[:n])
            for path in plant.cells
            for parts in [path.split("/")]
            for n in range(1, len(parts) + 1)
        )

    def decode(self, topic: str, payload: bytes, *, retain: bool = False) -> Message | Reject:
        """Parse one message. A Reject names its class, the field at fault and the fix."""
        try:
            parsed = self._topic(topic)
            return Message(parsed, self._value(parsed, payload, retain=retain))
        except _RefusedError as refused:
            reason = str(refused)[:REASON_LENGTH_MAX]
            return Reject(refused.reject_class, reason, topic, payload)

    def _parse_topic(self, text: str) -> Topic:
        try:
            topic = parse_topic(text)
        except TopicError as error:
            raise _RefusedError("bad-topic", str(error)) from None
        if topic.path not in self._places:
            raise _RefusedError("unknown-topic", f"no place {topic.path!r} in namespace.yaml")
        if topic.kind == "_tag" and topic.name not in self._tags.get(topic.path, ()):
            raise _RefusedError("unknown-topic", f"no tag {topic.name!r} at {topic.path}")
        return topic

    def _value(self, topic: Topic, payload: bytes, *, retain: bool) -> Value:
        if topic.kind == "_cmd" and retain:
            raise _RefusedError("retained-command", "commands are refused when retained")
        if not payload:
            if topic.kind in RETAINED:
                return Cleared(topic)
            raise _RefusedError("empty", f"an empty payload says nothing under {topic.kind}")
        if len(payload) > BYTES_MAX[topic.kind]:
            limit = BYTES_MAX[topic.kind]
            raise _RefusedError(
                "oversize", f"{len(payload)} bytes: at most {limit} under {topic.kind}"
            )
        document = parse_json(payload)
        match topic.kind:
            case "_tag":
                return _validated(Tag, document)
            case "_event":
                return self._event(topic, document)
            case "_cmd":
                return _command(topic, document)
            case _:
                return document

    def _event(self, topic: Topic, document: Document) -> Event:
        model = EVENTS.get(topic.name)
        if model is None:
            raise _RefusedError("unknown-event", f"no event type {topic.name!r}")
        event = _validated(model, document)
        if event.path != topic.path:
            raise _RefusedError("wrong-path", f"path {event.path!r} under topic {topic.path!r}")
        self._check_writer(event)
        return event

    def _check_writer(self, event: Event) -> None:
        writer, _, rest = event.source.partition(":")
        wanted = self._writers(event)
        if writer not in wanted:
            names = ", ".join(sorted(wanted))
            raise _RefusedError("wrong-writer", f"{event.type} from {writer!r}: only {names} may")
        place = to_dotted(parent(event.path, "line"))
        if rest.rpartition(":")[2] != place:
            raise _RefusedError(
                "wrong-writer", f"source {event.source!r} does not speak for {place}"
            )

    def _writers(self, event: Event) -> frozenset[str]:
        """Who may say such an event: processors, offices, or the bridges that read the line.

        A processor answers the commands that an office took.
        """
        if event.type not in _BRIDGE_TYPES:
            return _PROCESSORS
        if event.type == Released.type_name and level_of(event.path) == "line":
            return self._theirs[event.type] | self._foreign & self._readers[event.path]
        if event.type in self._theirs:
            return self._theirs[event.type]
        if level_of(event.path) not in ("line", "cell"):
            return self._offices
        readers = self._readers[parent(event.path, "line")]
        if event.type == Reply.type_name:
            return readers | self._offices | _PROCESSORS
        return readers | self._offices if event.type == Rejected.type_name else readers


def parse_json(payload: bytes) -> Document:
    """A JSON object, as `parse_value` takes it."""
    value = parse_value(payload)
    if not isinstance(value, dict):
        raise _RefusedError("bad-json", "the payload must be a JSON object")
    return value


def parse_value(payload: bytes) -> Any:
    """A JSON value: UTF-8, no NaN, no duplicate keys, bounded depth, text that can be stored.

    Raises ValueError.
    """
    try:
        value = _STRICT.decode(payload.decode())
    except UnicodeDecodeError as error:
        raise _RefusedError("bad-json", f"not UTF-8 at byte {error.start}") from None
    except _RefusedError:
        raise
    except ValueError as error:
        raise _RefusedError("bad-json", f"not JSON: {error}") from None
    except RecursionError:
        raise _RefusedError("bad-json", f"nested deeper than {DEPTH_MAX}") from None
    if payload.count(b"{") + payload.count(b"[") > DEPTH_MAX and _depth(value) > DEPTH_MAX:
        raise _RefusedError("bad-json", f"nested deeper than {DEPTH_MAX}")
    if b"\\u" in payload and not all(map(_is_storable, _texts(value))):
        raise _RefusedError("bad-json", "a text holds NUL or half a surrogate pair")
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> Document:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise _RefusedError("bad-json", "a key stands twice in one object")
    return document


def _no_constant(word: str) -> Any:
    raise _RefusedError("bad-json", f"{word} is not JSON")


def _finite(number: str) -> float:
    value = float(number)
    if isinf(value):
        raise _RefusedError("bad-json", f"{number} is beyond the range of a number")
    return value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in (*value, *value.values()) if isinstance(value, dict) else value:
            yield from _texts(inner)


def _is_storable(text: str) -> bool:
    return not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text)


_STRICT: Final = json.JSONDecoder(
    object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite
)


def _depth(value: Any) -> int:
    depth, level = 0, [value] if isinstance(value, dict | list) else []
    while level and depth <= DEPTH_MAX:
        depth += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return depth


def _command(topic: Topic, document: Document) -> Command:
    name = "/".join((topic.name, *topic.keys))
    model = command_named(name)
    if model is None:
        hint, known = nearest_command(name), ", ".join(COMMANDS)
        raise _RefusedError("unknown-command", f"no command {name!r}{hint}; known: {known}")
    return _validated(model, document)


def _validated(model: type[Model], document: Document) -> Model:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "payload"
        raise _RefusedError("bad-payload", f"{where}: {first['msg']}") from None


_compact: Final = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


def encode_document(document: Mapping[str, Any]) -> bytes:
    """A JSON object in the given key order, compact; half a surrogate is a `?`.

    ValueError on NaN.
    """
    return _compact(document).encode(errors="replace")


class Stamps(NamedTuple):
    """What a public `_state` document carries beside its content, at its end and in this order.

    drawn_ms: plant time of the last tick before it was drawn.
    """

    rev: int
    owner_epoch: int
    drawn_ms: int


def encode_state(document: Document, stamps: Stamps) -> bytes:
    """A public document as it is published; its last key seals all bytes before it."""
    content = encode_document({**document, **stamps._asdict()})
    seal = sha256(content).hexdigest()[:SEAL_DIGITS]
    return content[:-1] + f',"seal":"{seal}"}}'.encode()


def encode_event(draft: Draft, source: str, epoch: int, seq: int) -> bytes:
    """The bytes of an event, the same on every resend. Without an id of its own it gets one."""
    return encode_document(
        {
            "id": draft.id or f"{source}:{epoch}:{seq}",
            "type": draft.type,
            "at_ms": draft.at_ms,
            "path": draft.path,
            "source": source,
            "epoch": epoch,
            "seq": seq,
            **draft.body,
        }
    )


def tag_document(
    value: Scalar, at_ms: int, quality: Quality, unit: str | None, reason: str | None = None
) -> Document:
    """A tag payload of at most 150 bytes: a long text or reason is cut, never the message lost."""
    document: Document = {"value": value, "timestamp_ms": at_ms, "quality": quality}
    if unit is not None:
        document["unit"] = unit
    if reason is not None:
        document["reason"] = reason
    if reason is None and not isinstance(value, str):
        return document
    for key in ("reason", "value"):
        while len(encode_document(document)) > BYTES_MAX["_tag"]:
            if not isinstance(document.get(key), str) or not document[key]:
                break
            document[key] = document[key][:-8]
    return document


def encode_tag(
    value: Scalar, at_ms: int, quality: Quality, unit: str | None, reason: str | None = None
) -> bytes:
    """The bytes of `tag_document`."""
    return encode_document(tag_document(value, at_ms, quality, unit, reason))
