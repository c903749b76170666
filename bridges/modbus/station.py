"""One unit of a connection: when it is due, what it is asked and what it said last.

Owns the polls of its unit and whether it is up. Does not know the wire (line.py), what registers
mean (layout.py) or the other units.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from random import SystemRandom
from typing import Final

from bridges.modbus.answers import (
    ABOUT_ADDRESSES,
    OF_THE_GATEWAY,
    Refusal,
    changed,
    readings,
)
from bridges.modbus.config import ModbusSettings
from bridges.modbus.errors import AbsentError
from bridges.modbus.line import Line
from bridges.modbus.plan import Block, Point, halves, next_due_s, plan
from uns.model.observation import Link, Observation, Reading
from uns.mqtt.reconnect import DELAY_MAX_S, delay_s

NEIGHBOURLY_TIMEOUTS: Final = 10  # a lost unit costs the others one of them a try
PLAN_S_MAX: Final = 60.0  # for as long a refusal splits the requests

log = logging.getLogger(__name__)
jitter = SystemRandom().random


class Station:
    """A unit and its tags; `due_s` is when it wants the line again, by the loop's time.

    reason: why it is not up, the latest; empty while up and before the first contact.
    neighbours: the units of the same line.
    """

    def __init__(
        self,
        unit: int,
        points: Sequence[Point],
        settings: ModbusSettings,
        clock: Callable[[], int],
    ) -> None:
        self.unit = unit
        self.points = points
        self.endpoint = f"{settings.address}/{unit}"
        self.due_s = asyncio.get_running_loop().time()
        self.is_up = False
        self.reason = ""
        self.neighbours: Sequence[Station] = ()
        self._attempts = 0
        self._settings = settings
        self._clock = clock
        self._plan_anew()
        self._known: dict[tuple[str, str], Reading] = {}
        self._taken: list[Reading] = []
        self._every = frozenset((p.cell, p.tag) for p in points if p.is_every)

    async def turn(self, line: Line) -> list[Observation]:
        """Poll once; what is news."""
        at_ms = self._clock()
        try:
            if line.owes(self.unit) and self._blocks:
                return await self._knock(line)
            await self._poll(line)
        except AbsentError as error:
            return self._absent(str(error))
        news, self._taken = self._news(self._taken), []
        self._attempts = 0
        now_s = asyncio.get_running_loop().time()
        self.due_s = next_due_s(self.due_s, now_s, self._settings.poll_ms / 1000)
        if self.is_up:
            return list(news)
        log.info("%s: connected", self.endpoint)
        self.is_up, self.reason = True, ""
        return [Link(self.endpoint, self._feeds(), up=True, at_ms=at_ms), *news]

    def lost(self, reason: str) -> list[Observation]:
        """Start anew with the next poll; the link's end, unless it was down before.

        Of a poll that was cut short only the samples that count each are told: the rest would show
        half a moment.
        """
        was_down = bool(self.reason)
        samples = [r for r in self._taken if self.is_up and (r.cell, r.tag) in self._every]
        self._taken = []
        self.is_up, self.reason = False, reason
        self._plan_anew()
        self._known = {}
        if was_down:
            return []
        log.warning("%s: %s", self.endpoint, reason)
        end = Link(self.endpoint, self._feeds(), up=False, at_ms=self._clock(), reason=reason)
        return [*samples, end]

    def _plan_anew(self) -> None:
        self._blocks = plan(self.points, self._settings)
        self._planned_s = asyncio.get_running_loop().time()

    def _feeds(self) -> tuple[tuple[str, str], ...]:
        return tuple((point.cell, point.tag) for point in self.points)

    def _absent(self, reason: str) -> list[Observation]:
        """Lost alone: leave the line to the others for a while."""
        told = self.lost(reason)
        self.due_s = asyncio.get_running_loop().time() + self._back_off_s()
        self._attempts += 1
        return told

    def _back_off_s(self) -> float:
        """Longer from try to try; at least the time in which a late reply may come."""
        timeout_s = self._settings.timeout_ms / 1000
        most_s = DELAY_MAX_S
        if self._settings.back_off_ms_max:
            most_s = self._settings.back_off_ms_max / 1000
        elif any(station.is_up for station in self.neighbours):
            most_s = NEIGHBOURLY_TIMEOUTS * timeout_s
        pause_s = delay_s(self._attempts, jitter(), most_s)
        return pause_s if self._settings.has_transaction_ids else max(pause_s, timeout_s)

    async def _knock(self, line: Line) -> list[Observation]:
        """Ask for an answer that is not believed, as it may be a late one.

        What else is late comes within the time-out after it, while this unit is not asked.
        """
        await line.read(self.unit, self._blocks[0])
        line.settled(self.unit)
        self.due_s = asyncio.get_running_loop().time() + self._settings.timeout_ms / 1000
        return []

    async def _poll(self, line: Line) -> None:
        """Take the requests of a poll, back to back.

        A refused address among several is found by halving, once a minute: one wrong address costs
        its own tag and none of the neighbours, and a refusal that has passed no more requests.
        """
        if asyncio.get_running_loop().time() >= self._planned_s + PLAN_S_MAX:
            self._plan_anew()
        blocks = list[Block]()
        waiting = self._blocks[::-1]
        while waiting:
            block = waiting.pop()
            reply = await line.read(self.unit, block)
            if isinstance(reply.values, Refusal):
                if reply.values.code in OF_THE_GATEWAY:
                    raise AbsentError(reply.values.reason)
                if reply.values.code in ABOUT_ADDRESSES and len(block.points) > 1:
                    waiting += halves(block)[::-1]
                    continue
            blocks.append(block)
            self._taken += readings(block, reply)
        self._blocks = blocks

    def _news(self, batch: Sequence[Reading]) -> list[Reading]:
        """What differs from the last poll, and every sample of the tags of which each counts."""
        new = {(reading.cell, reading.tag): reading for reading in changed(self._known, batch)}
        self._known.update(new)
        return [r for r in batch if (r.cell, r.tag) in new or (r.cell, r.tag) in self._every]
