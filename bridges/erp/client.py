"""The ERP bridge: orders from a folder and from commands become released orders.

Owns when the folder is looked at and what becomes of each file: it is put away when what it says
is durable, never before. What an order must say is uns/model/releasing.py, how a file is read
formats.py and mapping.py, files are in folder.py.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from bridges.erp.config import ErpSettings
from bridges.erp.errors import ErpError
from bridges.erp.folder import Arrived, OrderFolder
from bridges.erp.mapping import MappingRules
from bridges.erp.office import KnownFact, Office, Receipt, about
from bridges.erp.rereading import Rereading
from bridges.erp.rules_file import read_rules
from bridges.erp.table import bad_rows
from bridges.erp.xsd import Schema, read_schema
from uns.codec import Message, Reject
from uns.model.observation import Link, Observation
from uns.model.plant import Plant
from uns.model.releasing import Refused

ORDERS_A_BATCH: Final = 200

log = logging.getLogger(__name__)


async def observe(  # noqa: PLR0913, PLR0917 - the contract's four, and where orders come from
    settings: ErpSettings,
    plant: Plant,
    clock: Callable[[], int],
    folder: Path,
    commands: "asyncio.Queue[Message | Reject]",
    known_fact: KnownFact,
) -> AsyncGenerator[list[Observation], None]:
    """Batches of observations, for ever: some orders of a file, one command, the folder's state.

    clock: plant time in ms. folder: holds `in`, `done` and `error`, made when missing.
    known_fact: recorded bodies (JSON) by business key, for keys with a prefix. Commands do not
    wait for the end of a long file.
    """
    office = Office(plant, clock, known_fact)
    inbox = Inbox(folder, settings, FolderLink(str(folder), clock), office)
    loop, poll_s = asyncio.get_running_loop(), settings.poll_ms / 1000
    while True:
        now_s = loop.time()
        for told in inbox.look(now_s):
            yield told
            await asyncio.sleep(0)
            while not commands.empty():
                if answer := office.of_command(commands.get_nowait()):
                    yield answer
        async for message in taken(commands, until_s=now_s + poll_s):
            if answer := office.of_command(message):
                yield answer


class Owed(NamedTuple):
    """A file that is said and durable, and how it is put away: when that fails, not said again."""

    arrived: Arrived
    put_away: Callable[[], None]


class Inbox:
    """The folder being looked at: what files say, and where they go once that is durable."""

    def __init__(
        self, folder: Path, settings: ErpSettings, link: "FolderLink", office: Office
    ) -> None:
        self._folder = OrderFolder(folder, settings)
        mapping = folder / settings.mapping if settings.mapping else None
        self._rules = Rereading(mapping, read_rules, MappingRules())
        xsd = folder / settings.xsd if settings.xsd else None
        self._schema = Rereading[Schema | None](xsd, read_schema, None)
        self._link = link
        self._office = office
        self._owed: dict[Path, Owed] = {}

    def look(self, now_s: float) -> Iterator[list[Observation]]:
        """Batches of one look; a file is put away when the batch after its last is asked for."""
        try:
            self._folder.prepare()
            rules, schema = self._rules.current(), self._schema.current()
            yield from self._link.is_up()
            for arrived in self._folder.complete(now_s):
                owed = self._owed.pop(arrived.path, None)
                if owed is None or owed.arrived != arrived:
                    owed = yield from self._take(arrived, rules, schema)
                self._owed[arrived.path] = owed
                owed.put_away()
                del self._owed[arrived.path]
        except ErpError as error:
            yield from self._link.is_down(str(error))

    def _take(
        self, arrived: Arrived, rules: MappingRules, schema: Schema | None
    ) -> Generator[list[Observation], None, Owed]:
        content = self._office.read(arrived, rules, schema)
        if isinstance(content, Refused):
            yield [self._office.of_file(arrived, content)]
            return Owed(arrived, partial(self._refuse, arrived, about(arrived, None, content)))
        receipt, records = Receipt(arrived, content), content.records
        for start in range(0, len(records), ORDERS_A_BATCH):
            some = records[start : start + ORDERS_A_BATCH]
            if told := self._office.of_records(receipt, some, rules):
                yield told
        return Owed(arrived, partial(self._put_away, receipt, rules))

    def _put_away(self, receipt: Receipt, rules: MappingRules) -> None:
        path, table = receipt.arrived.path, receipt.content.table
        if receipt.refused and table is None:
            self._refuse(receipt.arrived, receipt.reasons())
            return
        if receipt.refused and table:
            found = rules.of(receipt.content.kind)
            encoding = found.encoding if found else "utf-8"
            self._folder.bad_rows(path, bad_rows(table, receipt.refused), encoding)
            log.warning("%s: %s", receipt.arrived.name, receipt.note())
        self._folder.done(path, receipt.note())

    def _refuse(self, arrived: Arrived, reason: str) -> None:
        self._folder.refused(arrived.path, reason)
        log.warning("%s", reason.partition("\n")[0])


class FolderLink:
    """Whether the folder can be used, said on every change."""

    def __init__(self, endpoint: str, clock: Callable[[], int]) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._said: str | None = None

    def is_up(self) -> Iterator[list[Observation]]:
        """The folder can be used."""
        yield from self._say("")

    def is_down(self, reason: str) -> Iterator[list[Observation]]:
        """The folder, its mapping or its schema cannot be used."""
        yield from self._say(reason)

    def _say(self, trouble: str) -> Iterator[list[Observation]]:
        if trouble == self._said:
            return
        self._said = trouble
        log.log(logging.WARNING if trouble else logging.INFO, "%s", trouble or self._endpoint)
        yield [Link(self._endpoint, (), not trouble, self._clock(), trouble or None)]


async def taken(
    commands: "asyncio.Queue[Message | Reject]", until_s: float
) -> AsyncGenerator[Message | Reject, None]:
    """The commands that come in until a time of the loop's clock; one at least, if one waits."""
    while True:
        try:
            async with asyncio.timeout_at(until_s):
                message = await commands.get()
        except TimeoutError:
            return
        yield message
        if asyncio.get_running_loop().time() >= until_s:
            return
