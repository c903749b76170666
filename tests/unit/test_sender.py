"""Resending: each source by its own deadline, whatever the others do."""

import asyncio
import json
from pathlib import Path

import pytest

from uns.fold import Draft
from uns.mqtt.message import Message
from uns.runtime import sender as module
from uns.runtime.outbox import Outbox
from uns.runtime.sender import Sender

LINES = ("acme/b/a/one", "acme/b/a/two")


class Broker:
    """Stands for the client port: remembers what was sent. (The real one: tests/integration.)"""

    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.connected.set()
        self.sent: list[str] = []

    async def send(
        self, topic: str, payload: bytes, *, retain: bool = False
    ) -> asyncio.Future[None]:
        assert topic.endswith("/_event/counted")
        self.sent.append(f"{json.loads(payload)['source']}#{json.loads(payload)['seq']}{retain:d}")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def drain(self) -> None:
        return


def draft(line: str) -> Draft:
    return Draft(f"{line}/cell", "counted", 1, {"good": 1, "scrap": 0})


def settled(box: Outbox, source: str, seq: int) -> Message:
    document = {"source": source, "epoch": box.epoch, "seq": seq, "settled": seq}
    return Message("t", json.dumps(document).encode(), 1, False, False, 1, 1)  # noqa: FBT003 - fields of a message


async def test_a_busy_neighbour_does_not_hold_back_a_resend(tmp_path: Path) -> None:
    box, broker = Outbox(tmp_path / "o.sqlite"), Broker()
    sender = Sender(box, broker, lambda _: True)
    sender.heard()
    box.append([("a:one", draft(LINES[0]))])
    running = asyncio.create_task(sender.run())
    async with asyncio.timeout(4 * module.RESEND_AFTER_S_MIN):
        seq = 0
        while broker.sent.count("a:one#10") < 2:
            seq += 1
            box.append([("b:two", draft(LINES[1]))])
            sender.wake()
            sender.settled(settled(box, "b:two", seq))
            await asyncio.sleep(0.05)
    running.cancel()
    assert all(broker.sent.count(f"b:two#{n}0") <= 1 for n in range(1, seq + 1))


async def test_an_old_copy_forgets_nothing_by_a_mark_that_it_has_not_compared(
    tmp_path: Path,
) -> None:
    box = Outbox(tmp_path / "o.sqlite")
    sender = Sender(box, Broker(), lambda _: True)
    box.append([("a:one", draft(LINES[0]))])
    sender.settled(settled(box, "a:one", 5))
    assert len(box) == 1
    before = box.epoch
    sender.heard()
    assert (len(box), box.epoch > before) == (1, True)


async def test_while_the_record_is_away_only_the_oldest_are_said_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESEND_AFTER_S_MIN", 0.02)
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    box, broker = Outbox(tmp_path / "o.sqlite"), Broker()
    sender = Sender(box, broker, lambda _: True)
    sender.heard()
    box.append([("a:one", draft(LINES[0]))] * 100)
    running = asyncio.create_task(sender.run())
    async with asyncio.timeout(10):
        while broker.sent.count("a:one#10") < 5:
            sender.wake()
            await asyncio.sleep(0.01)
    running.cancel()
    assert broker.sent.count("a:one#1000") == 2
    assert broker.sent.count(f"a:one#{module.PROBE_ENTRIES + 1}0") == 2
