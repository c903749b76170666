"""The parts of the client port that need no broker: inbox, subscriptions, window, reconnecting."""

import asyncio
import socket

import pytest

from uns.mqtt.errors import Closed, PublishRefused, SubscribeRefused
from uns.mqtt.inbox import Inbox
from uns.mqtt.inflight import WINDOW_MAX, InFlight
from uns.mqtt.message import Address, Message, Session
from uns.mqtt.reconnect import DELAY_MAX_S, TAKEOVER_WINDOW_S, Losses, delay_s
from uns.mqtt.subscriptions import Subscriptions
from uns.mqtt.wire import WRITE_BYTES_MAX, BufferedSocket


def message(inbox: Inbox, mid: int, qos: int = 1) -> Message:
    return Message(f"x/{mid}", b"", qos, False, False, mid, inbox.connection)  # noqa: FBT003 - flags


def filled(inbox: Inbox, mids: range, qos: int = 1) -> list[Message]:
    for mid in mids:
        inbox.put(message(inbox, mid, qos), reading_must_go_on=False)
    return inbox.take(len(mids))


def test_acks_leave_in_the_order_of_receipt() -> None:
    inbox = Inbox(100, 1_000_000)
    inbox.opened(Session.NEW)
    a, b, c, d = filled(inbox, range(1, 5))
    assert inbox.acknowledge([c]) == []
    assert inbox.acknowledge([b]) == []
    assert inbox.acknowledge([a]) == [1, 2, 3]
    assert inbox.acknowledge([d, a]) == [4]


def test_qos_0_is_not_acked() -> None:
    inbox = Inbox(100, 1_000_000)
    inbox.opened(Session.NEW)
    assert inbox.acknowledge(filled(inbox, range(3), qos=0)) == []


def test_an_ack_is_worth_nothing_on_another_connection() -> None:
    inbox = Inbox(100, 1_000_000)
    inbox.opened(Session.NEW)
    old = filled(inbox, range(1, 4))
    inbox.opened(Session.KEPT)
    new = filled(inbox, range(1, 4))
    assert inbox.acknowledge(old) == []
    assert inbox.acknowledge(new) == [1, 2, 3]


def test_what_a_kept_session_sends_again_is_not_kept_twice() -> None:
    inbox = Inbox(100, 1_000_000)
    inbox.opened(Session.NEW)
    inbox.put(message(inbox, 1), reading_must_go_on=False)
    inbox.put(message(inbox, 2, qos=0), reading_must_go_on=False)
    inbox.opened(Session.KEPT)
    assert [m.mid for m in inbox.take(10)] == [2]


def test_what_a_forgetful_broker_cannot_send_again_is_kept() -> None:
    inbox = Inbox(100, 1_000_000)
    inbox.opened(Session.NEW)
    inbox.put(message(inbox, 1), reading_must_go_on=False)
    inbox.opened(Session.NEW)
    assert [m.mid for m in inbox.take(10)] == [1]


def test_a_full_inbox_drops_qos_0_only_where_reading_must_go_on() -> None:
    inbox = Inbox(2, 1_000_000)
    inbox.opened(Session.NEW)
    for mid, qos, must in ((1, 0, True), (2, 0, False), (3, 0, False), (4, 0, True), (5, 1, True)):
        inbox.put(message(inbox, mid, qos), reading_must_go_on=must)
    assert [m.mid for m in inbox.take(10)] == [1, 2, 3, 5]
    assert inbox.dropped == 1


def test_delays_double_are_spread_and_end_at_two_seconds() -> None:
    assert [delay_s(n, 1.0) for n in range(7)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    assert delay_s(10**9, 1.0) == DELAY_MAX_S
    assert delay_s(10**9, 1.0, 600.0) == 600.0
    assert delay_s(3, 0.0) == delay_s(3, 1.0) / 2


def test_two_losses_in_ten_seconds_look_like_a_takeover() -> None:
    losses = Losses()
    assert not losses.lost(100.0)
    assert losses.lost(100.0 + TAKEOVER_WINDOW_S - 0.1)


def test_two_losses_far_apart_or_around_an_absence_do_not() -> None:
    apart = Losses()
    assert not apart.lost(100.0)
    assert not apart.lost(100.0 + TAKEOVER_WINDOW_S)
    around = Losses()
    assert not around.lost(100.0)
    around.broker_absent()
    assert not around.lost(101.0)


async def test_a_refused_filter_raises_for_whoever_waits_and_is_forgotten() -> None:
    sent: list[list[tuple[str, int]]] = []

    def send(filters: list[tuple[str, int]]) -> int:
        sent.append(filters)
        return len(sent)

    subscriptions = Subscriptions(send)
    subscriptions.want(["a", "b"], 1)
    asking = [asyncio.create_task(subscriptions.ask(["a", "b"])) for _ in range(2)]
    await asyncio.sleep(0)
    subscriptions.answered(1, [1, 0x80])
    for task in asking:
        with pytest.raises(SubscribeRefused, match="b"):
            await task
    assert sent == [[("a", 1), ("b", 1)]]
    assert subscriptions.wanted == ["a"]
    assert subscriptions.missing(["a"]) == []
    subscriptions.opened()
    assert subscriptions.missing(["a"]) == ["a"]


async def test_a_lost_connection_wakes_whoever_waits_for_a_suback() -> None:
    subscriptions = Subscriptions(lambda _filters: 1)
    subscriptions.want(["a"], 1)
    asking = asyncio.create_task(subscriptions.ask(["a"]))
    await asyncio.sleep(0)
    subscriptions.lost()
    await asking
    assert subscriptions.missing(["a"]) == ["a"]
    assert not len(subscriptions)


async def test_the_end_of_the_client_reaches_everybody_in_the_window() -> None:
    window = InFlight(1)
    await window.room()
    promise = window.sent(1, "x")
    waiting = [asyncio.create_task(window.room()) for _ in range(3)]
    await asyncio.sleep(0)
    window.fail(Closed("over"))
    for ended in (promise, *waiting):
        with pytest.raises(Closed):
            await ended


async def test_drain_tells_of_a_refusal_and_leaves_promises_alone_when_cancelled() -> None:
    window = InFlight(2)
    await window.room()
    promise = window.sent(1, "x")
    draining = asyncio.create_task(window.drain())
    await asyncio.sleep(0)
    draining.cancel()
    await asyncio.wait({draining})
    assert not promise.done()
    draining = asyncio.create_task(window.drain())
    await asyncio.sleep(0)
    window.acknowledged(1, 0x87)
    with pytest.raises(PublishRefused, match="x: reason 0x87"):
        await draining


@pytest.mark.parametrize("window", [0, WINDOW_MAX + 1])
def test_a_window_that_packet_ids_cannot_hold_is_refused(window: int) -> None:
    with pytest.raises(ValueError, match="window"):
        InFlight(window)


def test_a_password_is_not_shown() -> None:
    assert "s3cret" not in repr(Address("localhost", 1883, "hub", "s3cret"))


def test_the_buffered_socket_reads_once_and_answers_from_memory() -> None:
    near, far = socket.socketpair()
    near.settimeout(0.0)
    buffered = BufferedSocket(near)
    with pytest.raises(BlockingIOError):
        buffered.recv(1)
    far.sendall(b"abcdef")
    buffered.fill()
    assert (buffered.recv(1), buffered.recv(3), buffered.recv(9)) == (b"a", b"bcd", b"ef")
    assert not buffered.unread
    far.close()
    buffered.fill()
    assert buffered.unread
    assert buffered.recv(1) == b""
    buffered.close()


def test_the_buffered_socket_takes_whole_packets_up_to_its_bound() -> None:
    near, far = socket.socketpair()
    near.settimeout(0.0)
    buffered = BufferedSocket(near)
    packet = bytes(WRITE_BYTES_MAX)
    assert buffered.send(packet) == len(packet)
    assert buffered.send(b"x") == 1
    with pytest.raises(BlockingIOError):
        buffered.send(b"y")
    received = 0
    while buffered.unsent:
        buffered.flush()
        received += len(far.recv(WRITE_BYTES_MAX))
    far.settimeout(1)
    while received < WRITE_BYTES_MAX + 1:
        received += len(far.recv(WRITE_BYTES_MAX))
    assert received == WRITE_BYTES_MAX + 1
    buffered.close()
    far.close()
