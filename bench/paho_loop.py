"""The ceilings made of bare paho: what a program without our kernel would reach."""

import json
import threading
import time
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from bench.rig import Rig

TIMEOUT_S = 120


class PahoLoop:
    """The durable loop on bare paho: receive, parse, publish retained state, then ack the input.

    `publish` False leaves only receive and ack: the ceiling of a consumer.
    """

    def __init__(self, rig: Rig, user: str, client_id: str, count: int, *, publish: bool) -> None:
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False, manual_ack=True
        )
        address = rig.address(user)
        self._client.username_pw_set(address.username, address.password)
        self._client.max_inflight_messages = 500
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._port, self._count, self._publish = address.port, count, publish
        self._inputs: dict[int, MQTTMessage] = {}
        self._done = threading.Event()
        self._finished = 0
        self._total = 0

    def run(self) -> float:
        """Messages a second from the connection to the last ack."""
        started = time.perf_counter()
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        if not self._done.wait(TIMEOUT_S):
            raise TimeoutError(f"{self._finished} of {self._count}")
        seconds = time.perf_counter() - started
        self._client.disconnect()
        self._client.loop_stop()
        return self._count / seconds

    def _on_message(self, _client: Any, _userdata: Any, message: MQTTMessage) -> None:
        if not self._publish:
            self._ack(message)
            return
        self._total += json.loads(message.payload)["good"]
        state = json.dumps({"summary": "x" * 400, "good": self._total})
        topic = "acme/berlin/machining/housing/_state/order/po-1"
        self._inputs[self._client.publish(topic, state, 1, retain=True).mid] = message

    def _on_publish(self, _client: Any, _userdata: Any, mid: int, *_: Any) -> None:
        if message := self._inputs.pop(mid, None):
            self._ack(message)

    def _ack(self, message: MQTTMessage) -> None:
        self._client.ack(message.mid, message.qos)
        self._finished += 1
        if self._finished == self._count:
            self._done.set()
