"""The role `bridge` of a hub's process: what each protocol's client is made from, and wired to."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bridges import PROTOCOLS
from uns.codec import Codec, encode_document
from uns.model.observation import Observation, SetPoint
from uns.model.plant import Bridge, Place, Plant
from uns.mqtt.acl import bridge_user
from uns.mqtt.client import MqttClient
from uns.mqtt.goodbye import saying_goodbye
from uns.mqtt.message import Message, Will
from uns.mqtt.paho_setup import V5, V311
from uns.runtime.bridge import WRITES_KEY, BridgeRunner, BridgeWiring, WriteBack
from uns.runtime.clock import wall_ms
from uns.runtime.gate import Gate
from uns.runtime.outbox import Outbox

if TYPE_CHECKING:
    from uns.cli.child import Context

AGAIN_S: Final = 1.0
NO_MQTT_5: Final = "the broker speaks no MQTT 5: nothing is written, install mosquitto"

log = logging.getLogger(__name__)


class BridgeContext(NamedTuple):
    """What a bridge's client is made from."""

    context: "Context"
    name: str
    settings: Any
    places: dict[str, Place]
    client: MqttClient
    commands: asyncio.Queue[Any]
    runner: BridgeRunner
    set_points: asyncio.Queue[SetPoint]


Observe = Callable[[BridgeContext], AsyncIterator[list[Observation]]]


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


def _mqtt(b: BridgeContext) -> AsyncIterator[list[Observation]]:
    from bridges.mqtt.client import observe

    address, known = b.context.folder.address(bridge_user(b.name)), b.runner.known_fact
    return observe(b.settings, b.context.plant, b.name, b.context.clock, address, known)


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


def _erp_rest(b: BridgeContext) -> AsyncIterator[list[Observation]]:
    from bridges.erp_rest.client import Hub, observe
    from bridges.erp_rest.hearing import Clocks

    hub = Hub(b.context.folder.address(bridge_user(b.name)), b.context.folder.root, b.name)
    return observe(b.settings, b.context.plant, Clocks(b.context.clock, wall_ms), hub)


def _epcis(b: BridgeContext) -> AsyncIterator[list[Observation]]:
    from bridges.epcis.client import observe
    from bridges.epcis.mapping import terms_of

    terms = terms_of(b.settings, b.context.plant, b.places)
    folder = b.context.folder.root / b.settings.folder
    return observe(b.settings, terms, b.context.clock, folder, b.runner.known_fact)


def _desk(b: BridgeContext) -> AsyncIterator[list[Observation]]:
    from bridges.desk.client import observe

    lines = tuple(b.context.plant.lines)
    return observe(b.settings, b.context.clock, b.commands, b.runner.known_fact, lines)


OBSERVE: Final[dict[str, Observe]] = {
    "opcua": _opcua,
    "modbus": _modbus,
    "sparkplug": _sparkplug,
    "mqtt": _mqtt,
    "sparkplug-edge": _sparkplug_edge,
    "erp": _erp,
    "desk": _desk,
    "erp-rest": _erp_rest,
    "epcis": _epcis,
}


async def run_bridges(context: "Context") -> None:
    """Bridges by their names in namespace.yaml; what befalls one in a shared process is its own."""
    if len(context.arguments) == 1:
        await run_bridge(context, *context.arguments)
    else:
        async with asyncio.TaskGroup() as tasks:
            for name in context.arguments:
                tasks.create_task(_run_on(context, name))


async def _run_on(context: "Context", name: str) -> None:
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


async def run_bridge(context: "Context", name: str) -> None:
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
        filters=FILTERS.get(bridge.protocol, _no_filters)(plant),
        on_message=_into(commands, Codec(plant)),
        write_back=write_back,
    )
    runner = BridgeRunner(wiring)
    set_points = write_back.gate.set_points
    parts = BridgeContext(
        context, name, settings, plant.served_by(name), client, commands, runner, set_points
    )
    with closing(outbox):
        async with client, saying_goodbye(client, will), write_back.client:
            await runner.run(OBSERVE[bridge.protocol](parts))


def _write_back(context: "Context", name: str, outbox: Outbox) -> WriteBack:
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


def _bridge_will(context: "Context", name: str, bridge: Bridge) -> Will:
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


def _no_filters(_plant: Plant) -> tuple[str, ...]:
    return ()


def _erp_filters(plant: Plant) -> tuple[str, ...]:
    return tuple(f"{plant.enterprise}/{site}/_cmd/#" for site in plant.sites)


def _desk_filters(plant: Plant) -> tuple[str, ...]:
    from bridges.desk.mapping import filters

    return filters(plant)


FILTERS: Final[dict[str, Callable[[Plant], tuple[str, ...]]]] = {
    "erp": _erp_filters,
    "desk": _desk_filters,
}
"""What a bridge hears, by protocol."""


def _into(commands: asyncio.Queue[Any], codec: Codec) -> Callable[[Message], None]:
    """All commands go to the bridge, which answers; the historian quarantines the bad ones.

    When there are too many, a command is not taken; what is said once only is taken later.
    """

    def take(message: Message) -> None:
        if not commands.full():
            commands.put_nowait(codec.decode(message.topic, message.payload, retain=message.retain))
        elif "/_cmd/" in message.topic:
            log.error("too many commands at once: %s is not taken", message.topic)
        else:
            asyncio.get_running_loop().call_later(AGAIN_S, take, message)

    return take
