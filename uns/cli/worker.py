"""A processor worker: every processor on each of its lines, one connection and outbox each."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from uns.cli.store import stored_state
from uns.codec import Codec, encode_document
from uns.fold import Processor
from uns.model.path import to_dotted
from uns.model.plant import Plant
from uns.mqtt.client import MqttClient
from uns.runtime.outbox import Outbox
from uns.runtime.runner import Runner, RunnerWiring

if TYPE_CHECKING:
    from uns.cli.child import Context

HEALTH_EVERY_S: Final = 1.0
Processors = Mapping[str, Callable[[Plant], Processor[Any]]]


async def run_lines(context: "Context", processors: Processors) -> None:
    """Run all processors on the lines that are the context's arguments."""
    codec, outboxes = Codec(context.plant), list[Outbox]()
    built = [build(context.plant) for build in processors.values()]
    address = context.folder.address("processor")
    async with asyncio.TaskGroup() as tasks:
        for line in context.arguments:
            for processor in built:
                name = f"processor.{processor.name}.{to_dotted(line)}"
                outboxes.append(Outbox(context.folder.outbox(name)))
                wiring = RunnerWiring(
                    processor=processor,
                    line=line,
                    enterprise=context.plant.enterprise,
                    codec=codec,
                    client=MqttClient(address, name),
                    visitor=MqttClient(address, f"{name}.visitor", clean_session=True),
                    outbox=outboxes[-1],
                    clock=context.clock,
                    stored_state=stored_state(context.folder),
                )
                tasks.create_task(_run(wiring))
        tasks.create_task(_say_health(context, outboxes))


async def _run(wiring: RunnerWiring[Any]) -> None:
    runner = Runner(wiring)
    async with wiring.client:
        await runner.run()


async def _say_health(context: "Context", outboxes: list[Outbox]) -> None:
    topic = f"{context.plant.enterprise}/_hub/worker/{context.name}"
    async with MqttClient(context.folder.address("processor"), context.name) as client:
        while True:
            waiting = sum(map(len, outboxes))
            document = {
                "summary": f"{context.name}: {len(outboxes)} processors, {waiting} events waiting",
                "lines": list(context.arguments),
                "outbox": waiting,
                "at_ms": context.clock(),
            }
            await client.publish(topic, encode_document(document), retain=True)
            await asyncio.sleep(HEALTH_EVERY_S)
