"""The EPCIS bridge: documents from a folder become facts, and go away when these are safe.

Owns when the folder is looked at, what is counted of a file, and the order of effects. What an
event becomes is mapping.py's, files are in folder.py. A file is read twice: whether it can be read
to its end, and then event by event.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from bridges.epcis.checks import faults_of_document
from bridges.epcis.config import EpcisSettings
from bridges.epcis.document import Entry
from bridges.epcis.errors import EpcisError
from bridges.epcis.folder import DONE, ERROR, INBOX, Arrived, EventFolder, last_of, read
from bridges.epcis.mapping import Refused, Terms, facts_of
from uns.model.observation import BadInput, Fact, Link, Observation

EVENTS_A_BATCH: Final = 200
REASONS_MAX: Final = 100
REJECT_CLASS: Final = "bad-epcis"

log = logging.getLogger(__name__)

KnownFact = Callable[[str], Mapping[str, str]]


@dataclass(slots=True)
class Receipt:
    """What became of the events of a file so far; of the reasons the first REASONS_MAX."""

    name: str
    new: int = 0
    known: int = 0
    refused: int = 0
    reasons: list[str] = field(default_factory=list)

    def refuse(self, reason: str) -> str:
        """Enter why an event was refused."""
        said = f"{self.name}: {reason}"
        self.refused += 1
        if len(self.reasons) < REASONS_MAX:
            self.reasons.append(said)
        return said

    def note(self) -> str:
        """What to say beside the file."""
        total = self.new + self.known + self.refused
        said = f"{total} events: {self.new} new, {self.known} known already, {self.refused} refused"
        return "\n".join((said, *self.reasons)) if self.known or self.refused else ""


async def observe(
    settings: EpcisSettings,
    terms: Terms,
    clock: Callable[[], int],
    folder: Path,
    known_fact: KnownFact,
) -> AsyncGenerator[list[Observation], None]:
    """Batches of observations, for ever: some events of a file, the folder's state.

    clock: plant time in ms. folder: holds `in`, `done` and `error`, made when missing.
    known_fact: recorded bodies by business key, for keys with a prefix.
    """
    inbox = Inbox(EventFolder(folder, settings), settings, terms, clock, known_fact)
    link = FolderLink(str(folder), clock)
    loop = asyncio.get_running_loop()
    while True:
        try:
            async for told in inbox.look(loop.time()):
                yield told
            for said in link.changed(""):
                yield said
        except EpcisError as error:
            for said in link.changed(str(error)):
                yield said
        await asyncio.sleep(settings.poll_ms / 1000)


class Inbox:
    """The folder being looked at: what files say, and where they go once that is durable."""

    def __init__(
        self,
        folder: EventFolder,
        settings: EpcisSettings,
        terms: Terms,
        clock: Callable[[], int],
        known_fact: KnownFact,
    ) -> None:
        self._folder = folder
        self._bytes_max = settings.file_bytes_max
        self._terms = terms
        self._clock = clock
        self._known_fact = known_fact
        self._owed: dict[Arrived, Receipt] = {}

    async def look(self, now_s: float) -> AsyncGenerator[list[Observation], None]:
        """Batches of one look; a file is put away when the batch after its last is asked for."""
        self._folder.prepare()
        for arrived in self._folder.complete(now_s):
            receipt = self._owed.get(arrived)
            if receipt is None:
                receipt = Receipt(arrived.name)
                async for told in self._take(arrived, receipt):
                    yield told
            self._owed[arrived] = receipt
            self._folder.put_away(arrived, ERROR if receipt.refused else DONE, receipt.note())
            del self._owed[arrived]

    async def _take(
        self, arrived: Arrived, receipt: Receipt
    ) -> AsyncGenerator[list[Observation], None]:
        try:
            context = await asyncio.to_thread(self._context, arrived)
            entries = (one for one in read(arrived.path) if isinstance(one, Entry))
            while some := await asyncio.to_thread(_some, entries):
                if told := self._judge(some, context, receipt):
                    yield told
        except (ValueError, OSError) as error:
            said = receipt.refuse(_why(error))
            log.warning("%s", said)
            yield [self._bad(arrived.name, said, _beginning(arrived.path))]

    def _context(self, arrived: Arrived) -> Any:
        """The @context of a document that can be read to its end. Raises ValueError, OSError."""
        if arrived.look.size > self._bytes_max:
            raise ValueError(f"larger than {self._bytes_max} bytes: raise file_bytes_max")
        document = last_of(arrived.path)
        if faults := faults_of_document(document):
            raise ValueError("; ".join(map(str, faults)))
        return document["@context"]

    def _judge(self, entries: Iterable[Entry], context: Any, receipt: Receipt) -> list[Observation]:
        told: list[Observation] = []
        heard = set[str]()
        for entry in entries:
            found = facts_of(entry.value, context, self._terms)
            if isinstance(found, Refused):
                said = receipt.refuse(f"{entry.place}: {found}")
                told.append(self._bad(receipt.name, said, json.dumps(entry.value).encode()))
            elif self._is_known(found[0], heard):
                receipt.known += 1
            else:
                receipt.new += 1
                told += found
        return told

    def _is_known(self, told: Fact, heard: set[str]) -> bool:
        key = told.business_key or ""
        if key in heard or key in self._known_fact(key):
            return True
        heard.add(key)
        return False

    def _bad(self, name: str, reason: str, original: bytes) -> BadInput:
        return BadInput(f"{INBOX}/{name}", REJECT_CLASS, reason, original, self._clock())


def _some(entries: Iterator[Entry]) -> list[Entry]:
    return list(islice(entries, EVENTS_A_BATCH))


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _beginning(path: Path) -> bytes:
    """What quarantine keeps of a file that cannot be read: the file itself goes to `error`."""
    try:
        with path.open("rb") as file:
            return file.read(64_000)
    except OSError:
        return b""


class FolderLink:
    """Whether the folder can be used, said on every change."""

    def __init__(self, endpoint: str, clock: Callable[[], int]) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._said: str | None = None

    def changed(self, trouble: str) -> Iterator[list[Observation]]:
        """What to say: `trouble` is empty while the folder can be used."""
        if trouble != self._said:
            self._said = trouble
            log.log(logging.WARNING if trouble else logging.INFO, "%s", trouble or self._endpoint)
            yield [Link(self._endpoint, (), not trouble, self._clock(), trouble or None)]
