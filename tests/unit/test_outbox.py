"""The outbox: durable, contiguous, idempotent, bounded."""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from uns.fold import Draft, Mark
from uns.runtime.errors import OutboxFull
from uns.runtime.outbox import BEHIND_MS, CHANCE_MS, Outbox

LINE = "acme/berlin/machining/housing"
SOURCE = "plc-machining:acme.berlin.machining.housing"


def counted(n: int, event_id: str | None = None, filler: str = "") -> Draft:
    body = {"good": n, "scrap": 0, "rework": 0, "order_id": filler or None}
    return Draft(f"{LINE}/mill", "counted", 1_000 + n, body, None, event_id)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox" / "bridge.sqlite"


def test_seq_is_contiguous_per_source_and_survives_a_reopen(path: Path) -> None:
    box = Outbox(path)
    first = box.append([(SOURCE, counted(1)), ("erp:acme", counted(2)), (SOURCE, counted(3))])
    box.close()
    again = Outbox(path)
    second = again.append([(SOURCE, counted(4))])
    assert [(e.source, e.seq) for e in (*first, *second)] == [
        (SOURCE, 1),
        ("erp:acme", 1),
        (SOURCE, 2),
        (SOURCE, 3),
    ]
    assert {e.epoch for e in (*first, *second)} == {again.epoch}


def test_a_resend_is_byte_identical(path: Path) -> None:
    box = Outbox(path)
    (entry,) = box.append([(SOURCE, counted(1))])
    box.close()
    (again,) = Outbox(path).unsettled()
    assert again == entry
    event = json.loads(again.payload)
    assert (event["source"], event["seq"], event["id"]) == (SOURCE, 1, f"{SOURCE}:{entry.epoch}:1")


def test_the_same_id_is_stored_once_and_keeps_its_seq(path: Path) -> None:
    box = Outbox(path)
    (first,) = box.append([(SOURCE, counted(1, "in-7>oee.0"))])
    (again,) = box.append([(SOURCE, counted(1, "in-7>oee.0"))])
    assert again == first
    assert len(box) == 1


def test_settling_forgets_up_to_the_watermark_of_that_epoch_only(path: Path) -> None:
    box = Outbox(path)
    box.append([(SOURCE, counted(n)) for n in range(5)])
    assert box.settle(SOURCE, box.epoch - 1, 5) == 0
    assert box.settle(SOURCE, box.epoch, 3) == 3
    assert [e.seq for e in box.unsettled()] == [4, 5]
    assert box.last_seq(SOURCE) == 5


def test_memory_is_stored_with_the_events(path: Path) -> None:
    box = Outbox(path)
    box.append([(SOURCE, counted(1))], {"cell:mill": "base 17"})
    box.close()
    assert Outbox(path).recall("cell:mill") == "base 17"
    assert Outbox(path).recall_all("cell:") == {"cell:mill": "base 17"}


def test_a_full_outbox_refuses_and_keeps_everything(path: Path) -> None:
    box = Outbox(path, bytes_max=200_000)
    stored = _fill(box)
    assert 0 < stored < 1_000
    assert len(box) == stored
    assert box.recall("last") == str(stored - 1)
    box.settle(SOURCE, box.epoch, stored)
    box.append([(SOURCE, counted(1))])
    assert box.last_seq(SOURCE) == stored + 1


def _fill(box: Outbox) -> int:
    for n in range(1_000):
        try:
            box.append([(SOURCE, counted(n, filler="x" * 1_000))], {"last": str(n)})
        except OutboxFull:
            return n
    return 1_000


def _append_for_ever(path: Path, told: Path) -> None:
    box = Outbox(path)
    with told.open("w") as file:
        for n in range(1_000_000):
            (entry,) = box.append([(SOURCE, counted(n))], {"last": str(n)})
            file.write(f"{entry.seq}\n")
            file.flush()


def test_what_append_returned_survives_kill_minus_9(path: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    process = multiprocessing.get_context("spawn").Process(
        target=_append_for_ever, args=(path, told)
    )
    process.start()
    while not told.exists() or told.stat().st_size < 100:
        process.join(0.01)
        assert process.is_alive()
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    acknowledged = int(told.read_text().splitlines()[-1])
    box = Outbox(path)
    seqs = [e.seq for e in box.unsettled(limit=10_000)]
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(seqs) >= acknowledged
    assert box.recall("last") == str(len(seqs) - 1)


def test_a_new_owner_numbers_what_waits_anew_and_keeps_the_ids(path: Path) -> None:
    box = Outbox(path)
    first = box.append([(SOURCE, counted(n, f"in-{n}>oee.0")) for n in (1, 2)])
    box.settle(SOURCE, box.epoch, 1)
    epoch = box.renew(first[0].epoch + 1_000_000)
    (left,) = box.unsettled()
    assert epoch == box.epoch == left.epoch > first[0].epoch + 1_000_000
    assert (left.seq, left.id) == (1, "in-2>oee.0")
    event = json.loads(left.payload)
    assert (event["epoch"], event["seq"], event["id"]) == (epoch, 1, "in-2>oee.0")
    (again,) = box.append([(SOURCE, counted(2, "in-2>oee.0"))])
    assert again == left
    assert box.append([(SOURCE, counted(3))])[0].seq == 2


def test_an_outbox_restored_from_an_old_copy_uses_no_number_twice(path: Path) -> None:
    box = Outbox(path)
    box.append([(SOURCE, counted(n)) for n in (1, 2)])
    box.append([("erp:acme", counted(1))])
    box.close()
    copy = path.read_bytes()
    box = Outbox(path)
    (lost,) = box.append([(SOURCE, counted(3))])
    box.close()
    path.write_bytes(copy)
    for left in path.parent.glob("*-wal"):
        left.unlink()
    restored = Outbox(path)
    (again,) = restored.append([(SOURCE, counted(4))])
    assert again.id == lost.id
    assert restored.reconcile({SOURCE: Mark(restored.epoch, 3)})
    assert [e.seq for e in restored.unsettled()] == [1, 2, 1]
    assert restored.has_older
    assert restored.settle(SOURCE, lost.epoch, 3) == 2
    said = [(e.source, e.seq, e.epoch > lost.epoch) for e in restored.unsettled()]
    assert said == [("erp:acme", 1, False), (SOURCE, 1, True)]
    assert lost.id not in {e.id for e in restored.unsettled()}
    assert not restored.reconcile({SOURCE: Mark(lost.epoch, 3)})


def test_a_copied_file_begins_an_epoch_behind_what_it_brought(path: Path) -> None:
    box = Outbox(path)
    (brought,) = box.append([(SOURCE, counted(1))])
    box.close()
    copy = path.with_name("copy.sqlite")
    copy.write_bytes(path.read_bytes())
    copied = Outbox(copy)
    (new,) = copied.append([(SOURCE, counted(2))])
    assert (new.seq, new.epoch > brought.epoch) == (1, True)
    assert list(copied.unsettled()) == [brought]
    copied.settle(SOURCE, brought.epoch, 1)
    assert [e.id for e in copied.unsettled()] == [new.id]
    copied.close()
    assert Outbox(copy).epoch == new.epoch


def test_a_disk_without_room_delays_forgetting_and_is_told(path: Path) -> None:
    box = Outbox(path, bytes_max=200_000)
    _fill(box)
    assert box.used == 1.0
    assert box.settle(SOURCE, box.epoch, 10) in (0, 10)
    box.settle(SOURCE, box.epoch, 1_000)
    box.append([(SOURCE, counted(1))])
    assert box.used < 1.0


def test_an_outbox_made_when_the_clock_had_gone_back_begins_behind_the_record(path: Path) -> None:
    box = Outbox(path, clock=lambda: 1_000)
    box.append([(SOURCE, counted(1))])
    assert box.reconcile({SOURCE: Mark(5_000, 7)})
    assert 5_000 < box.epoch < 5_000 + BEHIND_MS + CHANCE_MS
    assert not box.reconcile({SOURCE: Mark(box.epoch, 1)})
    assert [(e.epoch, e.seq) for e in box.unsettled()] == [(box.epoch, 1)]


def _life(original: Path, name: str, now_ms: int, chance: Callable[[int], int]) -> int:
    """The epoch in which a copy of a file goes on, of which no record tells anything."""
    copy = original.with_name(name)
    copy.write_bytes(original.read_bytes())
    with closing(Outbox(copy, clock=lambda: now_ms, chance=chance)) as box:
        return box.epoch


def test_lives_of_one_copy_share_no_epoch_though_the_clock_went_back_behind_it(path: Path) -> None:
    made_ms, low, high = 1_795_410_000_000, (lambda _: 0), (lambda below: below - 1)
    Outbox(path, clock=lambda: made_ms).close()
    back_ms = made_ms - 2_500_000
    first, later = _life(path, "a", back_ms, high), _life(path, "b", back_ms + 5_000, low)
    again = _life(path, "c", back_ms, low)
    assert made_ms < again < first < later
    assert _life(path, "d", made_ms + BEHIND_MS + CHANCE_MS, low) > later


def test_an_outbox_that_the_record_knows_well_goes_on(path: Path) -> None:
    box = Outbox(path)
    box.append([(SOURCE, counted(1))])
    box.close()
    again = Outbox(path)
    again.append([(SOURCE, counted(2))])
    assert not again.reconcile({SOURCE: Mark(again.epoch, 1)})
    assert not again.reconcile({SOURCE: Mark(again.epoch, 2)})
    assert [e.seq for e in again.unsettled()] == [1, 2]
