"""An order that was split or moved is told of as the one order that the counterpart knows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridges.erp_rest.confirmation import Confirmation
from bridges.erp_rest.hearing import Clocks, Hearing
from bridges.erp_rest.store import Store
from bridges.erp_rest.telling import Rules
from tests.simulated import START_MS, example_plant
from uns.codec import encode_document
from uns.model.path import key_of
from uns.mqtt.message import Message

PLANT = example_plant()
PUMP, PACKING = "acme/berlin/assembly/pump", "acme/berlin/assembly/packing"
RULES = Rules(every_ms=0, settle_ms=10, is_partial=True)
SETTLED_MS = START_MS + 1_000


class Bridge:
    """What is heard of orders, and what is told of them since the last time."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now_ms = START_MS
        clocks = Clocks(lambda: self.now_ms, lambda: self.now_ms)
        self.hearing = Hearing(store, PLANT, clocks, lambda _reply: None)

    def hear(self, order_id: str, line: str = PUMP, **document: Any) -> None:
        topic = f"{line}/_state/order/{key_of(order_id)}"
        known = {"order_id": order_id, "item": "pump-a", "revision": 1, "at_ms": START_MS}
        shown = {"quantity": 10, "dispatch_status": "running", **known, **document}
        self._take(topic, encode_document(shown))

    def clear(self, order_id: str, line: str = PUMP) -> None:
        self._take(f"{line}/_state/order/{key_of(order_id)}", b"")

    def told(self) -> list[Confirmation]:
        """All that is told now; it is taken at once."""
        list(self.hearing.tell(RULES))
        posts = self.store.posts(("waiting",))
        for post in posts:
            self.store.settled(post, "sent", self.now_ms)
        return [post.confirmation for post in posts]

    def _take(self, topic: str, payload: bytes) -> None:
        self.hearing.take(
            [Message(topic, payload, 1, retain=False, dup=False, mid=1, connection=1)]
        )


def made(**good: int) -> list[dict[str, Any]]:
    return [{"cell": cell, "good": n, "scrap": 0, "rework": 0} for cell, n in good.items()]


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Bridge]:
    store = Store(tmp_path / "erp.sqlite")
    yield Bridge(store)
    store.close()


def test_the_parts_of_an_order_end_together_under_its_id(bridge: Bridge) -> None:
    bridge.hear("PO-1", quantity=6, split_off=4, operations=made(press=6, fit=6, test=6))
    bridge.clear("PO-1")
    bridge.now_ms = SETTLED_MS
    told = bridge.told()
    assert {(one.order_id, one.part, one.final) for one in told} == {("PO-1", None, False)}
    bridge.hear(
        "PO-1-2",
        quantity=4,
        split_from="PO-1",
        dispatch_status="completed",
        operations=made(press=4, fit=4, test=4),
    )
    bridge.clear("PO-1-2")
    bridge.now_ms += 1_000
    told = bridge.told()
    assert [(one.operation, one.order_id, one.part) for one in told] == [
        (cell, "PO-1", "PO-1-2") for cell in ("press", "fit", "test")
    ]
    assert [(one.good, one.good_total, one.quantity) for one in told] == [(4, 10, 10)] * 3
    assert all(one.final and one.status == "completed" for one in told)
    assert len({one.key for one in told}) == 3
    assert bridge.told() == []
    assert not bridge.store.with_news()


def test_a_part_of_a_part_on_another_line_is_of_the_same_order(bridge: Bridge) -> None:
    bridge.hear("PO-1", quantity=6, split_off=4, operations=made(test=0))
    bridge.hear("PO-1-2", quantity=3, split_from="PO-1", split_off=1, operations=made(test=0))
    bridge.hear("PO-1-2-2", PACKING, quantity=1, split_from="PO-1-2", operations=made(pack=1))
    (one,) = bridge.told()
    assert (one.order_id, one.part, one.operation, one.quantity) == ("PO-1", "PO-1-2-2", "pack", 10)
    assert (one.good, one.good_total, one.is_last, one.final) == (1, 1, True, False)
    bridge.hear("PO-1", quantity=6, split_off=4, operations=made(test=2))
    (one,) = bridge.told()
    assert (one.good, one.good_total) == (2, 3), "the last operation is the same one everywhere"


def test_an_order_that_was_moved_away_whole_is_told_of_where_it_is_made(bridge: Bridge) -> None:
    bridge.hear(
        "PO-1", quantity=0, split_off=10, dispatch_status="cancelled", operations=made(test=0)
    )
    bridge.clear("PO-1")
    bridge.now_ms = SETTLED_MS
    assert bridge.told() == [], "nobody has the pieces yet, as far as is known"
    bridge.hear("PO-1-2", PACKING, split_from="PO-1", operations=made(pack=10))
    bridge.clear("PO-1-2", PACKING)
    bridge.now_ms += 1_000
    (one,) = bridge.told()
    assert (one.order_id, one.operation, one.good, one.final) == ("PO-1", "pack", 10, True)
    assert bridge.told() == []
    assert not bridge.store.with_news()


def test_news_of_both_parts_at_the_end_make_one_final_confirmation_of_an_operation(
    bridge: Bridge,
) -> None:
    bridge.hear("PO-1", quantity=6, split_off=4, operations=made(test=6))
    bridge.hear("PO-1-2", quantity=4, split_from="PO-1", operations=made(test=4))
    bridge.clear("PO-1")
    bridge.clear("PO-1-2")
    bridge.now_ms = SETTLED_MS
    told = bridge.told()
    assert [(one.good, one.good_total, one.final) for one in told] == [
        (6, 10, False),
        (4, 10, True),
    ]
    assert bridge.told() == []
