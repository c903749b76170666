"""The resume document: sealed, in the order of its revisions, with the order of its sources."""

import json
from typing import Any

import pytest

from processors.quality import build
from tests.example import HOUSING, plant
from uns.fold import Mark
from uns.model.events import Event, Loaded
from uns.runtime.resume import RUNS_MAX, Resume, Run, is_sealed, sealed

PLANT = "0123456789abcdef"
A, B = "plc:acme.berlin.machining.housing", "erp:acme.berlin.machining.housing"


def event(source: str, seq: int) -> Event:
    return Loaded(
        id=f"{source}:1:{seq}", at_ms=seq, path=f"{HOUSING}/mill", source=source, epoch=1, seq=seq
    )


def resume() -> Resume[Any]:
    return Resume(build(plant()), HOUSING, PLANT)


def dumped(rev: int = 7, owner: int = 3) -> bytes:
    one = resume()
    one.rev, one.owner_epoch, one.marks = rev, owner, {A: Mark(1, 5)}
    one.took(event(A, 5))
    return one.dump(1)


def test_a_document_comes_back_as_it_was() -> None:
    one = resume()
    assert one.load(dumped())
    assert (one.rev, one.owner_epoch, one.marks) == (7, 3, {A: Mark(1, 5)})
    assert one.order == [Run(A, 1, 5)]


@pytest.mark.parametrize("place", range(0, len(dumped()), 7))
def test_a_flipped_bit_anywhere_is_refused(place: int) -> None:
    payload = bytearray(dumped())
    payload[place] ^= 1
    one = resume()
    assert not one.load(bytes(payload))
    assert one.marks == {}


def test_each_document_names_the_seal_of_the_one_before() -> None:
    one = resume()
    first = json.loads(one.dump(1))
    one.rev += 1
    second = json.loads(one.dump(2))
    assert first["previous"] is None
    assert second["previous"] == first["sha256"]
    again = resume()
    again.load(one.dump(3))
    assert json.loads(again.dump(4))["previous"] != second["sha256"]


def test_an_older_revision_or_owner_is_not_taken() -> None:
    one = resume()
    assert one.load(dumped(rev=7, owner=3))
    assert not one.load(dumped(rev=6, owner=3))
    assert not one.load(dumped(rev=9, owner=2))
    assert one.load(dumped(rev=1, owner=4))


def test_revisions_go_on_behind_a_document_that_cannot_be_used() -> None:
    one = resume()
    unsealed = json.dumps({**json.loads(dumped(rev=900, owner=40)), "version": 0}).encode()
    assert not one.load(unsealed)
    assert one.owner_seen == 40
    one.take_over(41, 1, rebuilt=False)
    assert (one.rev, one.base_rev) == (900, 901)


def test_a_state_under_another_plant_is_a_new_base() -> None:
    other = Resume(build(plant()), HOUSING, "another plant")
    assert other.load(dumped())
    other.take_over(4, 1, rebuilt=False)
    assert other.base_rev == 8
    same = resume()
    same.load(dumped())
    same.base_rev = 2
    same.take_over(4, 1, rebuilt=False)
    assert same.base_rev == 2


def test_the_order_of_sources_is_told_when_it_becomes_long() -> None:
    one = resume()
    told = [one.took(event(A if n % 2 else B, n)) for n in range(1, 2 * RUNS_MAX + 3)]
    facts = [draft for draft in told if draft]
    first, second = facts
    assert (first.body["number"], first.body["previous"]) == (1, None)
    assert (second.body["number"], second.body["previous"]) == (2, first.id)
    assert one.told == second.id != first.id
    assert [len(draft.body["runs"]) for draft in facts] == [RUNS_MAX, RUNS_MAX]
    assert facts[0].body["runs"][:2] == ((A, 1, 1), (B, 1, 2))
    assert (len(one.order), one.order_no, len(one.turns)) == (2, 2, 2 * RUNS_MAX + 2)


def test_what_is_told_of_the_order_does_not_depend_on_commits() -> None:
    together, apart = resume(), resume()
    events = [event(A if n % 3 else B, n) for n in range(1, 3 * RUNS_MAX)]
    one_by_one = list[object]()
    for each in events:
        one_by_one.append(apart.took(each))
        apart.turns.clear()
    assert one_by_one == [together.took(each) for each in events]


def test_the_seal_stands_at_the_end() -> None:
    payload = sealed(b'{"a":1}')
    assert is_sealed(payload)
    assert not is_sealed(payload + b" ")
    assert not is_sealed(b'{"a":1}')
    assert list(json.loads(payload)) == ["a", "sha256"]


def test_two_orders_are_told_under_two_ids_and_one_order_under_one() -> None:
    events = [event(A if n % 2 else B, n) for n in range(1, RUNS_MAX + 2)]
    swapped = [event(B if n % 2 else A, n) for n in range(1, RUNS_MAX + 2)]
    told = []
    for order in (events, events, swapped):
        one = resume()
        told.append([draft for draft in map(one.took, order) if draft])
    assert told[0] == told[1]
    assert [len(drafts) for drafts in told] == [1, 1, 1]
    assert told[0][0].id != told[2][0].id


def test_a_document_carries_the_id_of_what_was_told_last() -> None:
    one, again = resume(), resume()
    one.rev, one.told, one.order_no = 9, "folded:x", 4
    assert again.load(one.dump(1))
    assert (again.told, again.order_no) == ("folded:x", 4)
