"""One set-point on its way to a device: written, then read back until the device shows it.

Owns the steps and their words. Does not know the wire (line.py) or how values are laid out
(layout.py). Between two steps the line is free for others.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from bridges.modbus.answers import NO_SUCH_FUNCTION, Refusal, written_back
from bridges.modbus.config import ModbusSettings
from bridges.modbus.errors import AbsentError, ModbusError, UnaskedError, UnwritableError
from bridges.modbus.layout import MASK_WRITE, Write, decode, encode, modified, write_of
from bridges.modbus.line import Line
from bridges.modbus.plan import Point, block_of
from uns.model.observation import Observation, Scalar, SetPoint, Written

READ_BACKS_MAX: Final = 5
READ_BACK_PERIOD_S: Final = 0.1
NOT_KNOWN: Final = "whether the device took it is not known"


class Writing:
    """A set-point for a point; `due_s` is when it wants the line again, by the loop's time."""

    def __init__(
        self,
        set_point: SetPoint,
        point: Point,
        settings: ModbusSettings,
        clock: Callable[[], int],
    ) -> None:
        self.due_s = asyncio.get_running_loop().time()
        self.is_over = False
        self._set_point = set_point
        self._point = point
        self._unit = point.source.unit or 0
        self._settings = settings
        self._clock = clock
        self._wanted: Sequence[int] = ()
        self._read_backs = 0
        self._is_out = False

    async def turn(self, line: Line) -> list[Observation]:
        """The next step; the answer, once there is one."""
        try:
            if not self._wanted:
                await self._write(line)
            value = await self._shown(line)
        except AbsentError as error:
            return [self.lost(str(error))]
        except ModbusError as error:
            return [self.failed(str(error))]
        if not self.is_over:
            return []
        s = self._set_point
        return [Written(s.request_id, s.cell, s.tag, self._clock(), value)]

    def failed(self, reason: str) -> Written:
        """End it with a reason."""
        self.is_over = True
        s = self._set_point
        return Written(s.request_id, s.cell, s.tag, self._clock(), reason=reason)

    def lost(self, reason: str) -> Written:
        """End it with its unit or the connection; a request that went out may have been done."""
        return self.failed(f"{reason}: {NOT_KNOWN}" if self._is_out else reason)

    async def _write(self, line: Line) -> None:
        source, single = self._point.source, self._settings.single_write
        wanted = encode(source, self._set_point.value)
        write = write_of(source, wanted, single=single)
        refusal = await self._sent(line, write)
        if refusal and (write.function, refusal.code) == (MASK_WRITE, NO_SUCH_FUNCTION):
            if not self._settings.read_modify_write:
                raise UnwritableError(
                    "the device cannot write bits of a register (function 22); "
                    "read_modify_write: true writes the whole register"
                )
            before = await self._read(line)
            write = modified(source, before[0], wanted, single=single)
            refusal = await self._sent(line, write)
        if refusal:
            raise UnwritableError(f"the device refused it: {refusal.reason}")
        self._wanted = wanted

    async def _sent(self, line: Line, write: Write) -> Refusal | None:
        self._is_out = True
        try:
            refusal = await line.write(self._unit, write)
        except UnaskedError:
            self._is_out = False
            raise
        self._is_out = refusal is None
        return refusal

    async def _shown(self, line: Line) -> Scalar:
        """What the device shows; it may take a few of its cycles until that is the value."""
        shown = await self._read(line)
        self._read_backs += 1
        is_there = decode(self._point.source, shown) == decode(self._point.source, self._wanted)
        if is_there or self._read_backs >= READ_BACKS_MAX:
            self.is_over = True
            return written_back(self._point, self._wanted, shown)
        self.due_s = asyncio.get_running_loop().time() + READ_BACK_PERIOD_S
        return None

    async def _read(self, line: Line) -> Sequence[int]:
        reply = await line.read(self._unit, block_of(self._point))
        if isinstance(reply.values, Refusal):
            done = "written, but " if self._wanted else ""
            raise UnwritableError(f"{done}not to be read back: {reply.values.reason}")
        return reply.values
