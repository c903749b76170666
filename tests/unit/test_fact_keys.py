"""Business keys in an outbox: nothing is recorded twice, what passes is forgotten in time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridges.desk.client import Desk
from bridges.desk.config import DeskSettings
from tests.example import PUMP, plant
from uns.codec import Codec, Message, encode_document
from uns.model.observation import Fact, Observation
from uns.runtime import fact_keys
from uns.runtime.fact_keys import FactKeys
from uns.runtime.outbox import Outbox

DAY_MS = 86_400_000
CODEC = Codec(plant())


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "outbox.db")
    yield outbox
    outbox.close()


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look is one that forgets."""
    monkeypatch.setattr(fact_keys, "PRUNE_EVERY", 0)


def fact(key: str, at_ms: int = 0, known_ms: int | None = None) -> Fact:
    return Fact(PUMP, "t", at_ms, {"key": key}, business_key=key, known_ms=known_ms)


def record(keys: FactKeys, outbox: Outbox, *facts: Observation) -> list[str | None]:
    """Record facts as a bridge does; which of them were new."""
    new = keys.new(facts)
    outbox.append([], keys.memory(new))
    return [one.business_key for one in new]


def test_a_key_is_new_once_also_within_one_batch_and_after_a_restart(outbox: Outbox) -> None:
    assert record(FactKeys(outbox), outbox, fact("a"), fact("a"), fact("b")) == ["a", "b"]
    assert record(FactKeys(outbox), outbox, fact("b"), fact("c")) == ["c"]
    assert FactKeys(outbox).known("") == {key: f'{{"key":"{key}"}}' for key in "abc"}


def test_a_key_that_passes_is_known_until_then_and_others_for_ever(outbox: Outbox) -> None:
    keys = FactKeys(outbox)
    record(keys, outbox, fact("stays"), fact("short", 10, 5), fact("long", 10, 500))
    assert keys.prune(14) == 0
    assert keys.prune(15) == 1
    assert set(keys.known("")) == {"stays", "long"}
    assert record(keys, outbox, fact("short", 16, 5), fact("long", 16, 5)) == ["short"]
    assert keys.prune(DAY_MS) == 2
    assert outbox.recall_all("passing:") == {}


def test_of_too_many_that_pass_those_that_would_pass_first_go_first(outbox: Outbox) -> None:
    keys = FactKeys(outbox, passing_max=3)
    record(keys, outbox, *(fact(f"r{n}", n, DAY_MS) for n in range(5)), fact("stays"))
    assert keys.prune(5) == 2
    assert set(keys.known("")) == {"r2", "r3", "r4", "stays"}


def test_it_is_not_looked_at_each_time(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fact_keys, "PRUNE_EVERY", 3)
    keys = FactKeys(outbox)
    assert keys.prune(0) == 0
    record(keys, outbox, fact("a", 0, 1), fact("b", 0, 1))
    assert keys.prune(5) == 0
    record(keys, outbox, fact("c", 0, 1))
    assert keys.prune(5) == 3


class Rig:
    """A desk with the keys of its runner, in a time that is set."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox, self.keys, self.now_ms = outbox, FactKeys(outbox), DAY_MS * 100
        self.desk = Desk(DeskSettings(request_days=2), lambda: self.now_ms, self.keys.known, ())

    def ask(self, request_id: str, **fields: Any) -> list[str]:
        """The types of what becomes of a command, and of an answer its reason."""
        body = {"request_id": request_id, "order_id": "PO-1", **fields}
        decoded = CODEC.decode(f"{PUMP}/_cmd/order/hold", encode_document(body))
        assert isinstance(decoded, Message)
        told = [one for one in self.desk.take(decoded) if isinstance(one, Fact)]
        record(self.keys, self.outbox, *told)
        self.keys.prune(self.now_ms)
        return [str(one.body.get("reason", one.type)) for one in told]


def test_a_repeat_is_followed_once_and_beyond_the_horizon_refused(outbox: Outbox) -> None:
    rig = Rig(outbox)
    asked_ms = rig.now_ms
    assert rig.ask("r-1", at_ms=asked_ms) == ["order-commanded"]
    rig.now_ms += 2 * DAY_MS - 1
    assert rig.ask("r-1", at_ms=asked_ms) == []
    assert rig.ask("r-2") == ["order-commanded"]
    rig.now_ms += 1
    assert rig.keys.prune(rig.now_ms) == 1
    assert rig.ask("r-1", at_ms=asked_ms) == [
        "asked more than 2 days ago: ask again under a new request_id"
    ]
    assert rig.ask("r-2") == []


def test_however_many_requests_come_what_is_kept_of_them_is_bounded(outbox: Outbox) -> None:
    rig = Rig(outbox)
    for n in range(60):
        rig.now_ms += DAY_MS // 10
        assert rig.ask(f"r-{n}") == ["order-commanded"]
        assert len(rig.keys.known("request:")) <= 20
