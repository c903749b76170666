"""A processor worker: the lines it is asked to run, as soon as no other worker runs them.

Wires each line's processors with a connection and an outbox each. When a line is lost to another
owner the whole process ends: whoever started it starts it again, and it waits in line.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from uns.cli.store import StoreRecord
from uns.codec import Codec
from uns.fold import Processor
from uns.model.path import to_dotted
from uns.model.plant import Plant, digest
from uns.mqtt.client import MqttClient
from uns.mqtt.errors import TakenOver
from uns.mqtt.goodbye import saying_goodbye
from uns.runtime.errors import Fenced
from uns.runtime.outbox import Outbox
from uns.runtime.ownership import Claimant
from uns.runtime.presence import Presence, PresenceWiring, last_will
from uns.runtime.runner import Runner, RunnerWiring

if TYPE_CHECKING:
    from uns.cli.child import Context

Processors = Mapping[str, Callable[[Plant], Processor[Any]]]
LOST: Final = (Fenced, TakenOver)


async def run_lines(context: "Context", processors: Processors, outboxes: str = "") -> None:
    """Run all processors on the lines that are the context's arguments.

    outboxes: folder of the outbox files below the data folder's; a worker beside the hub's own has
    one of its own. Raises Fenced when another owner has taken over.
    """
    worker = _Worker(context, processors, outboxes)
    try:
        await worker.run()
    except BaseExceptionGroup as group:
        if lost := next(_losses(group), None):
            raise Fenced(f"{context.name} ends: {lost}") from None
        raise


class _Worker:
    """One process: its presence among the others, and its lines."""

    def __init__(self, context: "Context", processors: Processors, outboxes: str) -> None:
        self._context = context
        self._folder = outboxes
        self._processors = [build(context.plant) for build in processors.values()]
        self._plant, self._codec = digest(context.plant), Codec(context.plant)
        self._address = context.folder.address("processor")
        self._claimant = Claimant(context.name, secrets.token_hex(8))
        self._outboxes = list[Outbox]()

    async def run(self) -> None:
        """Until cancelled; others are told that we live for as long as a line is being left."""
        will = last_will(self._context.plant.enterprise, self._context.name, self._context.clock())
        client = MqttClient(self._address, self._context.name, clean_session=True, will=will)
        presence = self._presence(client)
        async with client, saying_goodbye(client, will), asyncio.TaskGroup() as being:
            being.create_task(presence.run())
            async with asyncio.TaskGroup() as working:
                for line in self._context.arguments:
                    working.create_task(self._run_line(line, presence))

    async def _run_line(self, line: str, presence: Presence) -> None:
        await presence.turn(line)
        async with asyncio.TaskGroup() as tasks:
            for processor in self._processors:
                tasks.create_task(Runner(self._wiring(processor, line)).run())

    def _presence(self, client: MqttClient) -> Presence:
        return Presence(
            PresenceWiring(
                enterprise=self._context.plant.enterprise,
                name=self._context.name,
                nonce=self._claimant.nonce,
                lines=self._context.arguments,
                waiting=lambda: sum(map(len, self._outboxes)),
                used=lambda: max((outbox.used for outbox in self._outboxes), default=0.0),
                client=client,
                clock=self._context.clock,
            )
        )

    def _wiring(self, processor: Processor[Any], line: str) -> RunnerWiring[Any]:
        name = f"processor.{processor.name}.{to_dotted(line)}"
        visitor = f"{name}.{self._claimant.nonce}"
        outbox = Outbox(self._context.folder.outbox(f"{self._folder}{name}"))
        self._outboxes.append(outbox)
        return RunnerWiring(
            processor=processor,
            line=line,
            enterprise=self._context.plant.enterprise,
            plant=self._plant,
            codec=self._codec,
            client=MqttClient(self._address, name),
            visit=partial(MqttClient, self._address, visitor, clean_session=True, once=True),
            claimant=self._claimant,
            outbox=outbox,
            clock=self._context.clock,
            record=StoreRecord(self._context.folder),
        )


def _losses(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """What of a group says that somebody else is the owner now."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _losses(error)
        elif isinstance(error, LOST):
            yield error
