"""A state again from history, on every store: the same order of events gives the same state."""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from processors import PROCESSORS
from tests.brokers import small_plant
from tests.foldings import Folding
from tests.speech import LINE, NOON, PLC, Sent, event, new_writer, record
from uns.fold import Document, Draft, Mark, Step, Tick
from uns.historian.errors import OrderLost
from uns.historian.kept import Kept, understood
from uns.historian.reader import open_reader
from uns.historian.recompute import Past, everything, recomputed
from uns.historian.store import Store, open_store
from uns.model.events import Event, Gap
from uns.model.path import to_dotted
from uns.model.plant import digest

PLANT = small_plant()
ERP = f"erp:{to_dotted(LINE)}"


@dataclass(frozen=True, slots=True)
class Notes:
    """Every event's id, in the order in which they came."""

    line: str
    ids: tuple[str, ...] = ()


class Journal:
    """A processor that no two orders of events leave alike."""

    name, version, state_type = "quality", 1, Notes
    inputs, states = frozenset({"counted", "rejected"}), frozenset({"quality"})

    def initial(self, key: str) -> Notes:
        return Notes(key)

    def fold(self, state: Notes, event: Event | Tick) -> Step[Notes]:
        return Step(
            state if isinstance(event, Tick) else replace(state, ids=(*state.ids, event.id))
        )

    def documents(self, state: Notes) -> Mapping[str, Document]:
        return {f"{state.line}/_state/quality": {"summary": str(len(state.ids))}}


class Recorded:
    """A store with its writer; `past` is what a reader finds."""

    def __init__(self, location: str, store: Store) -> None:
        self._store = store
        self._writer = new_writer(store)
        self._reader = open_reader(location)

    def record(self, *messages: Sent, received_ms: int = NOON) -> None:
        record(self._writer, *messages, received_ms=received_ms)

    def past(self, folding: Folding, line: str = LINE) -> Past[Any]:
        self._store.close()
        return Past(self._reader, folding.processor, line)


@pytest.fixture
def on_record(location: str) -> Iterator[Recorded]:
    store = open_store(location, lambda: NOON)
    yield Recorded(location, store)
    store.close()


def rejected(seq: int) -> Sent:
    """An event of the ERP bridge on the line."""
    texts = ("reject_class", "origin", "reason", "original_base64", "original_sha256")
    return event(seq, "rejected", dict.fromkeys(texts, "x"), path=LINE, source=ERP)


def interleaved(count: int, seed: int = 5) -> list[Sent]:
    """Events of two sources in turns of one to four."""
    chance, found = random.Random(seed), list[Sent]()
    plc = erp = 0
    while len(found) < count:
        for _ in range(chance.randint(1, 4)):
            plc += 1
            found.append(event(plc))
        for _ in range(chance.randint(1, 4)):
            erp += 1
            found.append(rejected(erp))
    return found


def fold_and_record(
    folding: Folding, on_record: Recorded, events: list[Sent], per_commit: int
) -> None:
    """What a runner takes and says goes on record as it comes: sources first, as it happens."""
    for n in range(0, len(events), per_commit):
        folding.take(*events[n : n + per_commit])
        by_source = sorted(events[n : n + per_commit], key=lambda sent: sent.topic)
        on_record.record(*by_source, *folding.commit(), received_ms=NOON + n)


def kept(folding: Folding) -> Kept:
    """The newest resume document."""
    found = understood(folding.resume.dump(NOON))
    assert found
    return found


def test_the_recorded_order_gives_the_same_state_again(on_record: Recorded) -> None:
    folding = Folding(Journal(), PLANT)
    on_record.record(*folding.commit())
    fold_and_record(folding, on_record, interleaved(900), per_commit=180)
    assert folding.resume.order_no >= 3
    again = recomputed(on_record.past(folding), kept(folding))
    assert again.state == folding.resume.state
    assert again.marks == folding.resume.marks
    assert again.events == len(folding.resume.state.ids) >= 900


def test_of_two_owners_who_told_the_order_apart_each_document_has_its_own(
    on_record: Recorded,
) -> None:
    events = interleaved(1_500)
    both, later = events[:900], events[900:]
    first, second = Folding(Journal(), PLANT), Folding(Journal(), PLANT)
    on_record.record(*first.commit())
    second.commit()
    second.resume.output_seq = 100
    fold_and_record(first, on_record, both, per_commit=180)
    second.take(*both[:150], *sorted(both[150:], key=lambda sent: sent.topic), *later)
    on_record.record(*second.commit(), *later)
    assert first.resume.told != second.resume.told
    for one in (first, second):
        again = recomputed(on_record.past(one), kept(one))
        assert again.state == one.resume.state


def test_what_a_processor_gave_up_is_left_out_though_it_came(on_record: Recorded) -> None:
    folding = Folding(Journal(), PLANT)
    on_record.record(*folding.commit())
    folding.take(event(1), event(4))
    span = {"of_source": PLC, "of_epoch": 1, "from_seq": 2, "to_seq": 3, "seen_by": "quality"}
    folding.put_out(Draft(LINE, Gap.type_name, NOON, span, None, "gap:1"))
    on_record.record(event(1), event(4), *folding.commit(), event(2), event(3))
    again = recomputed(on_record.past(folding), kept(folding))
    assert again.state.ids == (f"{PLC}:1:1", f"{PLC}:1:4")


def test_a_newer_epoch_begins_anew_and_leaves_the_rest_of_the_old_one(on_record: Recorded) -> None:
    folding = Folding(Journal(), PLANT)
    on_record.record(*folding.commit())
    late, newer = event(3), [event(n, epoch=2) for n in (1, 2)]
    folding.take(event(1), event(2), *newer)
    on_record.record(event(1), event(2), *newer, *folding.commit(), late)
    again = recomputed(on_record.past(folding), kept(folding))
    assert again.state == folding.resume.state
    assert again.marks[PLC] == Mark(2, 2)


def test_an_order_that_is_not_whole_on_record_is_said(on_record: Recorded) -> None:
    folding = Folding(Journal(), PLANT)
    on_record.record(*folding.commit())
    folding.take(*interleaved(400))
    said = folding.commit()
    on_record.record(*(one for one in said if "/folded" not in one.topic))
    with pytest.raises(OrderLost, match="the order up to 2 is on record up to 0 only"):
        recomputed(on_record.past(folding), kept(folding))
    other = on_record.past(folding, "acme/berlin/assembly/packing")
    with pytest.raises(OrderLost, match="its base, rev 1, is not on record"):
        recomputed(other, kept(folding))


def test_a_base_carries_what_was_before_another_plant(on_record: Recorded) -> None:
    folding = Folding(Journal(), PLANT)
    on_record.record(*folding.commit())
    fold_and_record(folding, on_record, [*interleaved(50), event(1, epoch=2)], per_commit=60)
    folding.resume.plant, folding.resume.base_rev = "another", folding.resume.rev + 1
    on_record.record(*folding.commit())
    last = folding.resume.marks[ERP].seq
    later = [event(2, epoch=2), *map(rejected, range(last + 1, last + 9)), event(3, epoch=2)]
    fold_and_record(folding, on_record, later, per_commit=60)
    assert folding.resume.order[0] < (PLC, 2, 0)
    again = recomputed(on_record.past(folding), kept(folding))
    assert again.state == folding.resume.state
    assert again.marks == folding.resume.marks
    assert again.events == len(later)


def test_without_any_document_the_state_is_folded_by_order_and_arrival(on_record: Recorded) -> None:
    folding = Folding(Journal(), PLANT)
    assert everything(on_record.past(folding), digest(PLANT), None) is None
    on_record.record(*folding.commit())
    events = interleaved(520)
    fold_and_record(folding, on_record, events[:500], per_commit=100)
    for n, sent in enumerate(events[500:]):
        on_record.record(sent, received_ms=NOON + 10_000 * n)
    rest = everything(on_record.past(folding), digest(PLANT), kept(folding))
    assert rest
    folding.take(*events[500:])
    assert rest.refold.state == folding.resume.state
    assert rest.refold.marks == folding.resume.marks
    assert rest.order_no == folding.resume.order_no
    assert [run[:3] for run in rest.order] == [tuple(run) for run in folding.resume.order]


@pytest.mark.parametrize("name", PROCESSORS)
def test_every_processor_comes_to_the_same_state_and_documents(
    on_record: Recorded, name: str
) -> None:
    folding = Folding(PROCESSORS[name](PLANT), PLANT)
    on_record.record(*folding.commit())
    order = {"order_id": "PO-1", "item": "housing"}
    facts: list[tuple[str, Document]] = [
        ("loaded", order),
        ("state-changed", {"state": "EXECUTE"}),
        ("counted", {"good": 3, "scrap": 1, **order}),
        ("consumed", {"lot": "BAR-1", "quantity": 2.5, "unit": "kg", **order}),
        ("produced", {"lot": "H-1", "quantity": 4.0, "unit": "pcs", **order}),
        ("inspected", {"sample_id": "s1", "values": {"bore_mm": 10.01, "a": 1e-7}, **order}),
        ("state-changed", {"state": "HELD", "fault": "E12"}),
    ]
    said = list[Sent]()
    for seq, (kind, body) in enumerate(facts * 9, 1):
        sent = event(seq, kind, body, at_ms=NOON + 7_000 * seq)
        folding.take(sent)
        said += [sent, *folding.tick(NOON + 7_000 * seq + 900), *folding.commit()]
    on_record.record(*said)
    past = on_record.past(folding)
    again = recomputed(past, kept(folding))
    assert next(past.stored()) == said[-1].payload
    documents = [one for one in said if "/_state/" in one.topic]
    assert past.revs(1_000) == {one.topic: json.loads(one.payload)["rev"] for one in documents}
    now_ms = folding.resume.ticked_ms
    ticked = folding.processor.fold(again.state, Tick(now_ms)).state
    assert ticked == folding.resume.state
    assert folding.processor.documents(ticked) == folding.processor.documents(folding.resume.state)
