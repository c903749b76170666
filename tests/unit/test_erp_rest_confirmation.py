"""What is told of an order adds up to what was made of it, whatever comes twice, late or never."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bridges.erp_rest.config import ErpRestSettings
from bridges.erp_rest.confirmation import (
    MATERIALS_MAX,
    Account,
    Confirmation,
    ended,
    has_news,
    with_consumed,
    with_document,
    with_interval,
)
from bridges.erp_rest.telling import Rules, tell
from uns.model.events import Consumed, OeeInterval

LINE = "acme/berlin/machining/housing"
ROUTING = ["saw", "mill"]
RULES = Rules(every_ms=100, settle_ms=10, is_partial=True)
EMPTY = Account(order_id="PO-1", line=LINE)
DAY = "2026-11-23"


def document(**pieces: tuple[int, int]) -> dict[str, Any]:
    """An order's document; pieces are (good, scrap) by cell."""
    rows = [{"cell": c, "good": g, "scrap": s, "rework": 0} for c, (g, s) in pieces.items()]
    return {
        "order_id": "PO-1",
        "item": "housing-a",
        "quantity": 100,
        "revision": 1,
        "dispatch_status": "running",
        "started_ms": 5,
        "at_ms": 50,
        "operations": rows,
    }


def consumed(number: int = 1, **changes: Any) -> Consumed:
    return Consumed.model_validate(
        {
            "id": f"c{number}",
            "at_ms": 60,
            "path": f"{LINE}/saw",
            "source": "plc:x",
            "epoch": 1,
            "seq": number,
            "lot": "L-1",
            "item": "alu-bar",
            "quantity": 1.5,
            "unit": "pcs",
            **changes,
        }
    )


def interval(element: str, start_ms: int, end_ms: int) -> OeeInterval:
    return OeeInterval.model_validate(
        {
            "id": f"i{start_ms}-{end_ms}",
            "at_ms": end_ms,
            "path": f"{LINE}/mill",
            "source": "processor:oee:x",
            "epoch": 1,
            "seq": 1,
            "element": element,
            "state": "EXECUTE",
            "start_ms": start_ms,
            "end_ms": end_ms,
            "shift_id": "s",
            "policy_id": "p",
        }
    )


def shown(account: Account, **pieces: tuple[int, int]) -> Account:
    return with_document(account, document(**pieces), ROUTING)


def test_the_first_confirmation_tells_what_was_made_until_now() -> None:
    account, (saw,) = tell(shown(EMPTY, saw=(10, 2), mill=(0, 0)), 1_000, RULES, DAY)
    assert (saw.key, saw.good, saw.scrap) == ("PO-1@berlin.machining.housing.saw#1", 10, 2)
    assert (saw.operation_number, saw.is_last, saw.final) == (10, False, False)
    assert not has_news(account)


def test_the_next_one_tells_the_difference_and_comes_when_it_is_time() -> None:
    account, _ = tell(shown(EMPTY, saw=(10, 0)), 1_000, RULES, DAY)
    account = shown(account, saw=(14, 1))
    assert tell(account, 1_099, RULES, DAY).confirmations == []
    _, (saw,) = tell(account, 1_100, RULES, DAY)
    assert (saw.counter, saw.good, saw.scrap, saw.good_total) == (2, 4, 1, 14)


def test_an_older_document_changes_nothing() -> None:
    account = shown(EMPTY, saw=(10, 2))
    assert shown(account, saw=(4, 1)) == account


def test_at_the_end_each_operation_is_told_of_once() -> None:
    account, _ = tell(shown(EMPTY, saw=(10, 0), mill=(0, 0)), 1_000, RULES, DAY)
    account = ended(shown(account, saw=(10, 0), mill=(9, 1)), 1_200)
    assert tell(account, 1_209, RULES, DAY).confirmations == []
    account, told = tell(account, 1_210, RULES, DAY)
    assert [(one.operation, one.good, one.final) for one in told] == [
        ("saw", 0, True),
        ("mill", 9, True),
    ]
    assert [one.is_last for one in told] == [False, True]
    assert tell(account, 9_999, RULES, DAY).confirmations == []


def test_a_late_count_after_the_end_is_told_alone() -> None:
    account, _ = tell(ended(shown(EMPTY, saw=(10, 0), mill=(9, 1)), 0), 1_000, RULES, DAY)
    _, (late,) = tell(shown(account, saw=(10, 0), mill=(10, 1)), 1_001, RULES, DAY)
    assert (late.operation, late.good, late.counter, late.final) == ("mill", 1, 2, True)


def test_at_the_end_only_if_so_configured() -> None:
    rules = RULES._replace(is_partial=False)
    account = shown(EMPTY, saw=(10, 0))
    assert tell(account, 10**9, rules, DAY).confirmations == []
    assert len(tell(ended(account, 0), 10**9, rules, DAY).confirmations) == 1


def test_nothing_is_told_of_an_order_that_no_document_was_seen_of() -> None:
    account = with_consumed(EMPTY, consumed())
    assert not has_news(account)
    assert tell(account, 10**9, RULES, DAY).confirmations == []
    _, (saw,) = tell(shown(account, saw=(1, 0)), 10**9, RULES, DAY)
    assert saw.consumed[0].quantity == 1.5


def test_consumption_is_told_by_lot_and_only_what_is_new() -> None:
    account = with_consumed(with_consumed(shown(EMPTY), consumed(1)), consumed(2, lot="L-2"))
    account, (saw,) = tell(account, 1_000, RULES, DAY)
    assert [(one.lot, one.quantity) for one in saw.consumed] == [("L-1", 1.5), ("L-2", 1.5)]
    _, (more,) = tell(with_consumed(account, consumed(3, quantity=0.1)), 2_000, RULES, DAY)
    assert [(one.lot, one.quantity) for one in more.consumed] == [("L-1", 0.1)]


def test_lots_are_bounded_and_their_quantities_are_not_lost() -> None:
    account = shown(EMPTY)
    for number in range(MATERIALS_MAX + 5):
        account = with_consumed(account, consumed(number + 1, lot=f"L-{number}", quantity=1))
    _, (saw,) = tell(account, 1_000, RULES, DAY)
    assert len(saw.consumed) == MATERIALS_MAX + 1
    assert sum(one.quantity for one in saw.consumed) == MATERIALS_MAX + 5
    assert saw.consumed[-1].lot is None


def test_times_are_production_and_set_up_and_may_be_taken_back() -> None:
    account = shown(EMPTY, mill=(1, 0))
    for each in (interval("apt", 0, 500), interval("aust", 0, 30), interval("adet", 0, 70)):
        account = with_interval(account, each)
    account, (mill,) = tell(account, 1_000, RULES, DAY)
    assert (mill.run_ms, mill.setup_ms) == (500, 30)
    account = with_interval(account, interval("apt", 500, 400))
    assert tell(account, 2_000, RULES, DAY).confirmations == []
    _, (more,) = tell(with_interval(account, interval("apt", 500, 650)), 2_000, RULES, DAY)
    assert more.run_ms == 50


def test_a_cell_beside_the_routing_is_told_last_and_is_not_the_end() -> None:
    account = shown(EMPTY, saw=(1, 0), mill=(1, 0), wash=(2, 0))
    _, told = tell(account, 1_000, RULES, DAY)
    assert [(one.operation, one.operation_number, one.is_last) for one in told] == [
        ("saw", 10, False),
        ("mill", 20, True),
        ("wash", 0, False),
    ]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("saw"), st.integers(0, 20), st.integers(0, 5)),
        st.tuples(st.just("mill"), st.integers(0, 20), st.integers(0, 5)),
        st.tuples(st.just("tell"), st.integers(0, 300), st.just(0)),
        st.tuples(st.just("stale"), st.just(0), st.just(0)),
        st.tuples(st.just("consume"), st.integers(1, 9), st.just(0)),
        st.tuples(st.just("crash"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@given(STEPS)
def test_what_is_told_adds_up_to_what_was_made(steps: list[tuple[str, int, int]]) -> None:
    account, now_ms, used = shown(EMPTY, saw=(0, 0), mill=(0, 0)), 0, 0
    made, told = {"saw": (0, 0), "mill": (0, 0)}, list[Confirmation]()
    for what, number, scrap in steps:
        match what:
            case "saw" | "mill":
                made[what] = (made[what][0] + number, made[what][1] + scrap)
                account = shown(account, **made)
            case "stale":
                account = shown(account, saw=(0, 0))
            case "consume":
                used += number
                account = with_consumed(account, consumed(used, quantity=number / 10))
            case "crash":
                account = Account.model_validate_json(account.model_dump_json())
            case _:
                now_ms += number
                account, more = tell(account, now_ms, RULES, DAY)
                told += more
    account, more = tell(ended(account, now_ms), now_ms + 10, RULES, DAY)
    told += more
    for cell, (good, scrap) in made.items():
        of_cell = [one for one in told if one.operation == cell]
        assert (sum(one.good for one in of_cell), sum(one.scrap for one in of_cell)) == (
            good,
            scrap,
        )
        assert [one.counter for one in of_cell] == list(range(1, len(of_cell) + 1))
        assert of_cell[-1].final
    tenths = sum(round(each.quantity * 10) for one in told for each in one.consumed)
    assert tenths == used
    assert len({one.key for one in told}) == len(told)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"url": "http://erp.example.com"}, "https"),
        ({"url": "ftp://erp.example.com"}, "https"),
        ({"url": "https://user:word@erp.example.com"}, "without user"),
        ({"url": "https://erp", "listen_port": 8080}, "go together"),
        ({"url": "https://erp", "retry_ms_max": 10}, "below"),
        ({"url": "https://erp", "items": {"a": "x", "b": "x"}}, "two of ours"),
        ({"url": "https://erp", "adapter": "sap"}, "adapter"),
    ],
)
def test_unsound_settings_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        ErpRestSettings.model_validate({"credentials_file": "t", **settings})


@pytest.mark.parametrize("url", ["http://127.0.0.1:8069", "http://localhost", "https://erp/api/"])
def test_sound_urls_are_taken(url: str) -> None:
    assert ErpRestSettings(url=url, credentials_file="t").url == url.rstrip("/")
