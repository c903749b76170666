"""The processor runtime on a real broker: order of effects, crashes, amnesia, zombies."""

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import topic_matches_sub

from tests.brokers import RunningBroker, bounded, unique, until
from tests.records import GivenRecord
from uns.codec import Codec, encode_document, encode_event
from uns.codec import Message as Decoded
from uns.fold import Document, Draft, Mark, Step, Tick
from uns.model.events import Counted, Edge, Event
from uns.model.plant import Plant, digest
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Message
from uns.runtime import intake, runner
from uns.runtime.clock import PlantClock, wall_ms
from uns.runtime.errors import Fenced, OutboxFull
from uns.runtime.outbox import Outbox
from uns.runtime.ownership import Claimant
from uns.runtime.resume import Rebuilt, Run, sealed
from uns.runtime.runner import Runner, RunnerWiring, rest_after, watermarks_of

NAME = "tally"


@dataclass(frozen=True, slots=True)
class Total:
    """Good pieces of a line."""

    line: str
    good: int = 0


class Tally:
    """The smallest processor with an output and a document."""

    name, version, inputs, state_type = NAME, 1, frozenset({"counted"}), Total
    states = frozenset({NAME})

    def initial(self, key: str) -> Total:
        return Total(key)

    def fold(self, state: Total, event: Event | Tick) -> Step[Total]:
        if not isinstance(event, Counted):
            return Step(state)
        total = Total(state.line, state.good + event.good)
        body = {"input_id": f"in{event.seq}", "output_id": "out", "quantity": 1.0, "unit": "pcs"}
        return Step(total, (Draft(event.path, Edge.type_name, event.at_ms, body),))

    def documents(self, state: Total) -> Mapping[str, Document]:
        return {f"{state.line}/_state/tally": {"summary": f"{state.good} good", "good": state.good}}


class Rig:
    """A source, a runner that can be killed, and an onlooker."""

    def __init__(self, broker: RunningBroker, folder: Path) -> None:
        self.broker = broker
        self.plant: Plant = broker.plant
        self.line, places = next(iter(self.plant.lines.items()))
        self.cell, self.bridge = places[0].path, places[0].line.bridge
        self.source = f"{self.bridge}:{self.line.replace('/', '.')}"
        self.folder = folder
        self.seen: list[Message] = []
        self.record = GivenRecord()
        self.task: asyncio.Task[None] | None = None
        self.client = MqttClient(broker.address(), unique("onlooker"), clean_session=True)

    def event(self, seq: int, epoch: int = 7) -> tuple[str, bytes]:
        body = {"good": 1, "scrap": 0, "rework": 0, "order_id": None, "item": None}
        draft = Draft(self.cell, "counted", 1_000 + seq, body)
        return draft.topic, encode_event(draft, self.source, epoch, seq)

    async def say(self, *seqs: int) -> None:
        for seq in seqs:
            await self.client.publish(*self.event(seq))

    async def start(self, epoch_owner: str = NAME) -> None:
        self.task = asyncio.create_task(self._run(epoch_owner))

    async def kill(self) -> None:
        """The runner's task is cancelled, wherever it stands."""
        assert self.task
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def _run(self, client_name: str) -> None:
        wiring: RunnerWiring[Total] = RunnerWiring(
            processor=Tally(),
            line=self.line,
            enterprise=self.plant.enterprise,
            plant=digest(self.plant),
            codec=Codec(self.plant),
            client=MqttClient(self.broker.address(), f"processor.{client_name}"),
            visit=lambda: MqttClient(
                self.broker.address(), unique("visitor"), clean_session=True, once=True
            ),
            claimant=Claimant(client_name, secrets.token_hex(8)),
            outbox=Outbox(self.folder / f"{client_name}.sqlite"),
            clock=PlantClock(wall_ms(), wall_ms()),
            record=self.record,
        )
        await Runner(wiring).run()

    async def look(self) -> None:
        async for batch in self.client.batches():
            self.seen += batch
            self.client.ack(batch)

    def newest(self, topic: str) -> dict[str, Any]:
        for message in reversed(self.seen):
            if message.topic == topic:
                return dict(json.loads(message.payload)) if message.payload else {}
        return {}

    @property
    def good(self) -> int:
        return int(self.newest(f"{self.line}/_state/tally").get("good", -1))

    @property
    def resume(self) -> dict[str, Any]:
        return self.newest(f"{self.line}/_hub/processor/{NAME}")

    @property
    def edges(self) -> list[str]:
        return [json.loads(m.payload)["id"] for m in self.seen if "/_event/edge" in m.topic]


def resealed(document: dict[str, Any]) -> bytes:
    return sealed(encode_document({k: v for k, v in document.items() if k != "sha256"}))


@pytest.fixture
async def rig(mosquitto: RunningBroker, tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(mosquitto, tmp_path)
    async with rig.client:
        await rig.client.subscribe([f"{rig.plant.enterprise}/#"])
        looking = asyncio.create_task(rig.look())
        yield rig
        if rig.task and not rig.task.done():
            await rig.kill()
        looking.cancel()


@bounded
async def test_events_become_documents_and_outputs(rig: Rig) -> None:
    await rig.start()
    await until(lambda: rig.good == 0)
    await rig.say(1, 2, 3)
    await until(lambda: rig.good == 3)
    assert rig.edges == [f"{rig.source}:7:{n}>{NAME}.0" for n in (1, 2, 3)]
    assert rig.resume["marks"] == {rig.source: [7, 3]}


@bounded
async def test_duplicates_and_disorder_count_once(rig: Rig) -> None:
    await rig.start()
    await until(lambda: rig.good == 0)
    await rig.say(1, 3, 3, 1, 2, 2, 4)
    await until(lambda: rig.good == 4)
    assert len(set(rig.edges)) == len(rig.edges) == 4


@bounded
async def test_a_killed_runner_goes_on_from_its_document(rig: Rig) -> None:
    await rig.start()
    await until(lambda: rig.good == 0)
    await rig.say(1, 2)
    await until(lambda: rig.good == 2)
    await rig.kill()
    await rig.say(3, 4)
    await rig.start()
    await until(lambda: rig.good == 4)
    assert rig.resume["owner_epoch"] == 2
    assert set(rig.edges) == {f"{rig.source}:7:{n}>{NAME}.0" for n in (1, 2, 3, 4)}


@bounded
async def test_a_runner_that_ends_takes_what_was_said_before(rig: Rig) -> None:
    await rig.start()
    await until(lambda: rig.good == 0)
    await rig.say(*range(1, 200))
    await rig.kill()
    await until(lambda: rig.good == 199)
    assert rig.resume["marks"] == {rig.source: [7, 199]}


@bounded
async def test_a_broker_that_forgot_is_told_again(rig: Rig) -> None:
    await rig.start()
    await until(lambda: rig.good == 0)
    await rig.say(1, 2)
    await until(lambda: rig.good == 2)
    rig.broker.kill()
    rig.broker.forget()
    rig.seen.clear()
    rig.broker.restart()
    await until(lambda: rig.good == 2 and rig.resume != {})
    assert rig.resume["marks"] == {rig.source: [7, 2]}
    await until(lambda: len(set(rig.edges)) == 2)
    await rig.say(3)
    await until(lambda: rig.good == 3)


@bounded
async def test_the_record_wins_when_the_broker_kept_an_old_document(rig: Rig) -> None:
    await rig.start()
    await until(lambda: rig.good == 0)
    await rig.say(1, 2)
    await until(lambda: rig.good == 2)
    await rig.kill()
    rig.record.stored = resealed(
        {
            **rig.resume,
            "rev": 99,
            "marks": {rig.source: [7, 5]},
            "state": {"line": rig.line, "good": 5},
        }
    )
    await rig.start()
    await until(lambda: rig.good == 5)
    await rig.say(6)
    await until(lambda: rig.good == 6)


@bounded
async def test_a_zombie_is_fenced_by_a_newer_owner(rig: Rig) -> None:
    await rig.start()
    await until(lambda: rig.good == 0)
    newer = {**rig.resume, "owner_epoch": rig.resume["owner_epoch"] + 1}
    topic = f"{rig.line}/_hub/processor/{NAME}"
    await rig.client.publish(topic, encode_document(newer), retain=True)
    assert rig.task
    with pytest.raises(BaseExceptionGroup) as raised:
        await asyncio.wait_for(rig.task, 5)
    assert raised.value.subgroup(Fenced)


@bounded
async def test_poison_is_passed_and_its_neighbours_flow_on(rig: Rig) -> None:
    await rig.start()
    await until(lambda: rig.good == 0)
    topic, good = rig.event(1)
    for poison in (b"", b"{", b"[]", b'{"good": NaN}', good.replace(b'"good":1', b'"good":-1')):
        await rig.client.publish(topic, poison)
    await rig.client.publish(topic, good)
    await until(lambda: rig.good == 1)


def test_a_runner_hears_the_marks_of_its_line() -> None:
    line = "acme/berlin/machining/housing"
    heard = [
        topic
        for topic in (
            f"acme/_hub/watermark/plc/{line}",
            f"acme/_hub/watermark/processor/oee/{line}",
            f"acme/_hub/watermark/processor/quality/{line}",
            "acme/_hub/watermark/plc/acme/berlin/machining/other",
            "acme/_hub/watermark/processor/oee/acme/berlin/machining/other",
        )
        if any(topic_matches_sub(one, topic) for one in watermarks_of("acme", line, "oee"))
    ]
    assert heard == [
        f"acme/_hub/watermark/plc/{line}",
        f"acme/_hub/watermark/processor/oee/{line}",
    ]


@pytest.mark.parametrize(
    ("commit_s", "rest_s"), [(0.0, 0.0), (0.004, 0.0), (0.015, 0.04), (2.0, 0.25)]
)
def test_a_slow_commit_is_followed_by_a_rest(commit_s: float, rest_s: float) -> None:
    assert rest_after(commit_s) == pytest.approx(rest_s)


def on_record(rig: Rig, *seqs: int) -> list[Event]:
    codec = Codec(rig.plant)
    decoded = [codec.decode(*rig.event(seq)) for seq in seqs]
    return [
        one.value for one in decoded if isinstance(one, Decoded) and isinstance(one.value, Event)
    ]


async def record_says(rig: Rig, seq: int) -> None:
    topic = (
        f"{rig.plant.enterprise}/_hub/watermark/{rig.source.replace(':', '/').replace('.', '/')}"
    )
    document = {"source": rig.source, "epoch": 7, "seq": seq, "settled": 0}
    await rig.client.publish(topic, encode_document(document), retain=True)


@bounded
async def test_what_nobody_sends_any_more_is_taken_from_the_record(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "LOOK_UP_AFTER_S", 0.2)
    rig.record.on_record = on_record(rig, 1, 2, 3)
    await rig.start()
    await until(lambda: rig.good == 0)
    await rig.say(1, 4)
    await until(lambda: rig.good == 4)
    rig.record.on_record = on_record(rig, 5, 6)
    await record_says(rig, 6)
    await until(lambda: rig.good == 6)
    assert rig.resume["marks"] == {rig.source: [7, 6]}
    assert not [m for m in rig.seen if "/_event/gap" in m.topic]


@bounded
async def test_what_an_epoch_that_is_over_left_out_is_a_gap(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "LOOK_UP_AFTER_S", 0.2)
    await rig.start()
    await until(lambda: rig.good == 0)
    await rig.say(1, 4)
    rig.record.recorded = Mark(8, 1)
    await rig.client.publish(*rig.event(1, epoch=8))
    await until(lambda: rig.good == 3)
    (gap,) = [json.loads(m.payload) for m in rig.seen if "/_event/gap" in m.topic]
    assert (gap["of_source"], gap["from_seq"], gap["to_seq"]) == (rig.source, 2, 3)
    assert rig.resume["marks"] == {rig.source: [8, 1]}


@bounded
async def test_the_document_is_said_again_to_a_source_that_repeats_itself(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "SAY_AGAIN_S", 0.1)
    await rig.start()
    await until(lambda: rig.good == 0)
    await rig.say(1)
    await until(lambda: rig.good == 1 and rig.resume["marks"] != {})
    before = rig.resume["rev"]
    await rig.say(1)
    await until(lambda: rig.resume["rev"] > before)


@bounded
async def test_an_outbox_without_room_holds_the_inputs_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "ROOM_RETRY_S", 0.05)
    await rig.start()
    await until(lambda: rig.good == 0)
    with monkeypatch.context() as full:
        full.setattr(Outbox, "append", _no_room)
        await rig.say(1, 2)
        await asyncio.sleep(0.3)
        assert rig.good == 0
    await until(lambda: rig.good == 2)
    assert len(set(rig.edges)) == 2


def _no_room(*_args: object) -> None:
    raise OutboxFull("no room")


@bounded
async def test_a_flipped_byte_is_refused_and_the_record_is_asked(rig: Rig) -> None:
    await rig.start()
    await until(lambda: rig.good == 0)
    await rig.say(1, 2)
    await until(lambda: rig.good == 2 and rig.resume.get("marks") == {rig.source: [7, 2]})
    await rig.kill()
    topic = f"{rig.line}/_hub/processor/{NAME}"
    kept = next(m.payload for m in reversed(rig.seen) if m.topic == topic)
    await rig.client.publish(topic, kept.replace(b'"good":2', b'"good":3'), retain=True)
    rig.record.stored = kept
    await rig.start()
    await until(lambda: rig.resume["owner_epoch"] == 2)
    assert rig.good == 2


@bounded
async def test_a_state_that_nobody_can_read_is_folded_anew_from_history(rig: Rig) -> None:
    rig.record.stored = resealed({"version": 0, "owner_epoch": 8, "rev": 500})
    marks = {rig.source: Mark(7, 5)}
    rig.record.folded_anew = Rebuilt(Total(rig.line, 5), marks, 0, None, [Run(rig.source, 7, 5)])
    await rig.start()
    await until(lambda: rig.good == 5)
    assert (rig.resume["owner_epoch"], rig.resume["base_rev"]) == (9, 501)
    await rig.say(5, 6)
    await until(lambda: rig.good == 6)


@bounded
async def test_documents_tell_their_owner_and_the_time_they_were_drawn(rig: Rig) -> None:
    await rig.start()
    await until(lambda: rig.good == 0)
    await rig.say(1)
    await until(lambda: rig.good == 1)
    shown = rig.newest(f"{rig.line}/_state/tally")
    assert list(shown)[-4:] == ["rev", "owner_epoch", "drawn_ms", "seal"]
    assert shown["owner_epoch"] == rig.resume["owner_epoch"]
    assert shown["drawn_ms"] > 0


@bounded
async def test_outputs_of_a_new_owner_stand_under_an_epoch_of_their_own(rig: Rig) -> None:
    await rig.start()
    await until(lambda: rig.good == 0)
    await rig.say(1)
    await until(lambda: rig.good == 1)
    await rig.kill()
    await rig.start()
    await rig.say(2)
    await until(lambda: rig.good == 2)
    edges = [json.loads(m.payload) for m in rig.seen if "/_event/edge" in m.topic]
    stamped = {(e["id"], e["epoch"], e["seq"]) for e in edges}
    (first, again), (second,) = (
        sorted(s for s in stamped if s[0].endswith(f":{n}>{NAME}.0")) for n in (1, 2)
    )
    assert first[1] < again[1] == second[1]
    assert (again[2], second[2]) == (1, 2)


@bounded
async def test_a_topic_that_nobody_shows_any_more_is_cleared_at_the_start(rig: Rig) -> None:
    ghost = f"{rig.line}/_state/tally/ended"
    foreign = f"{rig.line}/_state/other"
    for topic in (ghost, foreign):
        await rig.client.publish(topic, b'{"summary": "old"}', retain=True)
    await rig.start()
    await until(lambda: rig.good == 0)
    await until(lambda: any(m.topic == ghost and not m.payload for m in rig.seen))
    assert rig.newest(foreign) == {"summary": "old"}


def released(rig: Rig, seq: int) -> tuple[str, bytes]:
    body = {"order_id": f"o{seq}", "item": "housing", "quantity": 1}
    draft = Draft(rig.line, "released", 1_000 + seq, body)
    return draft.topic, encode_event(draft, erp_of(rig), 3, seq)


def erp_of(rig: Rig) -> str:
    return rig.source.replace(f"{rig.bridge}:", "erp:")


@bounded
@pytest.mark.parametrize("told", [False, True], ids=["remembered", "told as a fact"])
async def test_after_a_crash_sources_take_the_turns_of_before(rig: Rig, told: bool) -> None:  # noqa: FBT001 - a parameter
    first, rest = [erp_of(rig), 3, 1], [[rig.source, 7, 1], [erp_of(rig), 3, 2]]
    body = {"processor": NAME, "number": 1, "runs": [first]}
    fact = Draft(rig.line, "folded", 1, body, None, "folded:before")
    box = Outbox(rig.folder / f"{NAME}.sqlite")
    drafts = [(f"processor:{NAME}", fact)] if told else []
    box.append(drafts, {runner.TURNS_KEY: json.dumps(rest if told else [first, *rest])})
    await rig.start()
    await until(lambda: rig.good == 0)
    await rig.say(1)
    await rig.client.publish(*released(rig, 1))
    await until(lambda: rig.good == 1)
    assert rig.resume["order"] == [first, rest[0]]
    assert rest[1] in json.loads(box.recall(runner.TURNS_KEY) or "[]")
    box.close()
