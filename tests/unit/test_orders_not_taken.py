"""A release that finds no place on its line is told of, with the pieces that wait for it."""

from processors.order_progress.state import OPEN_ORDERS_MAX
from tests.example import PUMP
from tests.unit.test_order_commands import Line, released


def test_a_release_beyond_the_bound_is_alerted_each_time_it_comes() -> None:
    line = Line(released(f"PO-{n}") for n in range(OPEN_ORDERS_MAX))
    assert line.said("alert") == []
    line.take(released("PO-late", 7, revision=3))
    (alert,) = line.said("alert")
    assert alert["code"] == "order-not-taken"
    assert alert["summary"] == (
        "PO-late is not on this line: 200 orders are open. "
        "Release it again with a higher revision, when there is room"
    )
    assert alert["evidence"]["revision"] == 3
    assert line.document(f"{PUMP}/_state/queue/orders")["refused"] == 1
    line.take(released("PO-7", 12, revision=2))
    assert len(line.said("alert")) == 1, "an order that is there is changed, not refused"


def test_pieces_that_were_moved_under_the_id_of_another_order_are_alerted() -> None:
    line = Line([released("PO-2"), released("PO-1-2", split_from="PO-1")])
    line.take(released("PO-2", 5, split_from="PO-1"))
    (alert,) = line.said("alert")
    assert alert["code"] == "order-not-taken"
    assert (alert["evidence"]["quantity"], alert["evidence"]["split_from"]) == (5, "PO-1")
    line.take(released("PO-2"), released("PO-1-2", split_from="PO-1"))
    assert len(line.said("alert")) == 1, "what is told again is no other order"
