"""The tags of one bridge at the broker: latest wins, each no more often than its spec allows.

Owns what is published under `_tag`, and that nothing of a source that is stuck looks good.
While the broker is away only the newest value of each tag is kept. Does not know what values mean.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from uns.codec import encode_tag
from uns.model.observation import Reading
from uns.model.plant import Place
from uns.model.publishing import Group, Key, Publishing, Pulses
from uns.mqtt.client import MqttClient

LOOK_S: Final = 0.1
REASON_LENGTH_MAX: Final = 60

log = logging.getLogger(__name__)


class TagBoard:
    """What the tags show; `run` publishes it until cancelled. now_s: monotonic seconds."""

    def __init__(
        self,
        places: Mapping[str, Place],
        client: MqttClient,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._specs = {
            (path, name): spec
            for path, place in places.items()
            for name, spec in place.cell.tags.items()
        }
        self._client = client
        self._now_s = now_s
        self._publishing = Publishing(self._specs)
        self._pulses = Pulses(self._specs)
        self._withheld: dict[Group, dict[Key, Reading]] = {}
        self._shown: dict[Key, Reading] = {}
        self._dirty: dict[Key, None] = {}
        self._wake = asyncio.Event()

    @property
    def readings(self) -> Mapping[Key, Reading]:
        """The newest reading of each tag."""
        return self._publishing.newest

    def known(self, readings: Iterable[Reading]) -> list[Reading]:
        """Those whose tag the bridge reads."""
        return [r for r in readings if (r.cell, r.tag) in self._specs]

    def alive(self, readings: Iterable[Reading]) -> Iterator[Reading]:
        """The readings that may be believed: those of a source that is stuck wait for its beat."""
        now_s = self._now_s()
        for reading in readings:
            for group in self._pulses.take(reading, now_s):
                yield from self._given_out(group, reading.at_ms)
            key = (reading.cell, reading.tag)
            if stuck := self._pulses.stuck(key):
                self._withheld[stuck][key] = reading
            else:
                yield reading

    def show(self, reading: Reading) -> None:
        """Show a reading of a tag, now or when it is time."""
        if self._publishing.take(reading, self._now_s()):
            self._put(reading)

    def up(self, source: str, keys: Iterable[Key]) -> None:
        """The source of these tags is there."""
        self._pulses.expect(source, keys, self._now_s())

    def lose(self, keys: Sequence[Key], reason: str, at_ms: int) -> list[Reading]:
        """Nothing is read of these tags since `at_ms`: bad, with the last value as such.

        Gives the readings that may be believed now, because it was these tags that were late.
        """
        for waiting in self._withheld.values():
            for key in keys:
                waiting.pop(key, None)
        alive = [r for group in self._pulses.forget(keys) for r in self._given_out(group, 0)]
        for cell, tag in keys:
            last = self.readings.get((cell, tag))
            value, last_ms = (last.value, last.at_ms) if last else (None, at_ms)
            self.show(Reading(cell, tag, value, last_ms, "bad", reason[:REASON_LENGTH_MAX]))
        return alive

    def stopped(self) -> list[Key]:
        """The tags whose source is stuck since the last look; they turn bad."""
        stopped = list[Key]()
        for group, reason in self._pulses.stopped(self._now_s()).items():
            log.warning("%s: %s of %s", *group, reason)
            members = self._pulses.members(group)
            self._withheld[group] = self._shade(members, reason)
            stopped += members
        return stopped

    def shade(self, reason: str) -> list[Reading]:
        """Show every tag as bad for a reason of our own; gives what is to be shown after it."""
        return list(self._shade(list(self.readings), reason).values())

    def _shade(self, keys: Iterable[Key], reason: str) -> dict[Key, Reading]:
        known = {key: self.readings[key] for key in keys if key in self.readings}
        good = {key: reading for key, reading in known.items() if reading.quality != "bad"}
        for reading in good.values():
            self.show(replace(reading, quality="bad", reason=reason))
        return good

    def _given_out(self, group: Group, at_ms: int) -> Iterator[Reading]:
        for reading in self._withheld.pop(group, {}).values():
            yield replace(reading, at_ms=max(reading.at_ms, at_ms))

    def all_again(self) -> None:
        """Want every tag published: the broker may have forgotten."""
        self._dirty.update(dict.fromkeys(self._shown))
        self._wake.set()

    async def run(self) -> None:
        """Publish, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._flush())
            tasks.create_task(self._look())

    async def _flush(self) -> None:
        while True:
            await self._wake.wait()
            await self._client.connected.wait()
            self._wake.clear()
            dirty, self._dirty = self._dirty, {}
            for key in dirty:
                await self._client.send(f"{key[0]}/_tag/{key[1]}", self._payload(key), retain=True)

    async def _look(self) -> None:
        while True:
            for reading in self._publishing.due(self._now_s()):
                self._put(reading)
            await asyncio.sleep(LOOK_S)

    def _put(self, reading: Reading) -> None:
        key = (reading.cell, reading.tag)
        self._shown[key] = reading
        self._dirty[key] = None
        self._wake.set()

    def _payload(self, key: Key) -> bytes:
        shown, unit = self._shown[key], self._specs[key].unit
        return encode_tag(shown.value, shown.at_ms, shown.quality, unit, shown.reason)
