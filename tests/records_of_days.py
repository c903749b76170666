"""A record of some days with a row in every read model, for tests of what is made of it."""

from typing import Any, Final

from tests.speech import (
    LINE,
    MILL,
    NOON,
    WASH,
    Sent,
    event,
    new_writer,
    output,
    record,
    state,
    tag,
)
from uns.historian.store import open_store

DAY_MS: Final = 86_400_000
PACKING: Final = "acme/berlin/assembly/packing"
MEASURED: Final = {
    "name": "bore",
    "value": 9.5,
    "lower": 9.0,
    "upper": 10.5,
    "unit": "mm",
    "verdict": "pass",
}
BODIES: Final[dict[str, dict[str, Any]]] = {
    "verdict": {
        "sample_id": "S1",
        "verdict": "pass",
        "lot": "L1",
        "item": "housing-a",
        "characteristics": [MEASURED],
    },
    "edge": {"input_id": "L1", "output_id": "P1", "quantity": 1.5, "unit": "pcs"},
    "oee-interval": {
        "element": "apt",
        "state": "EXECUTE",
        "start_ms": NOON,
        "end_ms": NOON + 6_000,
        "shift_id": "early-1",
        "policy_id": "p",
        "order_id": "PO-1",
        "item": "housing-a",
        "pq": 10,
        "gq": 9,
        "sq": 1,
        "ideal_ms": 5_000,
        "ideal_good_ms": 4_500,
    },
    "stopped": {"stop_id": "s1", "state": "ABORTED", "reason": "jam", "order_id": "PO-1"},
    "gap": {"of_source": "opcua:acme.berlin", "of_epoch": 1, "from_seq": 2, "to_seq": 3},
}
ORDER: Final = {"order_id": "PO-1", "item": "housing-a", "dispatch_status": "running"}


def told(location: str, *messages: Sent, received_ms: int = NOON) -> None:
    """Write messages into a store as one batch."""
    store = open_store(location, lambda: NOON)
    try:
        record(new_writer(store), *messages, received_ms=received_ms)
    finally:
        store.close()


def some_days(days: int = 3, samples: int = 40) -> list[Sent]:
    """Messages of some days from NOON on: each day has `samples` of a tag and an event."""
    every_day = [NOON + day * DAY_MS for day in range(days)]
    return [
        *(tag(n, at_ms + n * 1_000) for at_ms in every_day for n in range(samples)),
        tag("on", NOON, f"{PACKING}/box"),
        tag(1, NOON, WASH),
        *(event(n, at_ms=at_ms) for n, at_ms in enumerate(every_day, 1)),
        event(days + 1, "consumed", {"lot": "L0", "item": "bar", "quantity": 2.5, "unit": "pcs"}),
        event(days + 2, "state-changed", {"state": "EXECUTE"}),
        *(output(n, "any", kind, body, at_ms=NOON + n) for n, (kind, body) in enumerate(made(), 1)),
        state("order/po-1", 1, {**ORDER, "at_ms": NOON, "released_ms": NOON - DAY_MS}),
        state("shift", 1, {"at_ms": NOON}, "acme/berlin"),
        Sent("acme/../area/../x", b"what?"),
    ]


def made() -> list[tuple[str, dict[str, Any]]]:
    """What processors put out, by type."""
    gap = {**BODIES["gap"], "seen_by": "oee"}
    return list({**BODIES, "gap": gap}.items())


__all__ = ["DAY_MS", "LINE", "MILL", "PACKING", "some_days", "told"]
