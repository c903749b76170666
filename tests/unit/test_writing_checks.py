"""Which requests to write become set-points, and what the others are told."""

from typing import Any, NamedTuple

import pytest
from pydantic import ValidationError

from tests.example import WASH, plant
from uns.model.commands import WriteTag
from uns.model.observation import Reading, Scalar, SetPoint
from uns.model.plant import Cell, TagSpec
from uns.model.writable import Writable
from uns.model.writing import Situation, check

NOW_MS = 100_000
STATE = {"tag": "state", "one_of": ["STOPPED", "IDLE"]}
SPECS: dict[str, Any] = {
    "bath": {"unit": "degC", "writable": {"minimum": 40, "maximum": 75}},
    "pump": {"writable": {"one_of": [True, False]}},
    "recipe": {"writable": {"one_of": ["A", "B"]}},
    "locked": {"writable": {"minimum": 0, "maximum": 9, "interlock": [STATE]}},
    "guarded": {
        "writable": {
            "minimum": 0,
            "maximum": 9,
            "interlock": [{"tag": "seen", "one_of": [True]}],
        }
    },
    "slow": {"writable": {"minimum": 0, "maximum": 9, "interval_ms_min": 5_000}},
    "seen": {},
    "state": {"role": "state"},
}
IDLE, EXECUTE = 4, 6


def cell() -> Cell:
    tags = {name: TagSpec(source={"node": f"s={name}"}, **keys) for name, keys in SPECS.items()}
    return plant().cells[WASH].cell.model_copy(update={"tags": tags})


READINGS: dict[str, Scalar] = {
    "bath": 61.0, "pump": False, "recipe": "A", "locked": 1, "guarded": 1, "slow": 1,
    "seen": 1, "state": IDLE,
}  # fmt: skip


class Case(NamedTuple):
    tag: str
    value: Any
    reason: str = ""
    state: Scalar = IDLE
    last_ms: int | None = None
    under_way: bool = False
    expires_at_ms: int | None = None
    quality: Any = "good"


CASES = {
    "in range": Case("bath", 58.5),
    "at the lower limit": Case("bath", 40),
    "at the upper limit": Case("bath", 75),
    "a boolean": Case("pump", value=True),
    "a text of the list": Case("recipe", "B"),
    "interlock holds": Case("locked", 2, state=IDLE),
    "interval is over": Case("slow", 2, last_ms=NOW_MS - 5_000),
    "not expired": Case("bath", 50, expires_at_ms=NOW_MS),
    "below": Case("bath", 39.9, "39.9 is outside 40 to 75 degC"),
    "above": Case("bath", 75.1, "75.1 is outside 40 to 75 degC"),
    "not in the list": Case("recipe", "C", "'C' is none of 'A', 'B'"),
    "one is not true": Case("pump", 1, "pump holds a boolean, and 1 is a number"),
    "true is not one": Case(
        "bath", value=True, reason="bath holds a number, and true is a boolean"
    ),
    "a text for a number": Case("bath", "hot", "bath holds a number, and 'hot' is a text"),
    "unknown tag": Case("bth", 1, f"there is no tag 'bth' at {WASH}"),
    "not writable": Case("seen", 1, "seen is not writable"),
    "expired": Case("bath", 50, "it came 1 ms after it had expired", expires_at_ms=NOW_MS - 1),
    "bad quality": Case("bath", 50, "bath is bad: cable cut", quality="bad"),
    "uncertain quality": Case("bath", 50, "bath is uncertain: cable cut", quality="uncertain"),
    "interlock open": Case(
        "locked", 2, "interlock: state is 'EXECUTE', and must be 'STOPPED' or 'IDLE'", state=EXECUTE
    ),
    "interlock of another type": Case("guarded", 2, "interlock: seen is 1, and must be true"),
    "interlock unknown": Case("locked", 2, "interlock: state is not known", state=None),
    "under way": Case("bath", 50, "a write of bath is under way", under_way=True),
    "too fast": Case("slow", 2, "may be written again in 1 ms", last_ms=NOW_MS - 4_999),
}


@pytest.mark.parametrize("name", CASES)
def test_a_request_is_taken_or_refused_in_an_operators_words(name: str) -> None:
    case = CASES[name]
    readings = {
        tag: Reading(WASH, tag, value, NOW_MS) for tag, value in READINGS.items() if tag != "state"
    }
    if case.state is not None:
        readings["state"] = Reading(WASH, "state", case.state, NOW_MS)
    if case.quality != "good" and case.tag in readings:
        value = readings[case.tag].value
        readings[case.tag] = Reading(WASH, case.tag, value, NOW_MS, case.quality, "cable cut")
    request = WriteTag(request_id="r1", value=case.value, expires_at_ms=case.expires_at_ms)
    situation = Situation(readings, case.last_ms, case.under_way, NOW_MS)
    answer = check(WASH, cell(), case.tag, request, situation)
    if case.reason:
        assert isinstance(answer, str)
        assert case.reason in answer
    else:
        assert answer == SetPoint("r1", WASH, case.tag, case.value)


def test_nothing_was_read_yet() -> None:
    answer = check(WASH, cell(), "bath", WriteTag(request_id="r", value=50.0), _unknown())
    assert answer == "nothing was read from bath yet"


def _unknown() -> Situation:
    return Situation({}, None, under_way=False, now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({}, "needs 'minimum' and 'maximum', or 'one_of'"),
        ({"minimum": 1}, "needs 'minimum' and 'maximum', or 'one_of'"),
        ({"minimum": 2, "maximum": 1}, "minimum 2 is above maximum 1"),
        ({"minimum": 1, "one_of": [1]}, "instead of"),
        ({"one_of": []}, "at least 1"),
        ({"minimum": float("nan"), "maximum": 1}, "finite"),
    ],
)
def test_a_writable_tag_is_always_bounded(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Writable.model_validate(keys)


@pytest.mark.parametrize("request_id", ["", "x" * 64, "Ä" * 40])
def test_an_id_that_is_no_topic_segment_is_refused(request_id: str) -> None:
    with pytest.raises(ValidationError):
        WriteTag(request_id=request_id, value=1)
