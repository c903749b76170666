"""What to do about tags that a Modbus device did not tell well, in an engineer's words.

Owns the fixes by reason and what makes a value look wrong. Asks the device again where only it
knows the answer: whether the address beside the one refused can be read. Only reads.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Final

from bridges.modbus.answers import Refusal
from bridges.modbus.config import ModbusSettings, ModbusSource, Order, Table
from bridges.modbus.errors import ModbusError, UnreadableError
from bridges.modbus.layout import decode
from bridges.modbus.line import Line
from bridges.modbus.plan import Block
from uns.model.observation import Reading, Scalar
from uns.model.plant import Place

Key = tuple[str, str]
ASKED_MAX: Final = 20
USUAL_MIN, USUAL_MAX = 1e-6, 1e9
_NO_ADDRESS: Final = re.compile(r"exception [123]\)")
_NO_NUMBER: Final = re.compile(r"the float(32|64) is (nan|inf|-inf)")
_NO_TEXT: Final = re.compile(r"no UTF-8 text|unprintable text")
_OTHER_ORDER: Final[dict[Order, Order]] = {"big": "little", "little": "big"}
_OTHER_TABLE: Final[dict[Table, Table]] = {
    "holding": "input", "input": "holding", "coil": "discrete", "discrete": "coil",
}  # fmt: skip
_FIXES: Final = (
    (r"no connection to",
     "{address} was tried for {timeout_ms} ms: host, port, firewall? another program on it?"),
    (r"closed the connection|nobody had asked",
     "the device hung up: does it allow another connection, is it Modbus at {address}?"),
    (r"no answer within|a reply of unit",
     "the unit is silent: `uns discover modbus` finds who answers; or a longer timeout_ms"),
    (r"exception 1[01]\)", "the gateway cannot reach the unit: check its id, power and wiring"),
    (r"exception [56]\)", "the device is busy: a longer poll_ms or pause_ms"),
    (r"no decimal digits", "no BCD is in there: try type uint16 or uint32"),
)  # fmt: skip


async def fixes(
    settings: ModbusSettings, places: Mapping[str, Place], told: Mapping[Key, Reading]
) -> dict[Key, str]:
    """What to do about each tag that is not good, or whose good value looks wrong.

    A good one is among the fixes only when another `word_order` makes sense of it.
    """
    found = {
        key: fix
        for key, reading in told.items()
        if reading.quality != "good" and (fix := fix_of(reading.reason or "", settings))
    }
    doubtful = {key: r for key, r in told.items() if key not in found and _is_doubtful(r)}
    with closing(Line(settings, lambda: 0)) as line:
        for key, reading in list(doubtful.items())[:ASKED_MAX]:
            source = _source(settings, places, key)
            if fix := await Question(line, source).fix(reading):
                found[key] = fix
    return found


def fix_of(reason: str, settings: ModbusSettings) -> str | None:
    """The fix for a reason, where the reason alone tells it."""
    for pattern, fix in _FIXES:
        if re.search(pattern, reason):
            return fix.format(address=settings.address, timeout_ms=settings.timeout_ms)
    return None


def _is_doubtful(reading: Reading) -> bool:
    if reading.quality == "good":
        return is_absurd(reading.value)
    patterns = (_NO_ADDRESS, _NO_NUMBER, _NO_TEXT)
    return any(pattern.search(reading.reason or "") for pattern in patterns)


def is_absurd(value: Scalar) -> bool:
    """Whether no device is likely to mean a number: much too large, or much too near to 0."""
    return isinstance(value, float) and value != 0 and not USUAL_MIN <= abs(value) <= USUAL_MAX


def _source(settings: ModbusSettings, places: Mapping[str, Place], key: Key) -> ModbusSource:
    tag = places[key[0]].cell.tags[key[1]]
    return ModbusSource.model_validate(tag.source).within(settings)


class Question:
    """One source that was refused or makes no sense, and what the device says beside it."""

    def __init__(self, line: Line, source: ModbusSource) -> None:
        self._line = line
        self._source = source

    async def fix(self, reading: Reading) -> str | None:
        """What to do; None where nothing else is better."""
        if _NO_ADDRESS.search(reading.reason or ""):
            return await self._elsewhere()
        raw = await self._raw(self._source.address, self._source.table)
        if raw is None:
            return None
        if _NO_TEXT.search(reading.reason or ""):
            return self._other("byte_order", _OTHER_ORDER[self._source.byte_order or "big"], raw)
        return self._other("word_order", _OTHER_ORDER[self._source.word_order or "big"], raw)

    async def _elsewhere(self) -> str:
        """Where the device has something, near to where it has not."""
        table, address = self._source.table, self._source.address
        for other in (address - 1, address + 1):
            if other >= 0 and (raw := await self._raw(other, table)) is not None:
                why = "manuals often count from 1" if other < address else "addresses count from 0"
                return f"off by one? {table} {other} can be read ({_shown(raw)}); {why}"
        if await self._raw(address, _OTHER_TABLE[table]) is not None:
            return f"another table? {_OTHER_TABLE[table]} {address} can be read: set table"
        return "neither the addresses beside it nor the other table: `uns discover modbus` looks"

    async def _raw(self, address: int, table: Table) -> Sequence[int] | None:
        """What is at an address, as long as the value; None where it cannot be read."""
        block = Block(table, address, self._source.width, ())
        try:
            await self._line.open()
            reply = await self._line.read(self._source.unit or 0, block)
        except ModbusError:
            return None
        return None if isinstance(reply.values, Refusal) else reply.values

    def _other(self, key: str, order: Order, raw: Sequence[int]) -> str | None:
        """The same registers in another order, if they make sense then."""
        try:
            value = decode(self._source.model_copy(update={key: order}), raw)
        except UnreadableError:
            return None
        if is_absurd(value):
            return None
        return f"try {key}: {order}, which reads {value!r}"


def _shown(raw: Sequence[int]) -> str:
    return f"raw {' '.join(str(int(value)) for value in raw)}"
