import json

import pytest

from uns.sparkplug import state
from uns.sparkplug.errors import DecodeError

AT_MS = 1_765_432_100_123


def test_the_will_and_the_birth_of_one_connect_share_their_time() -> None:
    will, birth = state.offline("hub", AT_MS), state.online("hub", AT_MS)
    assert (will.topic, will.qos, will.retain) == ("spBv1.0/STATE/hub", 1, True)
    assert (birth.topic, birth.qos, birth.retain) == ("spBv1.0/STATE/hub", 1, True)
    assert json.loads(will.payload) == {"online": False, "timestamp": AT_MS}
    assert json.loads(birth.payload) == {"online": True, "timestamp": AT_MS}


def test_being_called_offline_is_contradicted_with_the_time_of_the_connect() -> None:
    lie = state.offline("hub", AT_MS - 5)
    assert state.answer("hub", lie.topic, lie.payload, AT_MS) == state.online("hub", AT_MS)


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
