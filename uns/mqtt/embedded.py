"""The broker of last resort: amqtt as a process, where no mosquitto can be had.

Weaker than mosquitto, see broker.EMBEDDED_IS_WEAKER. Runs as `python -m uns.mqtt.embedded
--config FILE` until SIGTERM or SIGINT, on the JSON that broker_config.render_embedded writes.
"""

import argparse
import asyncio
import json
import logging
import signal
from collections import UserDict
from collections.abc import ItemsView, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from amqtt.broker import Action, Broker  # type: ignore[import-untyped]  # amqtt carries no types
from amqtt.plugins.base import (  # type: ignore[import-untyped]  # as above
    BaseAuthPlugin,
    BaseTopicPlugin,
)

from uns.model.path import matches
from uns.mqtt.broker_config import password_matches


class Login(Protocol):
    """What of amqtt's session is read here."""

    username: str | None
    password: str | None


class PasswordFilePlugin(BaseAuthPlugin):  # type: ignore[misc]  # as above
    """Logs users in by mosquitto's password file, so that both brokers share it."""

    @dataclass
    class Config:
        """The plugin's settings in the configuration file."""

        password_file: str

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        lines = Path(self.config.password_file).read_text().splitlines()
        self._hashed = dict(line.split(":", 1) for line in lines)

    async def authenticate(self, *, session: Login) -> bool | None:
        """Whether name and password are in the file."""
        hashed = self._hashed.get(session.username or "")
        return hashed is not None and password_matches(session.password or "", hashed)


class AclPlugin(BaseTopicPlugin):  # type: ignore[misc]  # as above
    """Gives rights as mosquitto's access list does: any SUBSCRIBE, but each message is checked."""

    @dataclass
    class Config:
        """Topic filters by user name."""

        publish: dict[str, list[str]]
        receive: dict[str, list[str]]

    async def topic_filtering(self, *, session: Login, topic: str, action: str) -> bool | None:
        """Whether a user may do this with a topic."""
        if action == "subscribe":
            return True
        granted = getattr(self.config, action).get(session.username, [])
        return any(matches(topic_filter, topic) for topic_filter in granted)


class Steady(UserDict[str, Any]):
    """A dict that may change while it is walked: each walk sees it as it was at its start."""

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self.data))

    def items(self) -> ItemsView[str, Any]:
        """The pairs as they are now."""
        return self.data.copy().items()


class EmbeddedBroker(Broker):  # type: ignore[misc]  # as above
    """amqtt without three defects of 0.12 that stop a hub while its processes connect.

    It walks the subscriptions across awaits, so that one more ends a session or loses a message;
    it sends a new session the retained messages of everybody's filters, whatever its rights; and
    it serves a client no further until that acknowledged its retained messages.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._subscriptions = Steady()

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Any
    ) -> None:
        topic_filter, qos = subscription
        subscribers = [subscriber for subscriber, _ in self._subscriptions.get(topic_filter, ())]
        handler = self._get_handler(session)
        if session not in subscribers or handler is None:
            return
        for topic, kept in list(self._retained_messages.items()):
            wanted = self._matches(topic, topic_filter)
            if wanted and await self._topic_filtering(session, topic, Action.RECEIVE):
                lower = min(qos, kept.qos or qos)
                sending = handler.mqtt_publish(topic, kept.data, lower, retain=True)
                self._tasks_queue.append(asyncio.ensure_future(sending))


async def serve(config: dict[str, Any]) -> None:
    """Run the broker until a signal asks it to stop."""
    broker = EmbeddedBroker(config)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await broker.start()
    await stop.wait()
    await broker.shutdown()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="the embedded MQTT broker")
    parser.add_argument("--config", type=Path, required=True)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(serve(json.loads(parser.parse_args().config.read_text())))


if __name__ == "__main__":
    main()
