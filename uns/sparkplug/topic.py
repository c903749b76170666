"""Owns the Sparkplug topic grammar (specification 3.0, chapter 4); knows nothing of payloads.

spBv1.0/<group>/<type>/<edge_node>            NBIRTH NDATA NDEATH NCMD
spBv1.0/<group>/<type>/<edge_node>/<device>   DBIRTH DDATA DDEATH DCMD
spBv1.0/STATE/<host_id>

Tolerated when read: NDATA with a device, for the DDATA that it means; STATE/<host_id> of version
2.2, for itself. A Sparkplug aware broker repeats births, retained, below
$sparkplug/certificates/ (specification 10.1.4).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from uns.sparkplug.errors import TopicError

NAMESPACE: Final = "spBv1.0"
STATE: Final = "STATE"
CERTIFICATES: Final = "$sparkplug/certificates/"
_FORBIDDEN: Final = frozenset("+#/\0")
_STATE_LEVELS: Final = 3
_NODE_LEVELS: Final = 4
_DEVICE_LEVELS: Final = 5


class MessageType(StrEnum):
    """The verb in a topic; the first letter says whether it is a node's or a device's."""

    NBIRTH = "NBIRTH"
    NDATA = "NDATA"
    NDEATH = "NDEATH"
    NCMD = "NCMD"
    DBIRTH = "DBIRTH"
    DDATA = "DDATA"
    DDEATH = "DDEATH"
    DCMD = "DCMD"

    @property
    def of_device(self) -> bool:
        """Tell whether the topic of this type ends with a device."""
        return self.value[0] == "D"


BIRTHS: Final = frozenset({MessageType.NBIRTH, MessageType.DBIRTH})
COMMANDS: Final = frozenset({MessageType.NCMD, MessageType.DCMD})
_TYPES: Final = {kind.value: kind for kind in MessageType}


class Topic(NamedTuple):
    """Where a message of an edge node (`device` None) or of one of its devices belongs."""

    group: str
    message_type: MessageType
    edge_node: str
    device: str | None


class StateTopic(NamedTuple):
    """Where a host application says whether it is online; `is_legacy` as version 2.2 did."""

    host_id: str
    is_legacy: bool = False


def parse(text: str) -> Topic | StateTopic | TopicError:
    """Read a topic name; what is none comes back as the error with its reason."""
    try:
        return _parse(text)
    except TopicError as error:
        return error.with_traceback(None)


def certified(text: str) -> str | None:
    """Give the topic of the birth that a broker repeats under this one; None: it repeats none."""
    inner = text.removeprefix(CERTIFICATES)
    return None if inner == text else inner


def node_topic(group: str, message_type: MessageType, edge_node: str) -> str:
    """Format an edge node's topic, or raise TopicError."""
    return _format(Topic(group, message_type, edge_node, None))


def device_topic(group: str, message_type: MessageType, edge_node: str, device: str) -> str:
    """Format a device's topic, or raise TopicError."""
    return _format(Topic(group, message_type, edge_node, device))


def state_topic(host_id: str) -> str:
    """Format a host application's STATE topic, or raise TopicError."""
    _check_ids(host_id)
    return f"{NAMESPACE}/{STATE}/{host_id}"


def _parse(text: str) -> Topic | StateTopic:
    namespace, *levels = text.split("/")
    if namespace == STATE and len(levels) == 1:
        _check_ids(*levels)
        return StateTopic(levels[0], is_legacy=True)
    if namespace != NAMESPACE:
        raise TopicError(f"{text!r} does not begin with {NAMESPACE}/")
    _check_ids(*levels)
    match levels:
        case ["STATE", host_id]:
            return StateTopic(host_id)
        case [group, verb, edge_node]:
            return _checked(Topic(group, _message_type(verb), edge_node, None))
        case [group, MessageType.NDATA.value, edge_node, device]:
            return Topic(group, MessageType.DDATA, edge_node, device)
        case [group, verb, edge_node, device]:
            return _checked(Topic(group, _message_type(verb), edge_node, device))
    raise TopicError(
        f"{text!r} has {len(levels) + 1} levels, a Sparkplug topic has "
        f"{_STATE_LEVELS} (STATE), {_NODE_LEVELS} (node) or {_DEVICE_LEVELS} (device)"
    )


def _format(topic: Topic) -> str:
    ids = [topic.group, topic.edge_node, *([] if topic.device is None else [topic.device])]
    _check_ids(*ids)
    _checked(topic)
    return "/".join([NAMESPACE, ids[0], topic.message_type, *ids[1:]])


def _message_type(verb: str) -> MessageType:
    found = _TYPES.get(verb)
    if found is None:
        raise TopicError(f"{verb!r} is no message type ({', '.join(_TYPES)})")
    return found


def _checked(topic: Topic) -> Topic:
    if topic.message_type.of_device != (topic.device is not None):
        wants = "needs a device" if topic.message_type.of_device else "takes no device"
        raise TopicError(f"{topic.message_type} {wants}")
    return topic


def _check_ids(*ids: str) -> None:
    for text in ids:
        if not text:
            raise TopicError("an id is empty")
        if not _FORBIDDEN.isdisjoint(text):
            raise TopicError(f"the id {text!r} contains '+', '#', '/' or NUL")
