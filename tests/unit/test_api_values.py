"""Payloads as i3X tells them (1.0, Query Methods and Null Value Handling), and instants as said."""

import pytest

from tests.speech import LINE, MILL, NOON
from uns.api.i3x.values import LAST_MS, said, timestamp
from uns.api.instants import instant_ms
from uns.codec import encode_tag
from uns.historian.history.period import INSTANT_MAX
from uns.model.observation import Quality, Scalar

BORE = f"{MILL}/_tag/bore"
OEE = f"{LINE}/_state/oee"


@pytest.mark.parametrize(
    ("value", "quality", "told"),
    [
        (1.5, "good", (1.5, "Good")),
        (False, "good", (False, "Good")),
        (1.5, "uncertain", (1.5, "Uncertain")),
        (1.5, "bad", (None, "Bad")),
        (None, "good", (None, "GoodNoData")),
        (None, "uncertain", (None, "Bad")),
        (None, "bad", (None, "Bad")),
    ],
)
def test_a_null_is_never_good_and_what_is_bad_has_no_value(
    value: Scalar, quality: Quality, told: tuple[Scalar, str]
) -> None:
    update = said(BORE, encode_tag(value, NOON, quality, None), 0)
    assert update
    assert (update.value, update.quality) == told
    assert (update.element_id, update.timestamp) == (BORE, "2025-12-11T12:00:00.000Z")


def test_a_document_is_a_value_at_its_instant_or_when_it_came() -> None:
    stamped = said(OEE, b'{"summary":"s","at_ms":%d}' % NOON, 0)
    bare = said(OEE, b'{"summary":"s","at_ms":"noon"}', NOON + 5)
    assert stamped
    assert bare
    assert (stamped.value["summary"], stamped.timestamp[-7:]) == ("s", "00.000Z")
    assert bare.timestamp[-7:] == "00.005Z"


def test_what_was_cleared_has_no_value_any_more() -> None:
    update = said(OEE, b"", NOON)
    assert update
    assert (update.value, update.quality) == (None, "GoodNoData")


@pytest.mark.parametrize("payload", [b"\xff", b"[1]", b"{", b'{"value":NaN}', b'{"value":1}'])
def test_what_is_no_payload_is_no_update(payload: bytes) -> None:
    assert said(BORE, payload, 0) is None


def test_every_instant_has_a_timestamp() -> None:
    assert timestamp(-1) == "1970-01-01T00:00:00.000Z"
    assert timestamp(INSTANT_MAX) == timestamp(LAST_MS) == "9999-12-31T23:59:59.999Z"


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("1765454400000", NOON),
        (NOON, NOON),
        ("2025-12-11T12:00:00Z", NOON),
        ("2025-12-11T13:00:00.250+01:00", NOON + 250),
        ("0001-01-01T00:00:00+14:00", 0),
        ("9" * 16, INSTANT_MAX),
    ],
)
def test_an_instant_is_ms_or_iso_8601_with_a_zone(text: str | int, at_ms: int) -> None:
    assert instant_ms(text) == at_ms


@pytest.mark.parametrize("text", ["", "now", "12:00", "2025-12-11T12:00:00", "-5", "9" * 41, None])
def test_what_is_no_instant_is_refused(text: str | None) -> None:
    with pytest.raises(ValueError, match=r"ISO 8601|zone|longer"):
        instant_ms(text)
