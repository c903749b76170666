"""The Modbus bridge: gives the one line to whoever is due, a unit's poll or a set-point.

Owns the order of turns, and when to connect and to ask again. Does not know the wire (line.py),
the polls of a unit (station.py) or the steps of a write (writing.py). Nothing is queued: a turn
comes when what the last one said is durable.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from random import SystemRandom
from typing import Final

from bridges.modbus.config import ModbusSettings
from bridges.modbus.errors import LostError
from bridges.modbus.line import Line
from bridges.modbus.plan import Point, units_of
from bridges.modbus.station import Station
from bridges.modbus.writing import Writing
from uns.model.observation import Observation, SetPoint
from uns.model.plant import Place
from uns.mqtt.reconnect import delay_s

UNREAD: Final = "the device has not answered yet"

jitter = SystemRandom().random


async def observe(
    settings: ModbusSettings,
    places: Mapping[str, Place],
    clock: Callable[[], int],
    set_points: asyncio.Queue[SetPoint],
) -> AsyncGenerator[list[Observation], None]:
    """Batches of observations, for ever: each unit's ups and downs, and one batch a poll with news.

    A unit is up when it has answered one whole poll; that batch has every tag of it.
    clock: plant time in ms.
    set_points: checked values to write; what became of each is among the observations.
    """
    turns = Turns(settings, places, clock, set_points)
    try:
        while True:
            if batch := await turns.next():
                yield batch
    finally:
        turns.close()


class Turns:
    """Who has the line next: the units and the set-points under way, earliest due first.

    A unit that is down may cost a time-out: whoever was due at the end of that goes before the
    next unit that is down. Of several that are down the one due longest is next, so none starves.
    """

    def __init__(
        self,
        settings: ModbusSettings,
        places: Mapping[str, Place],
        clock: Callable[[], int],
        set_points: asyncio.Queue[SetPoint],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._set_points = set_points
        self._line = Line(settings, clock)
        self._stations = {
            unit: Station(unit, points, settings, clock)
            for unit, points in units_of(places, settings).items()
        }
        for station in self._stations.values():
            station.neighbours = tuple(self._stations.values())
        self._points: dict[tuple[str, str], Point] = {
            (point.cell, point.tag): point
            for station in self._stations.values()
            for point in station.points
        }
        self._writings: list[Writing] = []
        self._attempt = 0
        self._open_s = 0.0
        self._in_vain_s = 0.0

    async def next(self) -> list[Observation]:
        """Wait for the next turn and take it; what came of it, which may be nothing."""
        waiting: list[Station | Writing] = [*self._stations.values(), *self._writings]
        turn = min(waiting, key=self._rank)
        batch = list[Observation]()
        if set_point := await self._arrived(max(turn.due_s, self._open_s)):
            batch += await self._begin(set_point)
        if asyncio.get_running_loop().time() >= max(turn.due_s, self._open_s):
            batch += await self._take(turn)
        return batch

    def close(self) -> None:
        """Drop the connection."""
        self._line.close()

    def _rank(self, one: Station | Writing) -> tuple[bool, float]:
        is_first = not _is_down(one) and one.due_s <= self._in_vain_s
        return not is_first, one.due_s

    async def _arrived(self, due_s: float) -> SetPoint | None:
        """A set-point that is there before somebody is due."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(due_s):
                return await self._set_points.get()
        return None

    async def _begin(self, set_point: SetPoint) -> list[Observation]:
        point = self._points[set_point.cell, set_point.tag]
        station = self._stations[point.source.unit or 0]
        writing = Writing(set_point, point, self._settings, self._clock)
        if not station.is_up:
            return [writing.failed(station.reason or UNREAD)]
        self._writings.append(writing)
        return await self._take(writing)

    async def _take(self, turn: Station | Writing) -> list[Observation]:
        try:
            await self._line.open()
            batch = await turn.turn(self._line)
        except LostError as error:
            batch = self._lost(str(error))
        else:
            self._attempt = 0
            if _is_down(turn):
                self._in_vain_s = asyncio.get_running_loop().time()
        self._writings = [writing for writing in self._writings if not writing.is_over]
        return batch

    def _lost(self, reason: str) -> list[Observation]:
        """All units are down, and nobody has the line until it is time to connect again."""
        self._open_s = asyncio.get_running_loop().time() + delay_s(self._attempt, jitter())
        self._attempt += 1
        answers = [writing.lost(reason) for writing in self._writings]
        return [*answers, *(o for one in self._stations.values() for o in one.lost(reason))]


def _is_down(one: Station | Writing) -> bool:
    return isinstance(one, Station) and not one.is_up
