import json

import pytest

from uns.sparkplug import state
from uns.sparkplug.errors import DecodeError

AT_MS = 1_765_432_100_123


@pytest.mark.tck(
    "host-topic-phid-birth-topic",
    "host-topic-phid-birth-qos",
    "host-topic-phid-birth-retain",
    "host-topic-phid-birth-payload",
    "host-topic-phid-birth-payload-timestamp",
    "host-topic-phid-death-topic",
    "host-topic-phid-death-qos",
    "host-topic-phid-death-retain",
    "host-topic-phid-death-payload",
    "message-flow-phid-sparkplug-state-publish-payload",
    "message-flow-phid-sparkplug-state-publish-payload-timestamp",
    "operational-behavior-host-application-connect-will-topic",
    "operational-behavior-host-application-connect-will-payload",
    "operational-behavior-host-application-connect-birth-topic",
    "operational-behavior-host-application-connect-birth-payload",
    "operational-behavior-host-application-death-topic",
    "operational-behavior-host-application-death-payload",
    "operational-behavior-host-application-death-qos",
    "operational-behavior-host-application-death-retained",
)
def test_the_will_and_the_birth_of_one_connect_share_their_time() -> None:
    will, birth = state.offline("hub", AT_MS), state.online("hub", AT_MS)
    assert (will.topic, will.qos, will.retain) == ("spBv1.0/STATE/hub", 1, True)
    assert (birth.topic, birth.qos, birth.retain) == ("spBv1.0/STATE/hub", 1, True)
    assert json.loads(will.payload) == {"online": False, "timestamp": AT_MS}
    assert json.loads(birth.payload) == {"online": True, "timestamp": AT_MS}


@pytest.mark.tck("message-flow-hid-sparkplug-state-message-delivered")
def test_being_called_offline_is_contradicted_with_the_time_of_the_connect() -> None:
    lie = state.offline("hub", AT_MS - 5)
    assert state.answer("hub", lie.topic, lie.payload, AT_MS) == state.online("hub", AT_MS)


def test_a_wiped_state_is_said_again() -> None:
    assert state.answer("hub", "spBv1.0/STATE/hub", b"", AT_MS) == state.online("hub", AT_MS)


@pytest.mark.parametrize(
    ("topic", "raw", "reason"),
    [
        ("STATE/hub", b"OFFLINE", "STATE as of version 2.2"),
        ("STATE/Hub", b"ONLINE", "STATE as of version 2.2"),
        ("spBv1.0/STATE/Hub", b"{}", "differs from 'hub' by case only"),
        ("spBv1.0/STATE/hub", b"OFFLINE", "a STATE is a JSON object"),
        ("spBv1.0/STATE/other", b"{}", "a STATE has 'online'"),
    ],
)
def test_an_odd_state_is_noticed(topic: str, raw: bytes, reason: str) -> None:
    noticed = state.notice("hub", topic, raw)
    assert noticed is not None
    assert noticed.reason.startswith(reason)
    assert noticed.topic == topic


def test_good_states_and_other_topics_are_not_worth_a_notice() -> None:
    mine, other = state.online("hub", AT_MS), state.offline("other", AT_MS)
    assert state.notice("hub", mine.topic, mine.payload) is None
    assert state.notice("hub", other.topic, other.payload) is None
    assert state.notice("hub", other.topic, b"") is None
    assert state.notice("hub", "spBv1.0/g/NDATA/e", b"") is None
    assert state.notice("hub", "else", b"") is None


def test_nothing_else_is_contradicted() -> None:
    online, other = state.online("hub", AT_MS), state.offline("other", AT_MS)
    assert state.answer("hub", online.topic, online.payload, AT_MS) is None
    assert state.answer("hub", other.topic, other.payload, AT_MS) is None
    assert state.answer("hub", online.topic, b"OFFLINE", AT_MS) is None


def test_a_state_is_read_back() -> None:
    assert state.decode(state.online("hub", AT_MS).payload) == (True, AT_MS)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"ONLINE",
        b"\xff",
        b"[]",
        b"{}",
        b'{"online": 1, "timestamp": 1}',
        b'{"online": true, "timestamp": true}',
        b'{"online": true, "timestamp": 1.5}',
        b"[" * 1_000,
        b'{"online": true, "timestamp": 1}' + b" " * 1_024,
    ],
)
def test_what_is_no_state_comes_back_as_the_error(raw: bytes) -> None:
    assert isinstance(state.decode(raw), DecodeError)
