"""When another worker counts as running a line, by what was heard of it and how long ago."""

import json
from typing import Any

import pytest

from uns.runtime.rivals import RECONNECT_S_MAX, RIVALS_MAX, SILENT_S_MAX, Rivals

LINE = "acme/berlin/machining/housing"
OTHER = "acme/berlin/assembly/packing"
ACTIVE = {"lines": [LINE, OTHER], "active": [LINE]}
WAITING = {"lines": [LINE, OTHER], "active": []}
GONE = {"summary": "b is gone", "gone": True}
AT_S = 100.0
JUST_BEFORE = SILENT_S_MAX - 0.001


@pytest.fixture
def rivals() -> Rivals:
    return Rivals()


def hear(rivals: Rivals, document: Any, at_s: float = AT_S, *, retained: bool = False) -> None:
    rivals.hear("b", json.dumps(document).encode(), at_s, retained=retained)


def test_a_line_that_nobody_runs_has_no_owner(rivals: Rivals) -> None:
    assert rivals.owner(LINE, AT_S) is None
    hear(rivals, WAITING)
    assert rivals.owner(LINE, AT_S) is None


def test_an_owner_is_one_until_it_was_silent_for_too_long(rivals: Rivals) -> None:
    hear(rivals, ACTIVE)
    assert rivals.owner(LINE, AT_S + JUST_BEFORE) == "b"
    assert rivals.owner(OTHER, AT_S) is None
    assert rivals.owner(LINE, AT_S + SILENT_S_MAX) is None


@pytest.mark.parametrize("last_word", [json.dumps(GONE).encode(), b""])
def test_who_says_that_it_is_gone_is_gone_at_once(rivals: Rivals, last_word: bytes) -> None:
    hear(rivals, ACTIVE)
    rivals.hear("b", last_word, AT_S, retained=False)
    assert rivals.owner(LINE, AT_S) is None
    assert not rivals.waits([LINE])


def test_an_old_farewell_of_a_known_worker_is_no_news(rivals: Rivals) -> None:
    hear(rivals, ACTIVE)
    hear(rivals, GONE, retained=True)
    assert rivals.owner(LINE, AT_S) == "b"


def test_what_is_retained_of_a_worker_gives_it_time_to_speak(rivals: Rivals) -> None:
    hear(rivals, ACTIVE, retained=True)
    assert rivals.owner(LINE, AT_S + JUST_BEFORE) == "b"
    assert rivals.owner(LINE, AT_S + SILENT_S_MAX) is None


def test_after_a_connect_others_get_time_to_connect_too(rivals: Rivals) -> None:
    hear(rivals, ACTIVE)
    rivals.patient(AT_S + 10)
    hear(rivals, ACTIVE, AT_S + 10, retained=True)
    assert rivals.owner(LINE, AT_S + 10 + RECONNECT_S_MAX + JUST_BEFORE) == "b"
    assert rivals.owner(LINE, AT_S + 10 + RECONNECT_S_MAX + SILENT_S_MAX) is None


def test_somebody_waits_for_the_lines_that_are_listed_and_for_no_others(rivals: Rivals) -> None:
    hear(rivals, {"lines": [OTHER], "active": []})
    assert rivals.waits([LINE, OTHER])
    assert not rivals.waits([LINE])
    assert not rivals.waits([])


def test_a_worker_of_an_older_hub_runs_what_it_lists(rivals: Rivals) -> None:
    hear(rivals, {"lines": [LINE], "outbox": 0})
    assert rivals.owner(LINE, AT_S) == "b"


@pytest.mark.parametrize("payload", [b"{", b"[1]", b"\xff", b"7", b"[" * 99_999])
def test_what_is_no_document_runs_nothing(rivals: Rivals, payload: bytes) -> None:
    rivals.hear("b", payload, AT_S, retained=False)
    hear(rivals, {"lines": 7, "active": [LINE, 8, None]})
    assert rivals.owner(LINE, AT_S) == "b"
    hear(rivals, {"lines": "acme", "active": {"a": 1}})
    assert rivals.owner(LINE, AT_S) is None


def test_their_number_is_bounded(rivals: Rivals) -> None:
    for n in range(RIVALS_MAX):
        rivals.hear(f"w{n}", json.dumps(WAITING).encode(), AT_S, retained=False)
    hear(rivals, ACTIVE)
    assert rivals.owner(LINE, AT_S) is None
    rivals.hear("w7", json.dumps(ACTIVE).encode(), AT_S, retained=False)
    assert rivals.owner(LINE, AT_S) == "w7"
