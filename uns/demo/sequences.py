"""The ways through PackML (ISA-TR88.00.02) that a machine can take, as lists of legs. Pure.

Hold is for causes inside the machine, suspend for causes outside, abort for breakdowns. The
fault stays up until the machine executes again: it is the reason of the whole stop.
"""

from typing import Final

from uns.demo.fate import Stop
from uns.demo.state import Leg

NO_FAULT: Final = 0
CHANGE_OVER: Final = 31
NO_MATERIAL: Final = 41
NEXT_BLOCKED: Final = 42
CHANGE_OVER_MS: Final = 1_200
START_UP_MS: Final = 900
PAUSE_MS: Final = 500

EXECUTE: Final = Leg("EXECUTE", NO_FAULT, 0)
POWER_UP: Final = (Leg("RESETTING", NO_FAULT, 300), Leg("IDLE", NO_FAULT, 200))
RESUME: Final = (Leg("UNSUSPENDING", NO_FAULT, 200), EXECUTE)


def set_up(*, changed: bool, quiet_ms: int) -> tuple[Leg, ...]:
    """From IDLE with an order in sight; the order is loaded halfway, at rest on both sides."""
    fault, whole_ms = (CHANGE_OVER, CHANGE_OVER_MS) if changed else (NO_FAULT, START_UP_MS)
    half_ms = max(whole_ms // 2, quiet_ms)
    return (Leg("STARTING", fault, half_ms), Leg("STARTING", fault, half_ms, "load"), EXECUTE)


def completion(quiet_ms: int) -> tuple[Leg, ...]:
    """From EXECUTE when the order has all its pieces; it is cleared after the last count."""
    pause_ms = max(PAUSE_MS, quiet_ms)
    return (
        Leg("COMPLETING", NO_FAULT, 200),
        Leg("COMPLETE", NO_FAULT, pause_ms),
        Leg("RESETTING", NO_FAULT, pause_ms, "clear"),
        Leg("IDLE", NO_FAULT, 200),
    )


def suspension(fault: int) -> tuple[Leg, ...]:
    """From EXECUTE when there is nothing to do; ends when the line says so."""
    return Leg("SUSPENDING", fault, 200), Leg("SUSPENDED", fault, 0)


def interruption(stop: Stop) -> tuple[Leg, ...]:
    """From EXECUTE through a stop of the given length and back."""
    if stop.breakdown:
        return _breakdown(stop.fault, stop.duration_ms)
    return (
        Leg("HOLDING", stop.fault, 200),
        Leg("HELD", stop.fault, stop.duration_ms - 400),
        Leg("UNHOLDING", stop.fault, 200),
        EXECUTE,
    )


def _breakdown(fault: int, duration_ms: int) -> tuple[Leg, ...]:
    return (
        Leg("ABORTING", fault, 200),
        Leg("ABORTED", fault, duration_ms - 1_200),
        Leg("CLEARING", fault, 200),
        Leg("STOPPED", fault, 200),
        Leg("RESETTING", fault, 200),
        Leg("IDLE", fault, 200),
        Leg("STARTING", fault, 200),
        EXECUTE,
    )
