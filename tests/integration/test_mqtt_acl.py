"""Every user x every class of topic, both ways, at a real mosquitto.

The two tables are written by hand from the namespace's column "written by"; what is not in them
must be refused. A write is what an observer sees, a read is what the user is sent.
"""

import asyncio

import pytest

from tests.brokers import RunningBroker, bounded, collect
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Message, Outgoing

HOUSING = "acme/berlin/machining/housing"
PACKING = "acme/berlin/assembly/packing"

TOPICS = {
    "tag of plc's cell": f"{HOUSING}/mill/_tag/speed",
    "tag of plc's line": f"{HOUSING}/_tag/speed",
    "tag of packer's cell": f"{PACKING}/box/_tag/speed",
    "tag of no line": "acme/berlin/machining/painting/_tag/speed",
    "tag of a site": "acme/berlin/_tag/speed",
    "event of plc's cell": f"{HOUSING}/mill/_event/counted",
    "event of plc's line": f"{HOUSING}/_event/stopped",
    "event of packer's cell": f"{PACKING}/box/_event/counted",
    "reply at a line": f"{HOUSING}/_event/reply/r1",
    "reply at a site": "acme/berlin/_event/reply/r1",
    "event of a site": "acme/berlin/_event/released",
    "state of a cell": f"{HOUSING}/mill/_state/oee",
    "state of a line": f"{HOUSING}/_state/oee",
    "state of a site": "acme/berlin/_state/oee",
    "command at a cell": f"{HOUSING}/mill/_cmd/stop/classify",
    "write at plc's cell": f"{HOUSING}/mill/_cmd/write/good",
    "write at packer's cell": f"{PACKING}/box/_cmd/write/good",
    "command at a line": f"{HOUSING}/_cmd/order/release",
    "command at a site": "acme/berlin/_cmd/order/release",
    "meta of a cell": f"{HOUSING}/mill/_meta/node",
    "schema": "acme/_meta/schema/counted",
    "health": "acme/_hub/health",
    "broker": "acme/_hub/broker/tree",
    "plc's health": "acme/_hub/bridge/plc",
    "packer's health": "acme/_hub/bridge/packer",
    "processor of a line": f"{HOUSING}/_hub/processor/oee",
    "worker": "acme/_hub/worker/worker-1",
    "historian": "acme/_hub/historian/lag",
    "watermark": "acme/_hub/watermark/plc",
    "reject": "acme/_hub/reject/unknown-topic",
    "another enterprise": "umbra/berlin/_tag/speed",
    "what is said again": "replay/berlin/_tag/speed",
    "edge birth": "spBv1.0/acme/NBIRTH/packing",
    "edge data": "spBv1.0/acme/NDATA/packing",
    "edge death": "spBv1.0/acme/NDEATH/packing",
    "edge device birth": "spBv1.0/acme/DBIRTH/packing/box",
    "edge device data": "spBv1.0/acme/DDATA/packing/box",
    "edge device death": "spBv1.0/acme/DDEATH/packing/box",
    "edge command": "spBv1.0/acme/NCMD/packing",
    "edge device command": "spBv1.0/acme/DCMD/packing/box",
    "another edge's data": "spBv1.0/acme/NDATA/painting",
    "another edge's command": "spBv1.0/acme/NCMD/painting",
    "another group": "spBv1.0/umbra/NDATA/packing",
    "host state": "spBv1.0/STATE/uns-hub",
    "another host's state": "spBv1.0/STATE/other",
}
SPARKPLUG = {name for name, topic in TOPICS.items() if topic.startswith("spBv1.0")}
TREE = {name for name, topic in TOPICS.items() if topic.startswith("acme/")}
EVENTS = {name for name, topic in TOPICS.items() if "/_event/" in topic}
COMMANDS = {name for name, topic in TOPICS.items() if "/_cmd/" in topic}
LINE_EVENTS = EVENTS - {"reply at a site", "event of a site"}
EDGE_SAYS = {name for name in SPARKPLUG if name.startswith("edge") and "command" not in name}
EDGE_HEARS = {"edge command", "edge device command"}

WRITES = {
    "bridge-plc": {
        "tag of plc's cell",
        "tag of plc's line",
        "event of plc's cell",
        "event of plc's line",
        "reply at a line",
        "plc's health",
        "reject",
    },
    "bridge-packer": {
        "tag of packer's cell",
        "event of packer's cell",
        "packer's health",
        "reject",
        "edge command",
        "edge device command",
        "host state",
    },
    "bridge-erp": EVENTS | {"reject"},
    "edge-packing": EDGE_SAYS,
    "processor": LINE_EVENTS
    | {
        "state of a cell",
        "state of a line",
        "processor of a line",
        "worker",
        "reject",
    },
    "historian": {"historian", "watermark", "reject"},
    "hub": {
        "meta of a cell",
        "schema",
        "health",
        "broker",
        "tag of plc's cell",
        "tag of packer's cell",
        "state of a cell",
        "state of a line",
    },
    "operator": COMMANDS | {"what is said again"},
}
READS = {
    "bridge-plc": {"watermark", "write at plc's cell"},
    "bridge-packer": {"watermark", "write at packer's cell"}
    | SPARKPLUG,
    "bridge-erp": {"watermark", "command at a site"},
    "edge-packing": EDGE_HEARS | {"host state", "another host's state"},
    "processor": EVENTS
    | COMMANDS
    | {"watermark", "state of a cell", "state of a line", "processor of a line", "worker"},
    "historian": TREE,
    "hub": set(TOPICS),
    "operator": set(TOPICS),
}  # fmt: skip
BROKER_TOPIC = "$SYS/broker/version"


def _classes(messages: list[Message]) -> set[str]:
    names = {topic: name for name, topic in TOPICS.items()}
    return {names[message.topic] for message in messages}


def test_the_tables_name_every_user(mosquitto: RunningBroker) -> None:
    users = {user.name for user in mosquitto.users} - {"tester"}
    assert set(WRITES) == set(READS) == users


@pytest.mark.parametrize("user", WRITES)
@bounded
async def test_what_a_user_writes_is_seen_where_it_may_write_and_nowhere_else(
    mosquitto: RunningBroker, user: str
) -> None:
    async with (
        MqttClient(mosquitto.address(), "observer") as observer,
        MqttClient(mosquitto.address(user), "writer") as writer,
    ):
        await observer.subscribe(["#"])
        await writer.publish_many(Outgoing(topic, b"") for topic in TOPICS.values())
        await observer.publish("end", b"")
        seen = await _until_end(observer, "end")
    assert _classes(seen) == WRITES[user]


@pytest.mark.parametrize("user", READS)
@bounded
async def test_a_user_is_sent_what_it_may_read_and_nothing_else(
    mosquitto: RunningBroker, user: str
) -> None:
    end = TOPICS[min(READS[user])]
    async with (
        MqttClient(mosquitto.address(user), "reader") as reader,
        MqttClient(mosquitto.address(), "writer") as writer,
    ):
        await reader.subscribe(["#"])
        await writer.publish_many(Outgoing(topic, b"") for topic in TOPICS.values())
        await writer.publish(end, b"end")
        seen = await _until_end(reader, end)
    assert _classes(seen) == READS[user]


async def _until_end(client: MqttClient, end: str) -> list[Message]:
    """All messages before the end: `end` itself, or a second message at a topic of the table."""
    seen: list[Message] = []
    while True:
        seen += await collect(client, 1)
        if seen[-1].topic == end and (seen[-1].payload == b"end" or end not in TOPICS.values()):
            return seen[:-1]


@pytest.mark.parametrize("user", READS)
@bounded
async def test_the_brokers_own_figures_are_for_the_hub_and_the_operator(
    mosquitto: RunningBroker, user: str
) -> None:
    async with MqttClient(mosquitto.address(user), "reader") as reader:
        await reader.subscribe([BROKER_TOPIC])
        allowed = user in ("hub", "operator")
        got = await reader.receive(timeout_s=5.0 if allowed else 0.2)
    assert [message.topic for message in got] == ([BROKER_TOPIC] if allowed else [])


@bounded
async def test_nobody_comes_in_without_a_name(mosquitto: RunningBroker) -> None:
    address = mosquitto.address()
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(bytes.fromhex("100d00044d51545404020000000161"))  # CONNECT, no user, id "a"
    assert await reader.readexactly(4) == bytes.fromhex("20020005")  # CONNACK: not authorized
    writer.close()
