"""What can be read of the units behind one connection, found by asking. Only reads.

Owns the order and the number of the questions. What the answers could mean is proposal.py's. A
device is asked politely: one request at a time, with the settings' pause before each, never more
than a bound, and no longer when it does not answer any more.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from bridges.modbus.answers import ABOUT_ADDRESSES, NO_SUCH_FUNCTION, OF_THE_GATEWAY, Refusal, Reply
from bridges.modbus.config import BIT_TABLES, ModbusSettings, Table
from bridges.modbus.errors import AbsentError, LostError
from bridges.modbus.line import Line
from bridges.modbus.plan import Block
from bridges.modbus.proposal import Span, Unit, merged

TABLES: Final[tuple[Table, ...]] = ("holding", "input", "coil", "discrete")
REGISTERS_A_REQUEST: Final = 125
BITS_A_REQUEST: Final = 2_000
DEVICE_FAILURE: Final = 4
DIVISIBLE: Final = ABOUT_ADDRESSES | {DEVICE_FAILURE}
"""Exceptions that a smaller block may not get: some devices say 4 for an address they lack."""
SILENCES_MAX: Final = 3
UNLIKELY_UNIT: Final = 247
READ: Final = "read"
IDENTITY: Final = {0: "vendor", 1: "product", 2: "revision"}


class Part(NamedTuple):
    """Addresses to ask for, and how often they were halved."""

    table: Table
    start: int
    size: int
    depth: int = 0

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.start + self.size

    def halves(self) -> list["Part"]:
        """Two parts for one; nothing of a single address."""
        if self.size == 1:
            return []
        half = self.size // 2
        return [
            Part(self.table, self.start, half, self.depth + 1),
            Part(self.table, self.start + half, self.size - half, self.depth + 1),
        ]


class Scanner:
    """One connection; `requests` counts what was asked of all its units."""

    def __init__(self, settings: ModbusSettings, addresses: range, requests_max: int) -> None:
        self.requests = 0
        self._settings = settings
        self._addresses = addresses
        self._requests_max = requests_max
        self._line = Line(settings, lambda: 0)

    def close(self) -> None:
        """Drop the connection."""
        self._line.close()

    async def answer(self, unit: int) -> str | None:
        """How a unit answers: READ, or the words of its refusal; None where nobody is there."""
        try:
            reply = await self._read(unit, Part("holding", self._addresses.start, 1))
        except AbsentError:
            return None
        if not isinstance(reply.values, Refusal):
            return READ
        return None if reply.values.code in OF_THE_GATEWAY else reply.values.reason

    async def anybody(self, units: Sequence[int]) -> str | None:
        """How the connection answers for an id that nobody has: many that speak TCP do."""
        if len(units) == 1 or self._settings.transport != "tcp" or UNLIKELY_UNIT in units:
            return None
        return await self.answer(UNLIKELY_UNIT)

    async def survey(self, unit: int) -> Unit:
        """Everything that a unit lets be read, as far as the requests go. Raises LostError."""
        survey = Survey(self._addresses)
        last, silences = self.requests + self._requests_max, 0
        while (part := survey.next()) and self.requests < last and silences < SILENCES_MAX:
            try:
                survey.told(part, await self._read(unit, part))
                silences = 0
            except AbsentError as error:
                survey.silent(part, str(error))
                silences += 1
        is_silent = silences == SILENCES_MAX
        if is_silent:
            survey.remarks.append(f"asked no further: no answer {SILENCES_MAX} times in a row")
        elif survey.waiting:
            survey.remarks.append(
                f"{len(survey.waiting)} ranges that were refused as a whole were not looked at "
                "closer: give their addresses with --addresses, or raise --requests"
            )
        identity = () if is_silent else await self._identity(unit)
        return Unit(unit, identity, merged(survey.spans), tuple(survey.remarks))

    async def _identity(self, unit: int) -> tuple[str, ...]:
        try:
            await self._ready(unit)
            self.requests += 1
            told = await self._line.identity(unit)
        except (AbsentError, LostError):
            return ()
        return tuple(
            f"{words}: {told[key].decode('ascii', 'replace')}"
            for key, words in IDENTITY.items()
            if told.get(key)
        )

    async def _read(self, unit: int, part: Part) -> Reply:
        """LostError where there never was a connection; a later end of it is an AbsentError."""
        try:
            await self._ready(unit)
            self.requests += 1
            return await self._line.read(unit, Block(part.table, part.start, part.size, ()))
        except LostError as error:
            if not self.requests:
                raise
            raise AbsentError(str(error)) from error

    async def _ready(self, unit: int) -> None:
        """Connect; let a late answer pass, which on a serial line nothing tells from the next."""
        await self._line.open()
        if self._line.owes(unit):
            self.requests += 1
            await self._line.read(unit, Block("holding", self._addresses.start, 1, ()))
            self._line.settled(unit)


def worth_asking(answers: Mapping[int, str], anybody: str | None) -> list[int]:
    """The units to look at: of those that answer as an id does that nobody has, one at most.

    answers: how each unit answers; anybody: how the unlikely id does, None for not at all.
    """
    if anybody is None:
        return list(answers)
    own = [unit for unit, said in answers.items() if said != anybody]
    alike = [unit for unit, said in answers.items() if said == anybody]
    return own + alike[: int(anybody == READ or not own)]


class Survey:
    """What is known of a unit's addresses, and what to ask next: beside what is known first."""

    def __init__(self, addresses: range) -> None:
        self.spans: list[Span] = []
        self.remarks: list[str] = []
        self.waiting = [part for table in TABLES for part in _parts(table, addresses)]
        self._edges = {(table, addresses.start) for table in TABLES}

    def next(self) -> Part | None:
        """The next question: near to what can be read, then the largest, then the lowest."""
        if not self.waiting:
            return None
        part = min(self.waiting, key=self._rank)
        self.waiting.remove(part)
        return part

    def _rank(self, part: Part) -> tuple[bool, int, int, int]:
        edges = {(part.table, part.start), (part.table, part.end)}
        return not edges & self._edges, part.depth, TABLES.index(part.table), part.start

    def told(self, part: Part, reply: Reply) -> None:
        """What a part was answered with."""
        match reply.values:
            case Refusal(code) if code == NO_SUCH_FUNCTION:
                self.waiting = [one for one in self.waiting if one.table != part.table]
                self.remarks.append(f"no table {part.table}: {reply.values.reason}")
            case Refusal(code) if code in DIVISIBLE:
                self.waiting += part.halves()
            case Refusal():
                self._remark(part, reply.values.reason)
            case values:
                self.spans.append(Span(part.table, part.start, tuple(map(int, values))))
                self._edges |= {(part.table, part.start), (part.table, part.end)}

    def silent(self, part: Part, reason: str) -> None:
        """A part that was not answered."""
        self._remark(part, reason)

    def _remark(self, part: Part, reason: str) -> None:
        self.remarks.append(f"{part.table} {part.start} to {part.end - 1}: {reason}")


def _parts(table: Table, addresses: range) -> list[Part]:
    step = BITS_A_REQUEST if table in BIT_TABLES else REGISTERS_A_REQUEST
    starts = range(addresses.start, addresses.stop, step)
    return [Part(table, start, min(step, addresses.stop - start)) for start in starts]
