"""A command and its answer over a real broker: whoever listens late is asked again."""

import asyncio
import json

import pytest

from tests.brokers import RunningBroker, bounded, unique
from uns.cli.asking import ask
from uns.codec import encode_document
from uns.mqtt.client import MqttClient
from uns.mqtt.message import Message

PLACE = "acme/berlin"


@bounded
async def test_who_did_not_hear_the_first_time_is_asked_again(
    mosquitto: RunningBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uns.cli.asking.TRY_S", 0.3)
    address = mosquitto.address()
    async with MqttClient(address, unique("erp"), clean_session=True) as erp:
        await erp.subscribe([f"{PLACE}/_cmd/#"])
        asking = asyncio.create_task(ask(address, PLACE, "order/release", {"order": {"n": 1}}))
        heard = list[Message]()
        while len(heard) < 2:
            heard += await erp.receive()
        request_id = json.loads(heard[0].payload)["request_id"]
        answer = encode_document({"outcome": "accepted"})
        await erp.publish(f"{PLACE}/_event/reply/{request_id}", answer)
        assert await asking == {"outcome": "accepted"}
    assert heard[0].payload == heard[1].payload
    assert heard[0].topic == f"{PLACE}/_cmd/order/release"
