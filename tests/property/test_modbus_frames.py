"""Law of the first doubt: a conforming reply fits at every byte, and nothing else does."""

from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.modbus.config import ModbusSettings
from bridges.modbus.frames import misfit, silence_s
from tests.modbus_devices import with_crc

TRANSPORTS: Final = st.sampled_from(["tcp", "rtu-over-tcp"])
WORD: Final = st.integers(0, 0xFFFF)


class Talk(NamedTuple):
    """A request and a conforming reply, as PDUs."""

    request: bytes
    reply: bytes


def words(*values: int) -> bytes:
    return b"".join(value.to_bytes(2) for value in values)


@st.composite
def talks(draw: st.DrawFn) -> Talk:
    function = draw(st.sampled_from([1, 2, 3, 4, 5, 6, 15, 16, 22]))
    address, first, second = draw(WORD), draw(WORD), draw(WORD)
    if draw(st.booleans()) and function in (3, 6):
        return Talk(bytes([function]) + words(address, 1), bytes([function | 0x80, 2]))
    if function <= 4:
        count = draw(st.integers(1, 2000 if function <= 2 else 125))
        size = (count + 7) // 8 if function <= 2 else 2 * count
        return Talk(
            bytes([function]) + words(address, count), bytes([function, size]) + b"\x5a" * size
        )
    if function == 22:
        both = bytes([function]) + words(address, first, second)
        return Talk(both, both)
    values = b"\x02" + words(second) if function in (15, 16) else b""
    both = bytes([function]) + words(address, first)
    return Talk(both + values, both)


def frame(transport: str, pdu: bytes, unit: int, transaction: int) -> bytes:
    if transport == "tcp":
        return words(transaction, 0, len(pdu) + 1) + bytes([unit]) + pdu
    return with_crc(bytes([unit]) + pdu)


@given(transport=TRANSPORTS, talk=talks(), unit=st.integers(0, 247), number=WORD)
def test_a_conforming_reply_fits_at_every_byte(
    transport: Any, talk: Talk, unit: int, number: int
) -> None:
    asked, heard = (frame(transport, pdu, unit, number) for pdu in talk)
    for size in range(len(heard) + 1):
        assert misfit(transport, asked, heard[:size]) is None
    assert misfit(transport, asked, heard + b"\0")


@given(talk=talks(), unit=st.integers(0, 247), number=WORD, other=WORD)
def test_a_reply_to_another_transaction_never_fits(
    talk: Talk, unit: int, number: int, other: int
) -> None:
    asked, heard = frame("tcp", talk.request, unit, number), frame("tcp", talk.reply, unit, other)
    assert (misfit("tcp", asked, heard) is None) == (number == other)


@given(transport=TRANSPORTS, talk=talks(), unit=st.integers(0, 247), other=st.integers(0, 247))
def test_a_reply_of_another_unit_never_fits(
    transport: Any, talk: Talk, unit: int, other: int
) -> None:
    asked, heard = frame(transport, talk.request, unit, 1), frame(transport, talk.reply, other, 1)
    assert (misfit(transport, asked, heard) is None) == (unit == other)


@given(transport=TRANSPORTS, talk=talks(), other=talks())
def test_a_reply_to_another_request_fits_only_if_nothing_tells_them_apart(
    transport: Any, talk: Talk, other: Talk
) -> None:
    asked, heard = frame(transport, talk.request, 1, 1), frame(transport, other.reply, 1, 1)
    if misfit(transport, asked, heard) is None:
        assert talk.request[0] == other.reply[0] & 0x7F
        if not other.reply[0] & 0x80:
            assert len(other.reply) == len(talk.reply) or talk.reply[0] & 0x80


@pytest.mark.parametrize("function", [5, 6, 15, 16, 22])
@given(address=WORD, other=WORD)
def test_a_reply_to_a_write_elsewhere_never_fits(function: int, address: int, other: int) -> None:
    asked, reply = (bytes([function]) + words(place, 1, 2) for place in (address, other))
    heard = frame("tcp", reply if function == 22 else reply[:5], 1, 1)
    assert (misfit("tcp", frame("tcp", asked, 1, 1), heard) is None) == (address == other)


@pytest.mark.parametrize(
    ("keys", "silent_s"),
    [
        ({"host": "plc"}, 0.0),
        ({"host": "plc", "pause_ms": 50}, 0.05),
        ({"transport": "serial", "device": "a", "baud_rate": 9_600}, 3.5 * 11 / 9_600),
        ({"transport": "serial", "device": "a", "baud_rate": 115_200}, 0.001_75),
        ({"transport": "serial", "device": "a", "pause_ms": 50}, 0.05),
    ],
)
def test_the_silent_interval_is_that_of_the_standard(keys: dict[str, Any], silent_s: float) -> None:
    assert silence_s(ModbusSettings.model_validate(keys)) == pytest.approx(silent_s)
