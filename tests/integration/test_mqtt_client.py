"""The client port against a real mosquitto: what must hold when the broker does not."""

import asyncio
import threading
from typing import Any

import pytest
from paho.mqtt.client import Client as Paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.brokers import RunningBroker, bounded, collect, free_port, unique, until
from uns.mqtt import link
from uns.mqtt.broker import wait_until_ready
from uns.mqtt.client import BATCH, MqttClient
from uns.mqtt.errors import (
    Closed,
    LoginRefused,
    PayloadTooLarge,
    PublishRefused,
    TakenOver,
    Unreachable,
)
from uns.mqtt.message import (
    PAYLOAD_BYTES_MAX,
    RECEIVE_WINDOW,
    Address,
    Message,
    Outgoing,
    Session,
    Will,
)
from uns.mqtt.paho_setup import V5, V311

versions = pytest.mark.parametrize("protocol", [V311, V5])


@versions
@bounded
async def test_what_is_in_flight_when_the_broker_is_killed_is_acknowledged_in_the_end(
    mosquitto: RunningBroker, protocol: MQTTProtocolVersion
) -> None:
    async with MqttClient(mosquitto.address(), "source", protocol=protocol) as source:
        await source.connected.wait()
        mosquitto.freeze()
        sent = [await source.send(f"x/{i}", b"%d" % i, retain=True) for i in range(500)]
        assert not any(promise.done() for promise in sent)
        mosquitto.restart()
        await asyncio.gather(*sent)
        async with MqttClient(mosquitto.address(), "observer", clean_session=True) as observer:
            await observer.subscribe(["x/#"])
            seen = {m.topic: m.payload for m in await collect(observer, 500)}
    assert seen == {f"x/{i}": b"%d" % i for i in range(500)}


@bounded
async def test_publishing_waits_while_the_window_is_full(mosquitto: RunningBroker) -> None:
    async with MqttClient(mosquitto.address(), "source", window=10) as source:
        await source.connected.wait()
        mosquitto.freeze()
        sent = [await source.send("x", b"") for _ in range(10)]
        eleventh = asyncio.create_task(source.send("x", b""))
        done, _ = await asyncio.wait({eleventh}, timeout=0.2)
        assert not done
        mosquitto.thaw()
        await asyncio.gather(*sent, await eleventh)


@bounded
async def test_a_broker_that_takes_fewer_at_a_time_is_obeyed(mosquitto: RunningBroker) -> None:
    mosquitto.kill()
    config = mosquitto.folder / "mosquitto.conf"
    config.write_text(config.read_text().replace("messages 20000", "messages 7"))
    async with MqttClient(mosquitto.address(), "source", protocol=V5) as source:
        early = [asyncio.create_task(source.publish("x", b"")) for _ in range(100)]
        await asyncio.sleep(0)  # they all ask before the broker has said how many it takes
        mosquitto.start()
        await asyncio.gather(*early)
        mosquitto.freeze()
        sent = [await source.send("x", b"") for _ in range(7)]
        eighth = asyncio.create_task(source.send("x", b""))
        done, _ = await asyncio.wait({eighth}, timeout=0.2)
        assert not done
        mosquitto.thaw()
        await asyncio.gather(*sent, await eighth)


@bounded
async def test_a_broker_that_is_not_there_yet_is_waited_for(mosquitto: RunningBroker) -> None:
    mosquitto.kill()
    async with MqttClient(mosquitto.address(), "early") as client:
        publishing = asyncio.create_task(client.publish("x", b"1"))
        done, _ = await asyncio.wait({publishing}, timeout=0.3)
        assert not done
        mosquitto.start()
        await publishing


@bounded
async def test_what_was_not_acked_comes_again_on_the_next_connection(
    mosquitto: RunningBroker,
) -> None:
    async with MqttClient(mosquitto.address(), "reader") as reader:
        await reader.subscribe(["x/#"])
        await reader.publish_many(Outgoing(f"x/{i}", b"") for i in range(10))
        got = await collect(reader, 10)
        reader.ack(got[:4])
    async with MqttClient(mosquitto.address(), "reader") as reader:
        again = await collect(reader, 6)
        assert [m.topic for m in again] == [f"x/{i}" for i in range(4, 10)]
        assert all(m.dup for m in again)
        assert await reader.receive(timeout_s=0.2) == []


@bounded
async def test_an_ack_of_a_lost_connection_is_not_sent_on_the_next(
    mosquitto: RunningBroker,
) -> None:
    async with MqttClient(mosquitto.address(), "reader") as reader:
        await reader.subscribe(["x/#"])
        await reader.publish_many(Outgoing(f"x/{i}", b"") for i in range(5))
        stale = await collect(reader, 5)
        reader._wire.drop()
        fresh = await collect(reader, 5)
        reader.ack(stale)
    async with MqttClient(mosquitto.address(), "reader") as reader:
        assert [m.topic for m in await collect(reader, 5)] == [m.topic for m in fresh]


@bounded
async def test_an_ack_waits_for_those_before_it(mosquitto: RunningBroker) -> None:
    async with MqttClient(mosquitto.address(), "reader") as reader:
        await reader.subscribe(["x/#"])
        await reader.publish_many(Outgoing(f"x/{i}", b"") for i in range(3))
        first, second, third = await collect(reader, 3)
        reader.ack([third])
        reader.ack([first])
    async with MqttClient(mosquitto.address(), "reader") as reader:
        assert [m.topic for m in await collect(reader, 2)] == ["x/1", "x/2"]
        assert second.topic == "x/1"


@versions
@bounded
async def test_the_old_owner_of_a_client_id_ends_and_the_new_one_stays(
    mosquitto: RunningBroker, protocol: MQTTProtocolVersion
) -> None:
    async with (
        MqttClient(mosquitto.address(), "processor", protocol=protocol) as old,
        MqttClient(mosquitto.address(), "standby") as observer,
    ):
        await old.connected.wait()
        async with MqttClient(mosquitto.address(), "processor", protocol=protocol) as new:
            with pytest.raises(TakenOver):
                await old.receive()
            with pytest.raises(TakenOver):
                await old.publish("x", b"from the old one")
            await new.subscribe(["x"])
            await observer.publish("x", b"1")
            assert [m.payload for m in await collect(new, 1)] == [b"1"]


@bounded
async def test_a_broker_that_is_killed_again_and_again_is_no_takeover(
    mosquitto: RunningBroker, caplog: pytest.LogCaptureFixture
) -> None:
    async with MqttClient(mosquitto.address(), "processor") as client:
        for _ in range(3):
            await client.publish("x", b"")
            mosquitto.kill()
            await until(lambda: "trying on" in caplog.text)
            caplog.clear()
            mosquitto.start()
        await client.publish("x", b"")
        client._wire.drop()  # the broker was away between this loss and the one before
        await client.publish("x", b"")


@bounded
async def test_who_looks_before_each_reconnect_takes_no_loss_for_a_takeover(
    mosquitto: RunningBroker,
) -> None:
    looked = list[int]()

    async def look() -> None:
        looked.append(1)

    async with MqttClient(mosquitto.address(), "looks", before_reconnect=look) as client:
        for _ in range(3):
            await client.publish("x", b"")
            client._wire.drop()  # and the broker listens: without a look that is another owner
        await client.publish("x", b"")
    assert len(looked) == 3


@bounded
async def test_qos_1_stalls_at_the_window_until_it_is_acked(mosquitto: RunningBroker) -> None:
    count = RECEIVE_WINDOW + 2_000
    async with (
        MqttClient(mosquitto.address(), "reader") as reader,
        MqttClient(mosquitto.address(), "source") as source,
    ):
        await reader.subscribe(["x"])
        await source.publish_many(Outgoing("x", b"%d" % i) for i in range(count))
        first = await collect(reader, RECEIVE_WINDOW)
        assert await reader.receive(timeout_s=0.3) == []
        reader.ack(first)
        rest = await collect(reader, 2_000)
    assert [m.payload for m in first + rest] == [b"%d" % i for i in range(count)]


@bounded
async def test_a_backlog_is_read_no_faster_than_it_is_taken(mosquitto: RunningBroker) -> None:
    """Mosquitto 2.0.11 sends a window more at each ack; deaf for long, the client stays."""
    count, address = RECEIVE_WINDOW + 4_000, mosquitto.address()
    async with MqttClient(address, "reader") as reader:
        await reader.subscribe(["x"])
    async with MqttClient(address, "source", window=5_000) as source:
        await source.publish_many(Outgoing("x", b"%0100d" % i) for i in range(count))
    got, most = list[Message](), 0
    async with MqttClient(address, "reader", inbox_limit=2_000, keepalive_s=1) as reader:
        await until(lambda: reader._inbox.full)
        await asyncio.sleep(2.5)  # longer than a connection may be silent
        while len(got) < count:
            got += (some := await reader.receive(500))
            most = max(most, len(reader._inbox))
            reader.ack(some)
        assert {message.connection for message in got} == {1}
    assert [int(message.payload) for message in got] == list(range(count))
    assert most < 3_500


@bounded
async def test_gathering_ends_with_a_whole_batch_or_with_the_time(
    mosquitto: RunningBroker,
) -> None:
    loop = asyncio.get_running_loop()
    async with (
        MqttClient(mosquitto.address(), "reader") as reader,
        MqttClient(mosquitto.address(), "source") as source,
    ):
        await reader.subscribe(["x"])
        await source.publish_many([Outgoing("x", b"few")] * 3)
        began_s = loop.time()
        await reader.gather(0.3)
        assert loop.time() - began_s >= 0.3
        assert len(await collect(reader, 3)) == 3
        gathering = asyncio.create_task(reader.gather(60.0))
        await source.publish_many([Outgoing("x", b"many")] * BATCH)
        await gathering
        assert len(await reader.receive(BATCH)) == BATCH


@bounded
async def test_large_messages_fill_an_inbox_by_their_bytes(mosquitto: RunningBroker) -> None:
    sent = [(b"%d" % i).ljust(PAYLOAD_BYTES_MAX) for i in range(24)]
    async with (
        MqttClient(mosquitto.address(), "reader", inbox_bytes=4 * PAYLOAD_BYTES_MAX) as reader,
        MqttClient(mosquitto.address(), "source") as source,
    ):
        await reader.subscribe(["x"])
        await source.publish_many(Outgoing("x", payload) for payload in sent)
        await until(lambda: reader._inbox.full)
        assert len(reader._inbox) == 4
        got = await collect(reader, len(sent))
    assert [message.payload for message in got] == sent


@bounded
async def test_a_full_inbox_stops_reading_and_nothing_is_lost(mosquitto: RunningBroker) -> None:
    async with (
        MqttClient(mosquitto.address(), "reader", inbox_limit=500) as reader,
        MqttClient(mosquitto.address(), "source") as source,
    ):
        await reader.subscribe(["x"], qos=0)
        await source.publish_many(Outgoing("x", b"%1000d" % i) for i in range(5_000))
        await until(lambda: reader._inbox.full)
        assert len(reader._inbox) < 600
        got = await collect(reader, 5_000)
    assert [int(m.payload) for m in got] == list(range(5_000))
    assert reader.dropped == 0


@bounded
async def test_a_full_inbox_drops_qos_0_rather_than_wait_for_its_own_ack_for_ever(
    mosquitto: RunningBroker,
) -> None:
    async with (
        MqttClient(mosquitto.address(), "reader", inbox_limit=500) as reader,
        MqttClient(mosquitto.address(), "source") as source,
    ):
        await reader.subscribe(["x"], qos=0)
        await source.publish_many(Outgoing("x", bytes(1_000)) for _ in range(5_000))
        await until(lambda: reader._inbox.full)
        await reader.publish("y", b"its PUBACK is behind all of those")
        assert len(await reader.receive(5_000)) + reader.dropped == 5_000


@bounded
async def test_mqtt_5_tells_of_a_refused_publish_and_3_1_1_does_not(
    mosquitto: RunningBroker,
) -> None:
    operator = mosquitto.address("operator")
    async with MqttClient(operator, "op-5", protocol=V5) as client:
        await client.publish("acme/_cmd/order/release", b"{}")
        with pytest.raises(PublishRefused, match="acme/_state/oee: reason 0x87"):
            await client.publish("acme/_state/oee", b"{}")
    async with MqttClient(operator, "op-311", protocol=V311) as client:
        await client.publish("acme/_state/oee", b"{}")


@versions
@bounded
async def test_subscriptions_come_back_when_the_broker_has_forgotten_everything(
    mosquitto: RunningBroker, protocol: MQTTProtocolVersion, caplog: pytest.LogCaptureFixture
) -> None:
    sessions: list[Session] = []

    async def greet(session: Session) -> None:
        assert not client.connected.is_set()
        sessions.append(session)
        await client.publish("x/greeting", b"")

    client = MqttClient(mosquitto.address(), "reader", protocol=protocol, on_connect=greet)
    async with client:
        await client.subscribe(["x/#"])
        client.ack(await collect(client, 1))
        await client.connected.wait()
        await client.publish("y", b"when this is acked, the broker has our ack")
        client._wire.drop()
        client.ack(await collect(client, 1))
        mosquitto.kill()
        await until(lambda: "trying on" in caplog.text)
        mosquitto.forget()
        client.ack(await collect(client, 1))
    assert sessions == [Session.NEW, Session.KEPT, Session.NEW]


@bounded
async def test_an_error_of_the_hook_ends_the_client(mosquitto: RunningBroker) -> None:
    async def greet(_session: Session) -> None:
        raise LookupError("no such line")

    async with MqttClient(mosquitto.address(), "reader", on_connect=greet) as client:
        with pytest.raises(LookupError, match="no such line"):
            await client.receive()
        with pytest.raises(LookupError, match="no such line"):
            await client.publish("x", b"")


@bounded
async def test_a_bug_in_a_callback_ends_the_client_and_is_told(
    mosquitto: RunningBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(*_args: Any, **_kwargs: Any) -> None:
        raise LookupError("a bug")

    async with MqttClient(mosquitto.address(), "reader") as client:
        await client.subscribe(["x"])
        monkeypatch.setattr(client._inbox, "put", put)
        await client.send("x", b"")
        with pytest.raises(LookupError, match="a bug"):
            await client.receive()


@bounded
async def test_after_disconnect_everything_raises_closed_and_batches_end(
    mosquitto: RunningBroker,
) -> None:
    async with MqttClient(mosquitto.address(), "reader") as client:
        await client.subscribe(["x"])
        reading = asyncio.create_task(_all_batches(client))
        await client.publish("x", b"1")
        await client.publish("x", b"2")
        await until(lambda: not len(client._inbox))
    assert await reading == [b"1", b"2"]
    for late in (
        client.publish("x", b""),
        client.publish("x", b"", qos=0),
        client.subscribe(["y"]),
    ):
        with pytest.raises(Closed):
            await late


async def _all_batches(client: MqttClient) -> list[bytes]:
    payloads = []
    async for batch in client.batches():
        payloads += [message.payload for message in batch]
        client.ack(batch)
    return payloads


@bounded
async def test_the_will_is_published_for_a_vanished_client_and_not_after_goodbye(
    mosquitto: RunningBroker,
) -> None:
    will = Will("x/will", b"gone", retain=False)
    async with MqttClient(mosquitto.address(), "observer") as observer:
        await observer.subscribe(["x/#"])
        async with MqttClient(mosquitto.address(), "polite", will=will) as client:
            await client.publish("x/polite", b"")
        async with MqttClient(mosquitto.address(), "rude", will=will) as client:
            await client.publish("x/rude", b"")
            client._wire.drop()
            topics = [m.topic for m in await collect(observer, 3)]
    assert topics == ["x/polite", "x/rude", "x/will"]


@bounded
async def test_the_last_acks_and_the_goodbye_arrive_although_much_is_unread(
    mosquitto: RunningBroker,
) -> None:
    address = mosquitto.address()
    will = Will("will", b"gone", retain=False)
    async with MqttClient(address, "observer") as observer:
        await observer.subscribe(["will", "end"])
        async with MqttClient(address, "reader", will=will, inbox_limit=500) as reader:
            await reader.subscribe(["x"])
            await observer.publish_many(Outgoing("x", b"%1000d" % i) for i in range(5_000))
            await until(lambda: reader._inbox.full)
            reader.ack(await collect(reader, 500))
        async with MqttClient(address, "reader") as reader:
            assert int((await collect(reader, 1))[0].payload) == 500
        await observer.publish("end", b"")
        assert [m.topic for m in await collect(observer, 1)] == ["end"]


@bounded
async def test_a_goodbye_waits_until_the_broker_has_read_it(mosquitto: RunningBroker) -> None:
    async with MqttClient(mosquitto.address(), "reader") as reader:
        await reader.ready()
        mosquitto.freeze()
        leaving = asyncio.create_task(reader.disconnect())
        done, _ = await asyncio.wait({leaving}, timeout=0.2)
        assert not done
        mosquitto.thaw()
        await leaving


@bounded
async def test_a_large_payload_arrives_whole_and_a_larger_one_is_refused_here(
    mosquitto: RunningBroker,
) -> None:
    payload = bytes(range(256)) * (PAYLOAD_BYTES_MAX // 256)
    async with MqttClient(mosquitto.address(), "reader") as client:
        await client.subscribe(["x"])
        await client.publish("x", payload)
        assert (await collect(client, 1))[0].payload == payload
        with pytest.raises(PayloadTooLarge, match="at most 1048576"):
            await client.publish("x", payload + b"!")


@bounded
async def test_an_invalid_topic_costs_no_place_in_the_window(mosquitto: RunningBroker) -> None:
    async with MqttClient(mosquitto.address(), "source", window=1) as client:
        for _ in range(3):
            with pytest.raises(ValueError, match="wildcard"):
                await client.publish("x/#", b"")
        await client.publish("x", b"")


@bounded
async def test_a_broker_that_accepts_and_says_nothing_is_left_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "CONNECT_TIMEOUT_S", 0.1)
    attempts: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: attempts.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with silent, MqttClient(Address("127.0.0.1", port), "patient") as client:
        await until(lambda: len(attempts) > 1)
        assert not client.connected.is_set()
        for attempt in attempts:
            attempt.close()


@bounded
async def test_a_silent_connection_is_given_up_and_made_again(mosquitto: RunningBroker) -> None:
    async with MqttClient(mosquitto.address(), "patient", keepalive_s=1) as client:
        await client.connected.wait()
        mosquitto.freeze()
        await until(lambda: not client.connected.is_set())
        mosquitto.thaw()
        await client.publish("x", b"1")


@bounded
async def test_readiness_is_told_apart_from_a_wrong_password_and_from_silence(
    mosquitto: RunningBroker,
) -> None:
    await wait_until_ready(mosquitto.address("hub"), 5)
    wrong = Address("127.0.0.1", mosquitto.port, "hub", "guess")
    with pytest.raises(LoginRefused, match="refuses hub"):
        await wait_until_ready(wrong, 0.5)
    with pytest.raises(LoginRefused):
        await wait_until_ready(Address("127.0.0.1", mosquitto.port), 0.5)
    with pytest.raises(Unreachable):
        await wait_until_ready(Address("127.0.0.1", free_port()), 0.3)


@bounded
async def test_all_of_20_000_retained_topics_arrive(mosquitto: RunningBroker) -> None:
    expected = {f"x/{i}" for i in range(20_000)}
    async with MqttClient(mosquitto.address(), "source") as source:
        await source.publish_many(Outgoing(topic, b"{}", retain=True) for topic in expected)
    for qos in (0, 1):
        name = unique("reader")
        async with MqttClient(mosquitto.address(), name, clean_session=True) as reader:
            await reader.subscribe(["#"], qos=1 if qos else 0)
            assert {m.topic for m in await collect(reader, 20_000)} == expected
    assert await asyncio.to_thread(_over_websocket, mosquitto, 20_000) == expected


def _over_websocket(broker: RunningBroker, count: int) -> set[str]:
    """What a foreign client gets: plain paho over WebSocket at QoS 0, as MQTT Explorer asks."""
    topics: set[str] = set()
    complete = threading.Event()

    def on_message(_client: Paho, _userdata: Any, message: Any) -> None:
        topics.add(message.topic)
        if len(topics) == count:
            complete.set()

    def on_connect(client: Paho, *_: Any) -> None:
        client.subscribe("#", 0)

    client = Paho(CallbackAPIVersion.VERSION2, client_id="explorer", transport="websockets")
    address = broker.address()
    client.username_pw_set(address.username, address.password)
    client.on_message = on_message
    client.on_connect = on_connect
    client.connect(address.host, broker.ws_port)
    client.loop_start()
    complete.wait(20)
    client.loop_stop()
    return topics
