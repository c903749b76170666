"""The gate in front of a bridge's devices: a command is checked, handed on once, and answered.

Owns what becomes of each request from its arrival to its answer, what was answered before, and
the queue to the bridge's client. Does not do I/O: a `Decision` is first made durable by the
caller, then committed here, and only then does a set-point reach the client. The rules
themselves are in uns.model.writing.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from uns.codec import Codec, Reject, parse_json
from uns.fold import Draft
from uns.model.commands import WriteTag
from uns.model.events import Reply, Value, WriteAttempted
from uns.model.observation import Reading, SetPoint, Written
from uns.model.path import key_of, parse_topic
from uns.model.plant import Place
from uns.model.writing import Situation, check, kind_of, shown
from uns.mqtt.message import Message

SET_POINTS_MAX: Final = 32
ANSWERS_MAX: Final = 200
UNKNOWN: Final = "whether the device took it is not known"
Outcome = Literal["accepted", "refused"]
Readings = Mapping[tuple[str, str], Reading]


class Request(BaseModel):
    """A request to write as the gate remembers it; without an outcome it is under way."""

    model_config = ConfigDict(frozen=True)

    request_id: str
    cell: str
    tag: str
    value: Value
    actor: str | None
    old_value: Value = None
    outcome: Outcome | None = None
    reason: str = ""

    @property
    def key(self) -> str:
        """What makes a request the same one again."""
        return f"{self.cell} {self.request_id}"


class Ledger(BaseModel):
    """What outlives a restart: the last requests, oldest first, and when a tag was written last."""

    model_config = ConfigDict(frozen=True)

    requests: dict[str, Request] = {}
    written_ms: dict[str, int] = {}

    def keeping(self, request: Request) -> "Ledger":
        """With a request; beyond the bound the oldest answered ones are forgotten."""
        requests = {**self.requests, request.key: request}
        answered = [key for key, one in requests.items() if one.outcome]
        for key in answered[: max(0, len(requests) - ANSWERS_MAX)]:
            del requests[key]
        return self.model_copy(update={"requests": requests})


class Decision(NamedTuple):
    """What to make durable in one transaction, and what to hand to the client after that."""

    drafts: list[Draft]
    ledger: Ledger
    set_point: SetPoint | None = None


class Gate:
    """The gate of one bridge; `set_points` is the client's end of the queue.

    saved: the ledger's JSON of the last run. clock: plant time in ms. now_s: monotonic seconds.
    closed: why nothing may be written at all, as whoever asks is told.
    """

    def __init__(  # noqa: PLR0913 - what a gate stands on
        self,
        places: Mapping[str, Place],
        codec: Codec,
        clock: Callable[[], int],
        saved: str | None = None,
        now_s: Callable[[], float] = time.monotonic,
        *,
        closed: str | None = None,
    ) -> None:
        self.set_points: asyncio.Queue[SetPoint] = asyncio.Queue(SET_POINTS_MAX)
        self.busy = asyncio.Event()
        self._places = places
        self._codec = codec
        self._clock = clock
        self._now_s = now_s
        self._closed = closed
        self._ledger = Ledger.model_validate_json(saved or "{}")
        self._due_s: dict[str, float] = {}

    @property
    def filters(self) -> list[str]:
        """Where the commands of this bridge's cells arrive."""
        lines = dict.fromkeys(place.line_path for place in self._places.values())
        return [f"{line}/+/_cmd/write/+" for line in lines]

    def take(self, message: Message, readings: Readings) -> Decision:
        """Judge a command. `readings` are the newest of all tags, by cell and tag."""
        decoded = self._codec.decode(message.topic, message.payload, retain=message.retain)
        if isinstance(decoded, Reject):
            return Decision(self._of_reject(decoded), self._ledger)
        (path, _, _, (tag, *_)), command = decoded.topic, decoded.value
        if not isinstance(command, WriteTag):
            return Decision([], self._ledger)
        reading = readings.get((path, tag))
        request = Request(
            request_id=command.request_id, cell=path, tag=tag, value=command.value,
            actor=command.actor, old_value=reading.value if reading else None,
        )  # fmt: skip
        if before := self._ledger.requests.get(request.key):
            return Decision(self._again(before, request), self._ledger)
        verdict = self._judge(request, command, readings)
        if isinstance(verdict, str):
            return self._answered(request, "refused", verdict)
        written_ms = {**self._ledger.written_ms, _topic(request): self._clock()}
        ledger = self._ledger.model_copy(update={"written_ms": written_ms})
        return Decision([], ledger.keeping(request), verdict)

    def commit(self, decision: Decision) -> None:
        """A decision is durable: believe it, and let its set-point go."""
        self._ledger = decision.ledger
        if set_point := decision.set_point:
            bounds = self._places[set_point.cell].cell.tags[set_point.tag].writable
            timeout_ms = bounds.write_timeout_ms if bounds else 0
            self._due_s[_key(set_point)] = self._now_s() + timeout_ms / 1000
            self.set_points.put_nowait(set_point)
        self._due_s = {key: due for key, due in self._due_s.items() if self._is_under_way(key)}
        if self._due_s:
            self.busy.set()
        else:
            self.busy.clear()

    def written(self, written: Written) -> Decision:
        """What the device made of a set-point; after the time-out, only the record hears of it."""
        request = self._ledger.requests.get(f"{written.cell} {written.request_id}")
        if request is None:
            return Decision([], self._ledger)
        if written.reason is not None:
            return self._answered(request, "refused", written.reason, written)
        was, is_now = shown(request.old_value), shown(written.value)
        return self._answered(request, "accepted", f"{request.tag} is {is_now}, was {was}", written)

    def overdue(self) -> Decision | None:
        """Give up one request whose time is over, if there is one."""
        now_s = self._now_s()
        key = next((key for key, due_s in self._due_s.items() if due_s <= now_s), None)
        if key is None:
            return None
        request = self._ledger.requests[key]
        if self._withdraw(key):
            return self._answered(
                request, "refused", "not written: the device was not free in time"
            )
        reason = f"no answer in time: {UNKNOWN}, look at {request.tag}"
        return self._answered(request, "refused", reason)

    def interrupted(self) -> Decision | None:
        """Answer one request that the last run left under way, if there is one."""
        left = (r for r in self._ledger.requests.values() if not r.outcome)
        request = next((r for r in left if r.key not in self._due_s), None)
        if request is None:
            return None
        reason = f"the bridge was restarted: {UNKNOWN}, look at {request.tag}"
        return self._answered(request, "refused", reason)

    def _judge(self, request: Request, command: WriteTag, readings: Readings) -> SetPoint | str:
        if self._closed:
            return self._closed
        if self.set_points.full():
            return f"{SET_POINTS_MAX} writes wait for the devices already: try again later"
        path, cell = request.cell, self._places[request.cell].cell
        under_way = any(
            _topic(one) == _topic(request) and not one.outcome
            for one in self._ledger.requests.values()
        )
        known = Situation(
            readings={tag: reading for (at, tag), reading in readings.items() if at == path},
            last_ms=self._ledger.written_ms.get(_topic(request)),
            under_way=under_way,
            now_ms=self._clock(),
        )
        return check(path, cell, request.tag, command, known)

    def _again(self, before: Request, request: Request) -> list[Draft]:
        """The first answer once more; while there is none, it is still to come."""
        asked, asks = (before.tag, before.value), (request.tag, request.value)
        if asked != asks or kind_of(before.value) != kind_of(request.value):
            first = f"{before.tag} = {shown(before.value)}"
            reason = f"request_id {request.request_id} was used for {first}: take a new one"
            return [self._reply(request.cell, request.request_id, "refused", reason)]
        if before.outcome is None:
            return []
        return [self._reply(before.cell, before.request_id, before.outcome, before.reason)]

    def _of_reject(self, rejected: Reject) -> list[Draft]:
        """A refusal in words, where its sender can be named; the historian keeps the original."""
        try:
            request_id = str(parse_json(rejected.original)["request_id"])
            path = parse_topic(rejected.topic).path
            if path not in self._places:
                return []
            return [self._reply(path, request_id, "refused", rejected.reason)]
        except (ValueError, KeyError):
            return []

    def _answered(
        self, request: Request, outcome: Outcome, reason: str, written: Written | None = None
    ) -> Decision:
        audit = Draft(
            request.cell,
            WriteAttempted.type_name,
            self._clock(),
            {
                **request.model_dump(exclude={"cell"}),
                "new_value": written.value if written else None,
                "outcome": outcome,
                "reason": reason,
            },
        )
        if request.outcome:
            return Decision([audit], self._ledger)
        reply = self._reply(request.cell, request.request_id, outcome, reason)
        answered = request.model_copy(update={"outcome": outcome, "reason": reason})
        return Decision([reply, audit], self._ledger.keeping(answered))

    def _reply(self, path: str, request_id: str, outcome: Outcome, reason: str) -> Draft:
        body = {"request_id": request_id, "outcome": outcome, "reason": reason}
        return Draft(path, Reply.type_name, self._clock(), body, key=key_of(request_id))

    def _is_under_way(self, key: str) -> bool:
        request = self._ledger.requests.get(key)
        return request is not None and request.outcome is None

    def _withdraw(self, key: str) -> bool:
        """Take a set-point back that the client has not taken yet; whether it was there."""
        waiting = [self.set_points.get_nowait() for _ in range(self.set_points.qsize())]
        kept = [set_point for set_point in waiting if _key(set_point) != key]
        for set_point in kept:
            self.set_points.put_nowait(set_point)
        return len(kept) < len(waiting)


def _topic(request: Request) -> str:
    return f"{request.cell}/_tag/{request.tag}"


def _key(set_point: SetPoint) -> str:
    return f"{set_point.cell} {set_point.request_id}"
