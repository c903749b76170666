"""Every state of an order x every command and fact, against a table written by hand."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, get_args

import pytest

from processors import PROCESSORS
from tests.example import EARLY_MS, FIT, PRESS, PUMP, ROOT, TEST, numbered, plant
from uns.fold import Draft, advance
from uns.model.order import (
    COMMAND_FIELDS,
    COMMANDS,
    JOB_STATES,
    NEXT,
    STATUSES,
    DispatchStatus,
    OrderCommand,
    OrderFact,
    diagram,
    possible,
    refusal,
)

Row = dict[str, Any]
README: Final = Path(ROOT, "processors", "order_progress", "README.md")
ORDER: Final = "PO-1"

# What each state becomes by each command; what is not here is refused.
EXPECTED: Final[dict[DispatchStatus, dict[str, str]]] = {
    "waiting": {
        "start": "ready",
        "revoke-start": "waiting",
        "abort": "aborted",
        "cancel": "cancelled",
        "update": "waiting",
        "split": "waiting",
        "move": "waiting",
    },
    "ready": {
        "start": "ready",
        "revoke-start": "waiting",
        "abort": "aborted",
        "cancel": "cancelled",
        "update": "ready",
        "split": "ready",
        "move": "ready",
    },
    "running": {
        "start": "running",
        "pause": "suspended",
        "hold": "held",
        "complete": "completed",
        "stop": "completed",
        "abort": "aborted",
        "cancel": "cancelled",
        "update": "running",
        "split": "running",
        "move": "running",
    },
    "held": {
        "pause": "suspended",
        "unhold": "running",
        "complete": "completed",
        "stop": "completed",
        "abort": "aborted",
        "cancel": "cancelled",
        "update": "held",
        "split": "held",
        "move": "held",
    },
    "suspended": {
        "resume": "running",
        "hold": "held",
        "complete": "completed",
        "stop": "completed",
        "abort": "aborted",
        "cancel": "cancelled",
        "update": "suspended",
        "split": "suspended",
        "move": "suspended",
    },
    "completed": {"close": "closed", "clear": "completed"},
    "closed": {"clear": "closed"},
    "aborted": {"clear": "aborted"},
    "cancelled": {"clear": "cancelled"},
}
FACTS_EXPECTED: Final[dict[str, dict[str, str]]] = {
    "waiting": {"turn": "ready", "begun": "running", "given-away": "cancelled"},
    "ready": {"begun": "running", "given-away": "cancelled"},
    "running": {"made": "completed", "left": "completed", "given-away": "cancelled"},
    "held": {"made": "completed", "given-away": "cancelled"},
    "suspended": {"made": "completed", "given-away": "cancelled"},
}


def released(quantity: int = 10) -> Row:
    order = {"order_id": ORDER, "item": "pump-a", "quantity": quantity}
    return {"type": "released", "path": PUMP, **order}


def asked(command: str, **fields: Any) -> Row:
    row = {"request_id": "r-1", "command": command, "order_id": ORDER}
    return {"type": "order-commanded", "path": PUMP, **row, **fields}


def loaded(path: str = PRESS) -> Row:
    return {"type": "loaded", "path": path, "order_id": ORDER, "item": "pump-a"}


WAYS: Final[dict[DispatchStatus, list[Row]]] = {
    "waiting": [released(), asked("revoke-start")],
    "ready": [released()],
    "running": [released(), loaded()],
    "held": [released(), loaded(), asked("hold")],
    "suspended": [released(), loaded(), asked("pause")],
    "completed": [released(), loaded(), asked("complete")],
    "closed": [released(), loaded(), asked("complete"), asked("close")],
    "aborted": [released(), asked("abort")],
    "cancelled": [released(), asked("cancel")],
}
"""How an order comes into each state."""
OTHER_LINE: Final = "acme/berlin/assembly/packing"
GIVEN: Final[dict[str, Any]] = {
    "quantity": 4,
    "priority": 60,
    "to_line": OTHER_LINE,
    "cell": "press",
}


def played(rows: Iterable[Row]) -> tuple[Any, list[Draft]]:
    everywhere = plant().model_dump()
    packing = everywhere["sites"]["berlin"]["areas"]["assembly"]["lines"]["packing"]
    packing["cells"]["pack"]["ideal_cycle_ms"]["pump-a"] = 900
    processor = PROCESSORS["order-progress"](type(plant()).model_validate(everywhere))
    state, outputs = processor.initial(PUMP), list[Draft]()
    for event in numbered({"at_ms": EARLY_MS, **row} for row in rows):
        step = advance(processor, state, event)
        state, outputs = step.state, [*outputs, *step.outputs]
    documents = processor.documents(state)
    return documents.get(f"{PUMP}/_state/order/po-1--u3", {}), outputs


def fields(command: OrderCommand) -> dict[str, Any]:
    wanted = COMMAND_FIELDS[command]
    names = {*wanted.needed, *wanted.also, *wanted.one_of} & GIVEN.keys()
    return {name: GIVEN[name] for name in names}


@pytest.mark.parametrize("status", STATUSES)
def test_each_state_is_reached(status: DispatchStatus) -> None:
    document, _ = played(WAYS[status])
    assert document["dispatch_status"] == status
    assert document["job_state"] == JOB_STATES[status]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_followed_or_refused_as_the_table_says(
    status: DispatchStatus, command: OrderCommand
) -> None:
    document, outputs = played([*WAYS[status], asked(command, **fields(command))])
    answer = [output for output in outputs if output.type == "reply"][-1]
    wanted = EXPECTED[status].get(command)
    assert answer.body["outcome"] == ("accepted" if wanted else "refused"), answer.body["reason"]
    if wanted is None:
        assert answer.body["reason"] == refusal(ORDER, status, command)
    if command == "clear" and wanted:
        assert document == {}
    else:
        assert document["dispatch_status"] == (wanted or status)
    assert NEXT.get((status, command)) == wanted


@pytest.mark.parametrize("status", STATUSES)
def test_a_refusal_names_what_is_possible(status: DispatchStatus) -> None:
    assert set(possible(status)) == EXPECTED[status].keys()
    words = refusal(ORDER, status, "resume")
    assert words.startswith(f"{ORDER} is {status}: resume is for suspended orders; now: ")


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("fact", get_args(OrderFact))
def test_a_fact_moves_an_order_as_the_table_says(status: DispatchStatus, fact: OrderFact) -> None:
    found = {trigger: to for (state, trigger), to in NEXT.items() if state == status}
    wanted = FACTS_EXPECTED.get(status, {}).get(fact)
    assert found.get(fact) == (status if fact == "released" and fact in found else wanted)


def counted(good: int, path: str = TEST) -> Row:
    return {"type": "counted", "path": path, "good": good, "scrap": 0, "order_id": ORDER}


@pytest.mark.parametrize("status", STATUSES)
def test_counts_are_never_refused(status: DispatchStatus) -> None:
    """Below the quantity they only begin an order; at it they end one that is open."""
    few, _ = played([*WAYS[status], counted(3)])
    assert few["good"] == 3
    assert few["dispatch_status"] == ("running" if status in ("waiting", "ready") else status)
    all_of_them, outputs = played([*WAYS[status], counted(10)])
    is_open = status in FACTS_EXPECTED
    assert all_of_them["dispatch_status"] == ("completed" if is_open else status)
    assert sum(output.type == "order-closed" for output in outputs) == 1


def test_a_held_order_that_its_cells_put_away_stays_held() -> None:
    rows = [released(), *(loaded(cell) for cell in (PRESS, FIT, TEST)), asked("hold")]
    away = [{**loaded(cell), "order_id": None, "item": None} for cell in (PRESS, FIT, TEST)]
    held, _ = played([*rows, *away])
    assert held["dispatch_status"] == "held"
    again, _ = played([*rows, *away, asked("unhold"), loaded(PRESS), away[0]])
    assert again["dispatch_status"] == "running"
    ended, _ = played([*rows, *away, asked("unhold"), *rows[1:4], *away])
    assert ended["dispatch_status"] == "completed"


def test_the_diagram_is_drawn_from_the_table() -> None:
    assert f"```mermaid\n{diagram()}\n```" in README.read_text()
