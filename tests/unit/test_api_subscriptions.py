"""i3X 1.0, Subscribe Methods: what waits, what is acknowledged, what is lost, who is forgotten."""

from collections.abc import Callable
from itertools import count

import pytest

from uns.api.i3x import subscriptions as module
from uns.api.i3x.subscriptions import ALL, LIFETIME_S, Subscription, Subscriptions
from uns.api.i3x.wire import Batch, Update

CELL = "acme/berlin/machining/housing/mill"
BORE = f"{CELL}/_tag/bore"


class Time:
    """Seconds as the test says."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def all_of_them(time: Time) -> Subscriptions:
    return Subscriptions(time, map(str, count()).__next__)


@pytest.fixture
def mine(all_of_them: Subscriptions) -> Subscription:
    made = all_of_them.create("me", None)
    assert made
    made.monitored[BORE] = 1
    return made


@pytest.fixture
def say(all_of_them: Subscriptions) -> Callable[..., None]:
    def say(*values: int, topic: str = BORE) -> None:
        for value in values:
            update = Update(element_id=topic, value=value, quality="Good", timestamp="")
            all_of_them.tell(update)

    return say


Say = Callable[..., None]


def seen(batches: list[Batch]) -> list[tuple[int, list[int]]]:
    return [(b.sequence_number, [update.value for update in b.updates]) for b in batches]


def test_what_is_not_acknowledged_comes_again_before_what_is_new(
    mine: Subscription, say: Say
) -> None:
    say(1, 2)
    assert seen(mine.sync(None)[0]) == [(1, [1, 2])]
    say(3)
    assert seen(mine.sync(None)[0]) == [(1, [1, 2]), (2, [3])]
    assert seen(mine.sync(1)[0]) == [(2, [3])]
    assert mine.sync(2) == ([], False)


def test_minus_one_acknowledges_all_and_numbers_go_on(mine: Subscription, say: Say) -> None:
    say(1)
    mine.sync(None)
    say(2)
    assert mine.sync(ALL) == ([], False)
    say(3)
    assert seen(mine.sync(None)[0]) == [(2, [3])]


def test_a_number_that_was_never_given_acknowledges_nothing(mine: Subscription, say: Say) -> None:
    say(1)
    mine.sync(None)
    assert seen(mine.sync(99)[0]) == [(1, [1])]


def test_the_oldest_gives_way_and_the_loss_is_said_once(
    mine: Subscription, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UPDATES_MAX", 3)
    say(1, 2, 3, 4, 5)
    batches, lost = mine.sync(None)
    assert (seen(batches), lost) == ([(2, [3, 4, 5])], True)
    say(6)
    batches, lost = mine.sync(None)
    assert (seen(batches), lost) == ([(3, [6])], True)
    assert mine.sync(3) == ([], False)


def test_a_batch_is_bounded(mine: Subscription, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_MAX", 2)
    say(1, 2, 3)
    assert seen(mine.sync(None)[0]) == [(1, [1, 2]), (2, [3])]


def test_components_are_followed_by_the_depth(mine: Subscription, say: Say) -> None:
    mine.monitored = {CELL: 1}
    say(1)
    assert mine.sync(None) == ([], False)
    mine.monitored = {CELL: 0}
    say(2)
    say(3, topic="acme/berlin/machining/housing/saw/_tag/bore")
    assert seen(mine.sync(None)[0]) == [(1, [2])]


def test_what_nobody_follows_is_known(all_of_them: Subscriptions, mine: Subscription) -> None:
    other = f"{CELL}/_tag/other"
    assert (all_of_them.followed(BORE), all_of_them.followed(other)) == (True, False)
    mine.monitored = {CELL: 0}
    assert all_of_them.followed(other)
    all_of_them.delete(mine)
    assert not all_of_them.followed(BORE)


def test_a_stream_takes_all_and_the_next_one_takes_its_place(mine: Subscription, say: Say) -> None:
    woken = list[str]()
    say(1)
    mine.sync(None)
    say(2)
    first = mine.open_stream(lambda: woken.append("first"))
    assert [update.value for update in mine.drain()] == [1, 2]
    say(3)
    second = mine.open_stream(lambda: woken.append("second"))
    assert woken == ["first", "first"]
    assert mine.stream == second != first
    mine.close_stream(first, 0)
    assert mine.streaming
    assert [update.value for update in mine.drain()] == [3]


def test_a_subscription_is_its_clients_only(all_of_them: Subscriptions, mine: Subscription) -> None:
    assert all_of_them.find("me", mine.id) is mine
    assert all_of_them.find("you", mine.id) is None


def test_who_does_not_ask_is_forgotten_but_never_while_it_streams(
    all_of_them: Subscriptions, mine: Subscription, time: Time
) -> None:
    time.now_s = LIFETIME_S
    assert all_of_them.find("me", mine.id, asking=True)
    stream = mine.open_stream(lambda: None)
    time.now_s *= 3
    assert all_of_them.find("me", mine.id)
    all_of_them.closed(mine, stream)
    time.now_s += LIFETIME_S
    assert all_of_them.find("me", mine.id)
    time.now_s += 1
    assert all_of_them.find("me", mine.id) is None


def test_there_are_only_so_many(
    all_of_them: Subscriptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SUBSCRIPTIONS_MAX", 1)
    one = all_of_them.create("me", None)
    assert one
    assert all_of_them.create("me", None) is None
    all_of_them.delete(one)
    assert all_of_them.create("me", None)
