"""One process of the hub: `python -m uns.cli.child DATA NAME ROLE [ARGUMENT...]`.

Each role imports its own libraries only, so that ten processes stay small.
"""

import asyncio
import contextlib
import ctypes
import gc
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from bridges import PROTOCOLS
from uns.cli.folder import Folder
from uns.codec import Codec, encode_document
from uns.model.observation import Observation, SetPoint
from uns.model.plant import Bridge, Place, Plant
from uns.mqtt.acl import bridge_user, edge_user
from uns.mqtt.client import V5, V311, MqttClient
from uns.mqtt.goodbye import saying_goodbye
from uns.mqtt.message import Message, Will
from uns.runtime.bridge import WRITES_KEY, BridgeRunner, BridgeWiring, WriteBack
from uns.runtime.clock import PlantClock, load_clock
from uns.runtime.errors import Fenced
from uns.runtime.gate import Gate
from uns.runtime.outbox import Outbox

TRIM_AFTER_S: Final = 5.0
AGAIN_S: Final = 1.0
NO_MQTT_5: Final = "the broker speaks no MQTT 5: nothing is written, install mosquitto"

log = logging.getLogger(__name__)


class Context(NamedTuple):
    """What every role works with."""

    folder: Folder
    plant: Plant
    clock: PlantClock
    name: str
    arguments: tuple[str, ...]


class BridgeContext(NamedTuple):
    """What a bridge's client is made from."""

    context: Context
    name: str
    settings: Any
    places: dict[str, Place]
    client: MqttClient
    commands: asyncio.Queue[Any]
    runner: BridgeRunner
    set_points: asyncio.Queue[SetPoint]


Observe = Callable[[BridgeContext], AsyncIterator[list[Observation]]]
Role = Callable[[Context], Awaitable[None]]


def _opcua(b: BridgeContext) -> AsyncIterator[list[Observation]]:
    from bridges.opcua.client import observe

    pki, known = b.context.folder.root / "pki", b.runner.recorded
    return observe(b.settings, b.places, b.context.clock, b.set_points, pki, known)


def _modbus(b: BridgeContext) -> AsyncIterator[list[Observation]]:
    from bridges.modbus.client import observe

    return observe(b.settings, b.places, b.context.clock, b.set_points)


def _sparkplug(b: BridgeContext) -> AsyncIterator[list[Observation]]:
    from bridges.sparkplug.client import observe

    address = b.context.folder.address(bridge_user(b.name))
    births = b.context.folder.root / "births" / b.name
    return observe(b.settings, b.places, b.context.clock, address, b.set_points, births)


def _sparkplug_edge(b: BridgeContext) -> AsyncIterator[list[Observation]]:
    from bridges.sparkplug_edge.client import Hub, observe

    name, root = b.name, b.context.folder.root
    hub = Hub(
        b.context.folder.address(bridge_user(name)), f"bridge-{name}-tags", b.context.clock.speed
    )
    return observe(b.settings, b.context.plant, b.context.clock, hub, root / "edge" / name)


def _erp(b: BridgeContext) -> AsyncIterator[list[Observation]]:
    from bridges.erp.client import observe

    folder = b.context.folder.root / b.settings.folder
    return observe(
        b.settings, b.context.plant, b.context.clock, folder, b.commands, b.runner.known_fact
    )


OBSERVE: Final[dict[str, Observe]] = {
    "opcua": _opcua,
    "modbus": _modbus,
    "sparkplug": _sparkplug,
    "sparkplug-edge": _sparkplug_edge,
    "erp": _erp,
}


async def run_bridges(context: Context) -> None:
    """Bridges by their names in namespace.yaml; what befalls one in a shared process is its own."""
    if len(context.arguments) == 1:
        await run_bridge(context, *context.arguments)
    else:
        async with asyncio.TaskGroup() as tasks:
            for name in context.arguments:
                tasks.create_task(_run_on(context, name))


async def _run_on(context: Context, name: str) -> None:
    while True:
        try:
            await run_bridge(context, name)
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) and task.cancelling():
                raise
            log.exception("bridge %s was given up from within and starts again", name)
        except Exception:
            log.exception("bridge %s ended and starts again", name)
        await asyncio.sleep(AGAIN_S)


async def run_bridge(context: Context, name: str) -> None:
    """One bridge."""
    plant, bridge = context.plant, context.plant.bridges[name]
    settings = PROTOCOLS[bridge.protocol].settings.model_validate(bridge.settings)
    commands: asyncio.Queue[Any] = asyncio.Queue(maxsize=1_000)
    will = _bridge_will(context, name, bridge)
    client = MqttClient(context.folder.address(bridge_user(name)), f"bridge-{name}", will=will)
    outbox = Outbox(context.folder.outbox(f"bridge.{name}"))
    write_back = _write_back(context, name, outbox)
    wiring = BridgeWiring(
        name=name,
        protocol=bridge.protocol,
        plant=plant,
        places=plant.served_by(name),
        home=_home(plant, name),
        outbox=outbox,
        client=client,
        clock=context.clock,
        filters=_command_filters(plant) if bridge.protocol == "erp" else (),
        on_message=_into(commands, Codec(plant)),
        write_back=write_back,
    )
    runner = BridgeRunner(wiring)
    set_points = write_back.gate.set_points
    parts = BridgeContext(
        context, name, settings, plant.served_by(name), client, commands, runner, set_points
    )
    with contextlib.closing(outbox):
        async with client, saying_goodbye(client, will), write_back.client:
            await runner.run(OBSERVE[bridge.protocol](parts))


def _write_back(context: Context, name: str, outbox: Outbox) -> WriteBack:
    """The gate, and a connection for its commands.

    MQTT 5, so that a retained command is known as one; without a session, so that none waits at
    the broker while the bridge is away. A broker without MQTT 5 leaves the gate closed: there a
    command is only refused.
    """
    places, plant = context.plant.served_by(name), context.plant
    mqtt_5 = context.folder.load_connection()["mqtt_5"]
    client = MqttClient(
        context.folder.address(bridge_user(name)),
        f"bridge-{name}-write",
        clean_session=True,
        protocol=V5 if mqtt_5 else V311,
        retain_as_published=True,
    )
    closed = None if mqtt_5 else NO_MQTT_5
    gate = Gate(places, Codec(plant), context.clock, outbox.recall(WRITES_KEY), closed=closed)
    return WriteBack(gate, client)


def _bridge_will(context: Context, name: str, bridge: Bridge) -> Will:
    document = {
        "summary": f"{name} is gone",
        "bridge": name,
        "protocol": bridge.protocol,
        "connected": False,
        "gone": True,
        "tags": 0,
        "at_ms": context.clock(),
    }
    topic = f"{context.plant.enterprise}/_hub/bridge/{name}"
    return Will(topic, encode_document(document))


def _home(plant: Plant, name: str) -> str:
    served = list(plant.served_by(name).values())
    return served[0].line_path if served else f"{plant.enterprise}/{next(iter(plant.sites))}"


def _command_filters(plant: Plant) -> tuple[str, ...]:
    return tuple(f"{plant.enterprise}/{site}/_cmd/#" for site in plant.sites)


def _into(commands: asyncio.Queue[Any], codec: Codec) -> Callable[[Message], None]:
    """All commands go to the bridge, which answers; the historian quarantines the bad ones."""

    def take(message: Message) -> None:
        if commands.full():
            log.error("too many commands at once: %s is not taken", message.topic)
        else:
            commands.put_nowait(codec.decode(message.topic, message.payload, retain=message.retain))

    return take


async def run_worker(context: Context) -> None:
    """All processors of the lines given as arguments."""
    from processors import PROCESSORS
    from uns.cli.worker import run_lines

    await run_lines(context, PROCESSORS)


async def run_standby(context: Context) -> None:
    """The same beside the hub's own workers, with outboxes of its own."""
    from processors import PROCESSORS
    from uns.cli.worker import run_lines

    await run_lines(context, PROCESSORS, f"{context.name}/")


async def run_historian(context: Context) -> None:
    """The one writer of the store."""
    from processors import PROCESSORS
    from uns.historian.sayings import last_will
    from uns.historian.service import HistorianSetup
    from uns.historian.service import run_historian as record

    setup = HistorianSetup(
        name="main",
        plant=context.plant,
        location=context.folder.load_connection()["store"],
        client=MqttClient(
            context.folder.address("historian"),
            "historian",
            will=last_will(context.plant.enterprise, "main", context.clock()),
        ),
        processors={name: build(context.plant).states for name, build in PROCESSORS.items()},
        clock=context.clock,
    )
    await record(setup)


async def run_plant(context: Context) -> None:
    """The simulated plant of `uns demo`."""
    from uns.demo.plant import run_plant as simulate

    loop, go, freeze = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, go.set)
    loop.add_signal_handler(signal.SIGUSR2, freeze.set)
    addresses = {
        bridge.settings["edge_node"]: context.folder.address(
            edge_user(bridge.settings["edge_node"])
        )
        for bridge in context.plant.bridges.values()
        if bridge.protocol == "sparkplug"
    }
    seed, *going = context.arguments
    if going:
        go.set()
    await simulate(
        context.plant, context.folder.root, context.clock, int(seed), addresses, go, freeze
    )


ROLES: Final[dict[str, Role]] = {
    "bridge": run_bridges,
    "worker": run_worker,
    "standby": run_standby,
    "historian": run_historian,
    "plant": run_plant,
}


async def run(context: Context, role: str) -> None:
    """Run a role until SIGTERM or SIGINT."""
    task = asyncio.ensure_future(ROLES[role](context))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    loop.call_later(TRIM_AFTER_S, _trim)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _trim() -> None:
    """Give back what imports and start-up left behind: half of a process with large libraries."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def log_to_stderr() -> None:
    """The log of a process that has no terminal to answer to."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in ("asyncua", "pymodbus"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def main() -> None:
    """Entry point of every child process."""
    root, name, role, *arguments = sys.argv[1:]
    log_to_stderr()
    folder = Folder(Path(root))
    context = Context(folder, folder.load_plant(), load_clock(folder.root), name, tuple(arguments))
    log.info("%s starts", name)
    try:
        asyncio.run(run(context, role))
    except Fenced as lost:
        sys.exit(str(lost))


if __name__ == "__main__":
    main()
