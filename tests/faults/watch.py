"""An outside subscriber: how far each processor is, by the documents that everybody can read.

Speaks MQTT by paho alone and shares no code with the hub.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

RECONNECT_S_MAX: Final = 1


class Reader(NamedTuple):
    """A processor of a line."""

    line: str
    processor: str


class Passing:
    """Waits until readers have passed numbers; `done_s` is when (monotonic), once they have."""

    def __init__(self, targets: Mapping[Reader, int]) -> None:
        self.since_s = time.monotonic()
        self.done_s: float | None = None
        self.left = dict(targets)

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        return None if self.done_s is None else self.done_s - self.since_s


class Watch:
    """Follows resume documents and watermarks; `start` once, `stop` in the end.

    said: the newest document of every topic that is followed; the enterprise's whole `_hub` is.
    """

    def __init__(self, address: Any, enterprise: str) -> None:
        self.marks: dict[Reader, int] = {}
        self.owners: dict[Reader, list[int]] = {}
        self.stored: dict[str, tuple[int, int, int]] = {}
        self.workers: dict[str, dict[str, Any]] = {}
        self._news = threading.Condition()
        self._passings: list[Passing] = []
        self.said: dict[str, dict[str, Any]] = {}
        self._filters = [f"{enterprise}/+/+/+/_hub/processor/+", f"{enterprise}/_hub/#"]
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="faults-watch")
        self._client.username_pw_set(address.username, address.password)
        self._client.reconnect_delay_set(1, RECONNECT_S_MAX)
        self._client.on_connect = self._connected
        self._client.on_message = self._heard
        self._address = address

    def start(self) -> None:
        """Connect, and again whenever the broker comes back."""
        self._client.connect(self._address.host, self._address.port, keepalive=5)
        self._client.loop_start()

    def stop(self) -> None:
        """Go."""
        self._client.disconnect()
        self._client.loop_stop()

    def passing(self, targets: Mapping[Reader, int]) -> Passing:
        """Wait for readers to reach numbers of their line's events."""
        with self._news:
            passing = Passing(targets)
            self._passings.append(passing)
            self._look(passing)
        return passing

    def until(self, condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
        """Wait for a condition on what was heard; its value."""
        end_s = time.monotonic() + timeout_s
        with self._news:
            while not (value := condition()):
                left_s = end_s - time.monotonic()
                assert left_s > 0, f"not within {timeout_s:g} s: {what}"
                self._news.wait(min(left_s, 0.2))
        return value

    def _connected(self, client: Client, *_: Any) -> None:
        client.subscribe([(one, 0) for one in self._filters])

    def _heard(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        if not message.payload.startswith(b"{"):
            return
        document = json.loads(message.payload)
        with self._news:
            self.said[message.topic] = document
            if "/_hub/watermark/" in message.topic:
                reached = (document["epoch"], document["seq"], document["settled"])
                self.stored[document["source"]] = reached
            elif "/_hub/worker/" in message.topic:
                self.workers[message.topic.rpartition("/")[2]] = document
            elif "marks" in document:
                self._moved(Reader(document["key"], document["processor"]), document)
            self._news.notify_all()

    def _moved(self, reader: Reader, document: dict[str, Any]) -> None:
        owners = self.owners.setdefault(reader, [])
        if not owners or owners[-1] != document["owner_epoch"]:
            owners.append(document["owner_epoch"])
        self.marks[reader] = max((seq for _, seq in document["marks"].values()), default=0)
        for passing in list(self._passings):
            self._look(passing)

    def _look(self, passing: Passing) -> None:
        passing.left = {r: n for r, n in passing.left.items() if self.marks.get(r, 0) < n}
        if not passing.left:
            passing.done_s = time.monotonic()
            self._passings.remove(passing)
