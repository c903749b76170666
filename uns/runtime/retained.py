"""PURE: what stands retained beside what should stand there, and the messages that make it so.

Owns which of two payloads of a topic is the newer one. Knows neither broker nor record: it is told
what was heard and what is on record, in any order and as often as one likes.
"""

import json
import sys
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from uns.mqtt.message import Outgoing

Age = tuple[int, int, int]
"""Orders the payloads of one topic. A tag: its instant, then its quality, for a source that is lost
says its last value once more as bad. A document: its owner's epoch, `rev`, the instant it shows."""

UNREADABLE: Final[Age] = (-1, -1, -1)
"""Of what is no document of ours: everything is newer."""
QUALITIES: Final = ("good", "uncertain", "bad")


class Remembered(NamedTuple):
    """What the record says of the tree.

    expected: by topic the payload that should stand there.
    cleared: topics that were cleared, each with its last payload (empty: not on record).
    """

    expected: Mapping[str, bytes]
    cleared: Mapping[str, bytes]


class _Known(NamedTuple):
    """The newest that is known of a topic. No payload: it was cleared."""

    payload: bytes
    age: Age


class Tree:
    """The `_tag` and `_state` topics at one broker; mutable, owned by who listens there."""

    def __init__(self) -> None:
        self._stands: dict[str, bytes] = {}
        self._newest: dict[str, _Known] = {}

    @property
    def topics(self) -> Collection[str]:
        """Where something stands."""
        return [topic for topic, payload in self._stands.items() if payload]

    def hear(self, topic: str, payload: bytes) -> None:
        """Take a message as the broker sent it, retained or live: it stands there now."""
        self._stands[topic] = payload
        known = self._newest.get(topic)
        if payload:
            self._learn(topic, payload)
        elif known and "/_state/" in topic:
            self._newest[topic] = _Known(b"", _last(known.age))
        else:
            self._newest.pop(topic, None)

    def remember(self, remembered: Remembered) -> int:
        """Take what is on record; how many of the expected topics stand already."""
        for topic, payload in remembered.expected.items():
            self._learn(topic, payload)
        for topic, payload in remembered.cleared.items():
            known, age = self._newest.get(topic), _last(age_of(topic, payload))
            if known is None or known.age <= age:
                self._newest[topic] = _Known(b"", age)
        return sum(bool(self._stands.get(topic)) for topic in remembered.expected)

    def repairs(self) -> list[Outgoing]:
        """What to publish: the newest payload where an older one stands or none, or a clearing."""
        return [
            Outgoing(topic, newest.payload, retain=True)
            for topic, newest in self._newest.items()
            if self._is_wrong(topic, newest)
        ]

    def _learn(self, topic: str, payload: bytes) -> None:
        known, age = self._newest.get(topic), age_of(topic, payload)
        if known is None or known.age < age:
            self._newest[topic] = _Known(payload, age)

    def _is_wrong(self, topic: str, newest: _Known) -> bool:
        stands = self._stands.get(topic, b"")
        if stands == newest.payload:
            return False
        return not (stands and newest.payload) or age_of(topic, stands) < newest.age


def age_of(topic: str, payload: bytes) -> Age:
    """The age of a payload among those of its topic."""
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return UNREADABLE
    if not isinstance(document, dict):
        return UNREADABLE
    if "/_tag/" in topic:
        return _whole(document, "timestamp_ms"), _rank(document.get("quality")), 0
    return _whole(document, "owner_epoch"), _whole(document, "rev"), _whole(document, "drawn_ms")


def _last(age: Age) -> Age:
    """Of all payloads that differ only in what they show: a live value moves without a record."""
    return age[0], age[1], sys.maxsize


def _whole(document: Mapping[str, Any], key: str) -> int:
    value = document.get(key)
    return value if isinstance(value, int) else -1


def _rank(quality: Any) -> int:
    return QUALITIES.index(quality) if quality in QUALITIES else -1
