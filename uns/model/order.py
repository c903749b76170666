"""Job orders: the dispatch states of ISA-95 part 4 and which of them a finished order ends in."""

from typing import Final, Literal

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
ENDED: Final[frozenset[str]] = frozenset({"completed", "closed", "aborted", "cancelled"})
