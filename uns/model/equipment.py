"""PackML states (ISA-TR88.00.02) by name, their codings per source, and their time element.

Integer codes differ by source (code 4 is IDLE in PackTags, EXECUTE in OPC 30060), so only names
travel in the tree, and a bridge maps codes by the coding its cell names.
"""

from typing import Final, Literal

Element = Literal["apt", "aust", "adet", "adot", "planned", "unknown"]

PACKTAGS: Final[dict[int, str]] = {
    1: "CLEARING",
    2: "STOPPED",
    3: "STARTING",
    4: "IDLE",
    5: "SUSPENDED",
    6: "EXECUTE",
    7: "STOPPING",
    8: "ABORTING",
    9: "ABORTED",
    10: "HOLDING",
    11: "HELD",
    12: "UNHOLDING",
    13: "SUSPENDING",
    14: "UNSUSPENDING",
    15: "RESETTING",
    16: "COMPLETING",
    17: "COMPLETE",
}
UNKNOWN: Final = "UNKNOWN"
STATES: Final = (*PACKTAGS.values(), UNKNOWN)

SET_UP: Final = frozenset({"STARTING", "RESETTING", "COMPLETING"})
ELEMENT_WITH_ORDER: Final[dict[str, Element]] = {
    **dict.fromkeys(PACKTAGS.values(), "adet"),
    **dict.fromkeys(SET_UP, "aust"),
    "EXECUTE": "apt",
    UNKNOWN: "unknown",
}
ELEMENT_WITHOUT_ORDER: Final[dict[str, Element]] = {
    **ELEMENT_WITH_ORDER,
    **dict.fromkeys(("STOPPED", "IDLE", "COMPLETE", "COMPLETING"), "adot"),
}


def state_name(code: int | str, coding: dict[int, str]) -> str:
    """The PackML name of a source's code or word; UNKNOWN where it is neither."""
    if isinstance(code, int):
        return coding.get(code, UNKNOWN)
    name = code.strip().upper()
    return name if name in STATES else UNKNOWN


OPC30060: Final[dict[int, str]] = {
    0: "STOPPED",
    1: "RESETTING",
    2: "IDLE",
    3: "STARTING",
    4: "EXECUTE",
    5: "COMPLETING",
    6: "COMPLETE",
    7: "ABORTING",
    8: "ABORTED",
    9: "STOPPING",
    10: "CLEARING",
    11: "SUSPENDING",
    12: "SUSPENDED",
    13: "UNSUSPENDING",
    14: "HOLDING",
    15: "HELD",
    16: "UNHOLDING",
}
CODINGS: Final[dict[str, dict[int, str]]] = {"packtags": PACKTAGS, "opc30060": OPC30060}
