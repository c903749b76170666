"""Two sessions of our edge node under a tap: what it sent, for the tests that read it.

Owns the script that is played and how its messages are read. Knows no requirement.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from bridges.sparkplug.profile import Version
from bridges.sparkplug.profile_edge import EdgeOptions, EdgeProfile
from tests.brokers import RunningBroker, unique, until
from tests.conformance.wiretap import (
    Connect,
    Disconnect,
    Publish,
    Tap,
    tapped,
)
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Address
from uns.sparkplug.datatype import DataType
from uns.sparkplug.host import rebirth_command
from uns.sparkplug.payload import decode, encode
from uns.sparkplug.values import Metric, Payload

GROUP, EDGE, HOST = "g", "e", "h"
DEVICES = ("d1", "d2")
DATA = ("NDATA", "DDATA")
BIRTHS = ("NBIRTH", "DBIRTH")
REBIRTH = "Node Control/Rebirth"
SCRIPT_S_MAX = 30


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Recording(NamedTuple):
    """What one edge node sent in two sessions, and when that was."""

    version: Version
    tap: Tap
    begin_ms: int
    end_ms: int

    @property
    def first(self) -> list[Publish]:
        """The messages of the first session, its will not among them."""
        found: list[Publish] = []
        for packet in self.tap.packets:
            if isinstance(packet, Disconnect):
                break
            if isinstance(packet, Publish):
                found.append(packet)
        return found

    def of(self, *kinds: str) -> list[Publish]:
        return [each for each in self.first if kind_of(each) in kinds]

    @property
    def connects(self) -> list[Connect]:
        return [each for each in self.tap.packets if isinstance(each, Connect)]


def kind_of(message: Publish) -> str:
    return message.topic.split("/")[2]


def read(message: Publish) -> Payload:
    payload = decode(message.payload)
    assert isinstance(payload, Payload)
    return payload


def metric(message: Publish, name: str) -> Metric:
    found = read(message).metric(name)
    assert found, name
    return found


@asynccontextmanager
async def edge_node(
    servers: list[Address], version: Version = "3.1.1", **options: Any
) -> AsyncIterator[EdgeProfile]:
    def silent(what: str, **details: Any) -> None:
        """Say nothing."""

    settings = EdgeOptions(GROUP, EDGE, DEVICES, servers, version=version, **options)
    profile = EdgeProfile(settings, wall_ms, silent)
    try:
        yield profile
    finally:
        await profile.close()


def count(tap: Tap, kind: str, at_least: int) -> Callable[[], bool]:
    return lambda: tap.kinds().count(kind) >= at_least


async def script(broker: RunningBroker, version: Version) -> Recording:
    """Connect, send, be written to, be asked for births, lose a device, leave, come again."""
    begin_ms = wall_ms()
    async with (
        asyncio.timeout(SCRIPT_S_MAX),
        MqttClient(broker.address(), unique("host"), clean_session=True) as host,
        tapped(broker.address()) as (address, tap),
        edge_node([address], version) as edge,
    ):
        await edge.order("on")
        await until(count(tap, "DBIRTH", 2))
        for order in ("data", "data d1", "data d1", "history d1"):
            await edge.order(order)
        set_point = Metric("Set Point", -7, DataType.INT32)
        await host.publish(f"spBv1.0/{GROUP}/DCMD/{EDGE}/d1", encode(Payload((set_point,))))
        await until(count(tap, "DDATA", 4))
        asked = rebirth_command(GROUP, EDGE, wall_ms())
        await host.publish(asked.topic, asked.payload, qos=0)
        await until(count(tap, "DBIRTH", 4))
        for order in ("death d2", "data d1", "birth d2", "data d2", "bad d2", "off"):
            await edge.order(order)
        await until(count(tap, "DISCONNECT", 1))
        await edge.order("on")
        await until(count(tap, "NBIRTH", 3))
        await edge.order("off")
        await until(count(tap, "DISCONNECT", 2))
    return Recording(version, tap, begin_ms, wall_ms())
