"""Job orders: the one table of their states, what moves them, and the words for a refusal.

States and commands are those of OPC 10031-4 (6.2.1, ISA-95 part 4), in the words of ISA-95's
dispatch status. Owns what may follow what; does not know pieces, lines or who asks.
"""

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, get_args

DispatchStatus = Literal[
    "waiting",
    "ready",
    "running",
    "held",
    "suspended",
    "completed",
    "closed",
    "aborted",
    "cancelled",
]
OrderCommand = Literal[
    "start",
    "revoke-start",
    "pause",
    "resume",
    "hold",
    "unhold",
    "complete",
    "close",
    "stop",
    "abort",
    "cancel",
    "clear",
    "update",
    "split",
    "move",
]
OrderFact = Literal["released", "turn", "begun", "made", "left", "given-away"]
"""What moves an order without being asked for: its release (again: a higher revision), its turn in
the queue, a first load or count, the quantity being there, every operation having had it and none
having it any more, all of it being split off or moved."""
Trigger = OrderCommand | OrderFact
Schedule = Literal["on-time", "at-risk", "behind", "late"]
"""`behind`: late at this rate, in time at the ideal one. `late`: not even so."""

STATUSES: Final[tuple[DispatchStatus, ...]] = get_args(DispatchStatus)
COMMANDS: Final[tuple[OrderCommand, ...]] = get_args(OrderCommand)
ENDED: Final[frozenset[str]] = frozenset({"completed", "closed", "aborted", "cancelled"})

JOB_STATES: Final[dict[DispatchStatus, str]] = {
    "waiting": "NotAllowedToStart",
    "ready": "AllowedToStart",
    "running": "Running",
    "held": "Interrupted",
    "suspended": "Interrupted",
    "completed": "Ended",
    "closed": "Ended",
    "aborted": "Aborted",
    "cancelled": "Aborted",
}
"""The state of OPC 10031-4 that each status is a sub-state of; there, cancelled orders are gone."""

_BEFORE: Final[tuple[DispatchStatus, ...]] = ("waiting", "ready")
_INTERRUPTED: Final[tuple[DispatchStatus, ...]] = ("held", "suspended")
_UNDER_WAY: Final[tuple[DispatchStatus, ...]] = ("running", *_INTERRUPTED)
_OPEN: Final[tuple[DispatchStatus, ...]] = (*_BEFORE, *_UNDER_WAY)
_OVER: Final[tuple[DispatchStatus, ...]] = ("completed", "closed", "aborted", "cancelled")


class _Row(NamedTuple):
    """From each of some states a trigger leads to one state; None: it stays as it is."""

    trigger: Trigger
    states: tuple[DispatchStatus, ...]
    to: DispatchStatus | None = None


_ROWS: Final[tuple[_Row, ...]] = (
    _Row("released", _OPEN),
    _Row("turn", ("waiting",), "ready"),
    _Row("begun", _BEFORE, "running"),
    _Row("made", _UNDER_WAY, "completed"),
    _Row("left", ("running",), "completed"),
    _Row("given-away", _OPEN, "cancelled"),
    _Row("start", _BEFORE, "ready"),
    _Row("start", ("running",)),
    _Row("revoke-start", _BEFORE, "waiting"),
    _Row("pause", ("running", "held"), "suspended"),
    _Row("resume", ("suspended",), "running"),
    _Row("hold", ("running", "suspended"), "held"),
    _Row("unhold", ("held",), "running"),
    _Row("complete", _UNDER_WAY, "completed"),
    _Row("stop", _UNDER_WAY, "completed"),
    _Row("close", ("completed",), "closed"),
    _Row("abort", _OPEN, "aborted"),
    _Row("cancel", _OPEN, "cancelled"),
    _Row("clear", _OVER),
    _Row("update", _OPEN),
    _Row("split", _OPEN),
    _Row("move", _OPEN),
)
NEXT: Final[dict[tuple[DispatchStatus, Trigger], DispatchStatus]] = {
    (state, row.trigger): row.to or state for row in _ROWS for state in row.states
}
"""The state after a trigger. A command without a row is refused; a fact without one moves nothing:
counts and loads are never refused."""


class Fields(NamedTuple):
    """What a command takes beside `order_id`, `actor` and `reason`."""

    needed: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()


_NONE: Final = Fields()
COMMAND_FIELDS: Final[dict[str, Fields]] = {
    **dict.fromkeys(COMMANDS, _NONE),
    "start": Fields(also=("cell",)),
    "update": Fields(one_of=("quantity", "priority", "due_ms")),
    "split": Fields(needed=("quantity",), also=("new_order_id",)),
    "move": Fields(needed=("to_line",), also=("quantity", "new_order_id")),
}


def after(status: DispatchStatus, trigger: Trigger) -> DispatchStatus:
    """The state after a fact, which may be the same."""
    return NEXT.get((status, trigger), status)


def possible(status: DispatchStatus) -> tuple[OrderCommand, ...]:
    """The commands that a state accepts."""
    return tuple(command for command in COMMANDS if (status, command) in NEXT)


def refusal(order_id: str, status: DispatchStatus, command: OrderCommand) -> str:
    """Why a command has no row, in words: `PO-1 is held: resume is for suspended orders; …`."""
    *most, last = [state for state in STATUSES if (state, command) in NEXT]
    wanted = f"{', '.join(most)} or {last}" if most else last
    asked = ", ".join(possible(status))
    return f"{order_id} is {status}: {command} is for {wanted} orders; now: {asked}"


def diagram() -> str:
    """The table as a Mermaid state diagram; what leaves an order in its state is left out."""
    return "\n".join(["stateDiagram-v2", *(f"    {line}" for line in _lines())])


def _lines() -> Iterator[str]:
    yield "[*] --> waiting : released"
    arrows: dict[tuple[DispatchStatus, DispatchStatus], list[str]] = {}
    for (state, trigger), to in NEXT.items():
        if state != to:
            arrows.setdefault((state, to), []).append(trigger)
    for (state, to), triggers in arrows.items():
        yield f"{state} --> {to} : {', '.join(triggers)}"
    yield from (f"{state} --> [*] : clear" for state in _OVER)
