import pytest

from uns.sparkplug.errors import TopicError
from uns.sparkplug.topic import (
    MessageType,
    StateTopic,
    Topic,
    certified,
    device_topic,
    node_topic,
    parse,
    state_topic,
)

NODE_TYPES = [kind for kind in MessageType if not kind.of_device]
DEVICE_TYPES = [kind for kind in MessageType if kind.of_device]


@pytest.mark.tck("topic-structure", "topic-structure-namespace-a")
@pytest.mark.parametrize("kind", NODE_TYPES)
def test_a_node_topic_is_read_back(kind: MessageType) -> None:
    assert parse(node_topic("Pläne: 1", kind, "edge")) == Topic("Pläne: 1", kind, "edge", None)


@pytest.mark.tck("intro-group-id-string", "intro-edge-node-id-string", "intro-device-id-string")
@pytest.mark.parametrize("kind", DEVICE_TYPES)
def test_a_device_topic_is_read_back(kind: MessageType) -> None:
    assert parse(device_topic("Gruppe 1", kind, "é", "機")) == Topic("Gruppe 1", kind, "é", "機")


def test_a_state_topic_is_read_back() -> None:
    assert state_topic("hub") == "spBv1.0/STATE/hub"
    assert parse("spBv1.0/STATE/hub") == StateTopic("hub")


def test_what_version_2_2_and_careless_nodes_send_is_tolerated() -> None:
    assert parse("STATE/hub") == StateTopic("hub", is_legacy=True)
    assert parse("spBv1.0/g/NDATA/e/d") == Topic("g", MessageType.DDATA, "e", "d")


def test_a_certificate_stands_for_the_topic_of_its_birth() -> None:
    assert certified("$sparkplug/certificates/spBv1.0/g/NBIRTH/e") == "spBv1.0/g/NBIRTH/e"
    assert certified("spBv1.0/g/NBIRTH/e") is None


def test_a_group_may_be_called_state() -> None:
    assert parse("spBv1.0/STATE/NDATA/e") == Topic("STATE", MessageType.NDATA, "e", None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not begin with spBv1.0/"),
        ("spBv1.0", "has 1 levels"),
        ("spAv1.0/g/NDATA/e", "does not begin with spBv1.0/"),
        ("spBv1.0/g/NDATA", "has 3 levels"),
        ("spBv1.0/g/DDATA/e/d/x", "has 6 levels"),
        ("spBv1.0/g/SDATA/e", "'SDATA' is no message type"),
        ("spBv1.0/g/NBIRTH/e/d", "NBIRTH takes no device"),
        ("STATE/", "an id is empty"),
        ("STATE/a/b", "does not begin with spBv1.0/"),
        ("spBv1.0/g/DDATA/e", "DDATA needs a device"),
        ("spBv1.0//NDATA/e", "an id is empty"),
        ("spBv1.0/g/NDATA/e#", "contains"),
        ("spBv1.0/STATE/", "an id is empty"),
    ],
)
def test_what_is_no_topic_comes_back_as_the_reason(text: str, reason: str) -> None:
    error = parse(text)
    assert isinstance(error, TopicError)
    assert reason in error.reason


@pytest.mark.tck(
    "topic-structure-namespace-valid-group-id",
    "topic-structure-namespace-valid-edge-node-id",
    "topic-structure-namespace-valid-device-id",
    "intro-group-id-chars",
    "intro-edge-node-id-chars",
    "intro-device-id-chars",
)
@pytest.mark.parametrize("bad", ["", "a/b", "a+", "#", "a\0"])
def test_an_id_that_cannot_be_in_a_topic_is_refused(bad: str) -> None:
    with pytest.raises(TopicError):
        node_topic(bad, MessageType.NDATA, "e")
    with pytest.raises(TopicError):
        node_topic("g", MessageType.NDATA, bad)
    with pytest.raises(TopicError):
        device_topic("g", MessageType.DDATA, "e", bad)
    with pytest.raises(TopicError):
        state_topic(bad)


@pytest.mark.tck(
    "topic-structure-namespace-device-id-associated-message-types",
    "topic-structure-namespace-device-id-non-associated-message-types",
)
def test_a_verb_and_its_device_must_agree_when_formatting() -> None:
    with pytest.raises(TopicError, match="takes no device"):
        device_topic("g", MessageType.NDATA, "e", "d")
    with pytest.raises(TopicError, match="needs a device"):
        node_topic("g", MessageType.DDATA, "e")
