"""The outbox: durable, contiguous, idempotent, bounded."""

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from uns.fold import Draft
from uns.runtime.errors import OutboxFull
from uns.runtime.outbox import Outbox

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
