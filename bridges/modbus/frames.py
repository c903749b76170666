"""Whether bytes that arrive fit the request they would answer: the first doubt about a connection.

Owns the shape of frames: Modbus Messaging on TCP/IP V1.0b 3.1.3 (header), Modbus over Serial Line
V1.02 2.5.1 (RTU, silence), Application Protocol V1.1b3 section 6 (replies). Knows no socket.
"""

from typing import Final, NamedTuple

from bridges.modbus.config import ModbusSettings, Transport
from bridges.modbus.layout import MASK_WRITE

RTU_SILENCE_S_MIN: Final = 0.001_75
RTU_SILENCE_CHARACTERS: Final = 3.5
BITS_PER_CHARACTER: Final = 11
EXCEPTION_BIT: Final = 0x80
_BIT_READS: Final = frozenset({1, 2})
_REGISTER_READS: Final = frozenset({3, 4})
_IDENTIFY: Final = 43
_ECHOES: Final = {5: 3, 6: 3, 15: 5, 16: 5, 22: 3, 43: 3}
"""Function and address; of many, also how many; of an identification, what was asked for."""


class _Ends(NamedTuple):
    """Bytes of a frame before and behind its PDU; the unit id is the last one before."""

    before: int
    behind: int


_ENDS: Final[dict[Transport, _Ends]] = {
    "tcp": _Ends(7, 0),
    "rtu-over-tcp": _Ends(1, 2),
    "serial": _Ends(1, 2),
}


def silence_s(settings: ModbusSettings) -> float:
    """How long nothing must be heard before a request: 3.5 characters of RTU, or the rest asked."""
    rest_s = settings.pause_ms / 1000
    if settings.transport == "tcp":
        return rest_s
    characters_s = RTU_SILENCE_CHARACTERS * BITS_PER_CHARACTER / settings.baud_rate
    return max(rest_s, characters_s, RTU_SILENCE_S_MIN)


def pdu_of(transport: Transport, frame: bytes) -> bytes:
    """A complete frame without its ends."""
    before, behind = _ENDS[transport]
    return frame[before : len(frame) - behind]


def misfit(transport: Transport, asked: bytes, heard: bytes) -> str | None:
    """Why `heard`, the bytes since the request `asked`, cannot be its reply; None if they may be.

    asked: the frame of the request. heard: a reply's frame, or the first bytes of it.
    """
    before, behind = _ENDS[transport]
    request, reply = pdu_of(transport, asked), heard[before:]
    reason = _header_misfit(transport, asked, heard)
    if reason or not reply:
        return reason
    if request[0] == _IDENTIFY:  # its texts say how long it is, so only its begin can misfit
        return pdu_misfit(request, reply)
    size = _size(request, reply)
    if not (reason := pdu_misfit(request, reply)):
        if transport == "tcp" and (said := int.from_bytes(heard[4:6])) != size + 1:
            reason = f"a reply that says {said} bytes follow, not {size + 1}"
        elif len(reply) > size + behind:
            reason = f"{len(reply) - size - behind} bytes behind the reply"
    return reason


def _header_misfit(transport: Transport, asked: bytes, heard: bytes) -> str | None:
    """Transaction and protocol id are the first four bytes of TCP; the unit id is the last."""
    unit = _ENDS[transport].before - 1
    if transport == "tcp" and len(heard) > unit and asked[:4] != heard[:4]:
        return f"a reply to request {int.from_bytes(heard[:2])}, not {int.from_bytes(asked[:2])}"
    if len(heard) > unit and heard[unit] != asked[unit]:
        return f"a reply of unit {heard[unit]}, not {asked[unit]}"
    return None


def pdu_misfit(request: bytes, reply: bytes) -> str | None:
    """The same for PDUs: function, byte count, the place of a write.

    What a device says it wrote is not looked at: it is read back.
    """
    function = request[0]
    if reply[0] == function | EXCEPTION_BIT:
        return None
    if reply[0] != function:
        return f"a reply to function {reply[0] & ~EXCEPTION_BIT}, not {function}"
    if function in _BIT_READS | _REGISTER_READS:
        wanted = _size(request, reply) - 2
        if len(reply) > 1 and reply[1] != wanted:
            return f"a reply of {reply[1]} bytes, not {wanted}"
        return None
    echo = request[: _ECHOES[function]]
    if reply[: len(echo)] != echo[: len(reply)]:
        return "a reply to another write"
    return None


def _size(request: bytes, reply: bytes) -> int:
    """Bytes of the PDU that answers a request; `reply` is at least its function."""
    function = request[0]
    if reply[0] & EXCEPTION_BIT:
        return 2
    count = int.from_bytes(request[3:5])
    if function in _BIT_READS:
        return 2 + (count + 7) // 8
    if function in _REGISTER_READS:
        return 2 + 2 * count
    return 7 if function == MASK_WRITE else 5
