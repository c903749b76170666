"""Runs an edge node or a host for examination: lines of standard input in, events out."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from bridges.sparkplug.profile import Say, UnknownWord
from bridges.sparkplug.profile_edge import EdgeOptions, EdgeProfile
from bridges.sparkplug.profile_host import HostOptions, HostProfile
from uns.cli.errors import UsageError
from uns.cli.options import address_of
from uns.cli.output import note, print_json
from uns.mqtt.message import Address
from uns.sparkplug.edge import EdgeNode
from uns.sparkplug.errors import SparkplugError, TopicError
from uns.sparkplug.topic import MessageType, device_topic, state_topic

SERVER_DEFAULT: Final = "mqtt://127.0.0.1:1883"


class Profile(Protocol):
    """What is examined."""

    async def order(self, line: str) -> None:
        """Obey a line."""

    async def close(self) -> None:
        """Leave."""


def addresses_of(urls: Sequence[str] | None) -> list[Address]:
    """The brokers that URLs name, or the one of this machine."""
    return [address_of(url) for url in urls or [SERVER_DEFAULT]]


def run_edge(options: EdgeOptions, *, wait: bool, as_json: bool) -> None:
    """Be the edge node until standard input ends; UsageError for an id that cannot be one."""
    try:
        EdgeNode(options.group, options.edge_node, 0)
        for device in options.devices:
            device_topic(options.group, MessageType.DBIRTH, options.edge_node, device)
        if options.primary_host is not None:
            state_topic(options.primary_host)
    except TopicError as error:
        raise UsageError(str(error)) from None
    _run(lambda say: EdgeProfile(options, _now_ms, say), wait=wait, as_json=as_json)


def run_host(options: HostOptions, *, wait: bool, as_json: bool) -> None:
    """Be the host until standard input ends; UsageError for an id that cannot be one."""
    try:
        state_topic(options.host_id)
    except TopicError as error:
        raise UsageError(str(error)) from None
    _run(lambda say: HostProfile(options, _now_ms, say), wait=wait, as_json=as_json)


def _run(make: Callable[[Say], Profile], *, wait: bool, as_json: bool) -> None:
    async def obey() -> None:
        profile = make(_json if as_json else _text)
        try:
            if not wait:
                await profile.order("on")
            async for line in _lines():
                if line.strip():
                    await _try(profile.order(line))
        finally:
            await profile.close()

    try:
        asyncio.run(obey())
    except KeyboardInterrupt:
        return


async def _try(order: Awaitable[None]) -> None:
    try:
        await order
    except (UnknownWord, SparkplugError) as error:
        note(str(error))


async def _lines() -> AsyncIterator[str]:
    """The lines of standard input, read beside the loop."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield line


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _json(what: str, **details: Any) -> None:
    print_json({"event": what, **details})


def _text(what: str, **details: Any) -> None:
    told = "  ".join(f"{name}={value}" for name, value in details.items())
    sys.stdout.write(f"{what}  {told}".rstrip() + "\n")
    sys.stdout.flush()
