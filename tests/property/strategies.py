"""Well-typed events of the example plant: plausible most of the time, absurd now and then."""

from collections.abc import Collection
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.example import EARLY_MS, HOUR_MS, numbered, plant
from uns.model.equipment import STATES
from uns.model.events import Event
from uns.model.order import COMMANDS
from uns.model.path import to_dotted

Row = dict[str, Any]
LINES = tuple(plant().lines)
ORDERS = ("PO-1001", "PO-1002", "po 3/ä", "X" * 128)
NEW_ORDERS = ("PO-1001-2", "PO-1001-3", "N-1")
ITEMS = (*plant().items, "unheard-of")
LOTS = ("L1", "L2", "H-3", "\N{PILE OF POO}" * 20)
FAULTS = (*plant().reasons, "e99")
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=128)

_near = st.integers(EARLY_MS, EARLY_MS + 100_000)
stamps = st.one_of(
    *(_near, _near, _near),
    st.integers(EARLY_MS, EARLY_MS + 30 * HOUR_MS),
    st.sampled_from([EARLY_MS + 8 * HOUR_MS, EARLY_MS + 8 * HOUR_MS - 1, EARLY_MS - 1]),
    st.sampled_from([0, 1_704_063_599_999, 4_102_441_200_000, 2**53 - 1]),
)
order_ids = st.sampled_from([ORDERS[0], *ORDERS, None])
items = st.none() | st.sampled_from(ITEMS)
counts = st.integers(0, 20)
quantities = st.one_of(st.integers(0, 40).map(lambda n: n / 8), st.floats(0, 1e6, allow_nan=False))
stop_ids = _near.map(lambda ms: f"{to_dotted(tuple(plant().cells)[1])}-{ms}") | WORDS
inspection_ids = st.builds(
    lambda cell, number: f"{to_dotted(cell)}-{number}",
    st.sampled_from(tuple(plant().cells)[:3]),
    st.integers(1, 6),
)
hold_ids = st.builds(
    lambda line, number: f"{to_dotted(line)}-hold-{number}",
    st.sampled_from(LINES),
    st.integers(1, 4),
)
values = st.none() | st.floats(-1e6, 1e6) | st.sampled_from([39.98, 40.02, 12, 119.8])


def _fields(event_type: str, **fields: SearchStrategy[Any]) -> SearchStrategy[Row]:
    return st.fixed_dictionaries({"type": st.just(event_type), "at_ms": stamps, **fields})


AT_A_CELL: dict[str, SearchStrategy[Row]] = {
    "state-changed": _fields(
        "state-changed",
        state=st.sampled_from(STATES) | st.just("EXECUTE") | WORDS,
        fault=st.none() | st.sampled_from(FAULTS),
    ),
    "counted": _fields(
        "counted", good=counts, scrap=counts, rework=counts, order_id=order_ids, item=items
    ),
    "loaded": _fields("loaded", order_id=order_ids, item=items),
    "consumed": _fields(
        "consumed",
        lot=st.sampled_from(LOTS) | WORDS,
        item=items,
        quantity=quantities,
        unit=st.sampled_from(["pcs", "kg"]),
        order_id=order_ids,
    ),
    "produced": _fields(
        "produced",
        lot=st.sampled_from(LOTS),
        unit_id=st.none() | st.sampled_from(["PU-0000001", "L1"]),
        quantity=quantities,
        unit=st.just("pcs"),
        order_id=order_ids,
        item=items,
    ),
    "inspected": _fields(
        "inspected",
        sample_id=st.sampled_from(["s1", "s2", "s3"]) | WORDS,
        values=st.dictionaries(
            st.sampled_from(["bore", "flatness", "cut_length", "torque", "other"]), values
        ),
        uncertain=st.lists(st.sampled_from(["bore", "torque"]), max_size=2),
        order_id=order_ids,
        item=items,
    ),
    "operation-gated": _fields(
        "operation-gated",
        orders=st.lists(
            st.fixed_dictionaries(
                {
                    "order_id": st.sampled_from([ORDERS[0], *ORDERS]),
                    "inspections": st.sampled_from([["first-article"], ["hourly", "lot"]]),
                }
            ),
            max_size=3,
        ),
    ),
    "inspection-commanded": _fields(
        "inspection-commanded",
        request_id=st.sampled_from(["r-1", "r 2/ä"]) | WORDS,
        command=st.sampled_from(["record", "record", "cancel", "resume"]),
        inspection_id=inspection_ids,
        values=st.none()
        | st.dictionaries(
            st.sampled_from(["bore", "flatness", "torque"]), st.sampled_from([9.5, 12.0, 40.0])
        ),
        inspected=st.none() | st.integers(1, 20),
        nonconforming=st.none() | st.integers(0, 5),
        defects=st.lists(
            st.fixed_dictionaries({"code": st.sampled_from(["scratch", "dent"])}), max_size=2
        ),
        reason=st.none() | WORDS,
    ),
    "chart-commanded": _fields(
        "chart-commanded",
        request_id=st.sampled_from(["r-1", "r 2/ä"]) | WORDS,
        command=st.sampled_from(["exclude", "freeze", "restart"]),
        characteristic=st.sampled_from(["bore", "torque", "flatness"]) | WORDS,
        item=st.sampled_from(["housing-a", "pump-a"]) | WORDS,
        points=st.lists(st.integers(1, 6), max_size=3),
        reason=WORDS,
    ),
    "stop-commanded": _fields(
        "stop-commanded",
        request_id=st.sampled_from(["r-1", "r 2/ä"]) | WORDS,
        command=st.sampled_from(["classify", "split", "merge"]),
        stop_id=stop_ids,
        reason_code=st.none() | st.sampled_from(FAULTS),
        split_ms=st.none() | stamps,
        with_stop_id=st.none() | stop_ids,
    ),
}
AT_A_LINE: dict[str, SearchStrategy[Row]] = {
    "released": _fields(
        "released",
        order_id=st.sampled_from([ORDERS[0], *ORDERS]) | WORDS,
        item=st.sampled_from(ITEMS),
        quantity=st.integers(1, 20),
        due_ms=st.none() | stamps,
        priority=st.integers(0, 100),
        revision=st.integers(1, 3),
    ),
    "order-commanded": _fields(
        "order-commanded",
        request_id=st.sampled_from(["r-1", "r-2"]) | WORDS,
        command=st.sampled_from(COMMANDS),
        order_id=st.sampled_from([ORDERS[0], *ORDERS, *NEW_ORDERS]),
        cell=st.none() | st.sampled_from(["saw", "mill", "press"]),
        quantity=st.none() | st.integers(1, 20),
        priority=st.none() | st.integers(0, 100),
        due_ms=st.none() | stamps,
        to_line=st.none() | st.sampled_from(LINES) | WORDS,
        new_order_id=st.none() | st.sampled_from([*ORDERS, *NEW_ORDERS]),
        reason=st.none() | WORDS,
    ),
    "kanban-commanded": _fields(
        "kanban-commanded",
        request_id=WORDS,
        command=st.sampled_from(["empty", "ordered", "full"]),
        loop=st.sampled_from(["bearings", "bearing"]) | WORDS,
        card=st.none() | st.integers(1, 5),
    ),
    "hold-commanded": _fields(
        "hold-commanded",
        request_id=st.sampled_from(["r-1", "r 2/ä"]) | WORDS,
        command=st.sampled_from(["place", "release"]),
        hold_id=st.none() | hold_ids,
        lot=st.none() | st.sampled_from(LOTS),
        unit_id=st.none() | st.sampled_from(["PU-0000001", "L1"]),
        order_id=order_ids,
        halts=st.booleans(),
        reason=WORDS,
        actor=st.sampled_from(["anna", "ben"]),
    ),
    "hold-said": _fields(
        "hold-said",
        hold_id=hold_ids,
        of_line=st.sampled_from(LINES),
        state=st.sampled_from(["held", "held", "released"]),
        lot=st.none() | st.sampled_from(LOTS),
        unit_id=st.none() | st.sampled_from(["PU-0000001", "L1"]),
        item=items,
        order_id=order_ids,
        halts=st.booleans(),
        reason=WORDS,
    ),
    "order-moved": _fields(
        "order-moved", new_order_id=st.sampled_from(NEW_ORDERS), to_line=st.sampled_from(LINES)
    ),
}


def _placed(line: str, types: Collection[str]) -> SearchStrategy[Row]:
    cells = [place.path for place in plant().lines[line]]
    places = st.sampled_from([*cells, cells[-1], cells[-1]])
    at_a_cell = [rows for name, rows in AT_A_CELL.items() if name in types]
    at_the_line = [rows for name, rows in AT_A_LINE.items() if name in types]
    return st.one_of(
        *(st.builds(lambda row, path: {**row, "path": path}, rows, places) for rows in at_a_cell),
        *(rows.map(lambda row: {**row, "path": line}) for rows in at_the_line),
    )


def histories(
    line: str, types: Collection[str], min_size: int = 8, max_size: int = 40
) -> SearchStrategy[list[Event]]:
    """Events of these types at one line, numbered as one source's."""
    rows = st.lists(_placed(line, types), min_size=min_size, max_size=max_size)
    return rows.map(lambda rows: numbered(rows, f"plc:{line}"))
