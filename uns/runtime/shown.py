"""What has been shown of a line's public documents, and which revisions go on record.

Live values move with every tick; the record keeps a revision of a document at most every
RECORD_EVERY_S, and always the last one. A topic that ended is cleared once its facts are on record.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from uns.codec import Stamps, encode_state
from uns.fold import Document
from uns.mqtt.message import Outgoing

RECORD_EVERY_S: Final = 5.0
GONE_MAX: Final = 500


@dataclass
class _Shown:
    """One topic: its document, the revision it carries, and whether facts moved it since."""

    document: Document
    rev: int
    recorded_s: float
    moved: bool = False


class Moment(NamedTuple):
    """When and why documents are drawn: `moved` by facts, or only by time; `everything` again.

    owner_epoch and drawn_ms (plant time of the last tick) are stamped on each, beside its revision.
    """

    rev: int
    owner_epoch: int
    drawn_ms: int
    now_s: float
    moved: bool
    everything: bool = False


class Documents:
    """The documents of one (processor, line). `clearing` belongs to the resume document."""

    def __init__(self, clearing: dict[str, int]) -> None:
        self._clearing = clearing
        self._shown: dict[str, _Shown] = {}
        self._gone: dict[str, None] = {}

    def changed(
        self, documents: Mapping[str, Document], moment: Moment, output_seq: int
    ) -> list[Outgoing]:
        """What to publish now. `output_seq`: the last fact that a topic's end may rest on."""
        for topic in sorted(self._shown.keys() - documents.keys()):
            self._clearing.setdefault(topic, output_seq)
        out = [Outgoing(topic, b"", retain=True) for topic in self._gone if moment.everything]
        for topic, document in documents.items():
            self._clearing.pop(topic, None)
            self._gone.pop(topic, None)
            if self._draw(topic, document, moment):
                stamps = Stamps(self._shown[topic].rev, moment.owner_epoch, moment.drawn_ms)
                out.append(Outgoing(topic, encode_state(document, stamps), retain=True))
        return out

    def cleared(self, recorded_seq: int) -> list[Outgoing]:
        """Empty payloads for topics that ended and whose last facts are on record."""
        ready = [topic for topic, seq in self._clearing.items() if seq <= recorded_seq]
        for topic in ready:
            del self._clearing[topic]
            self._shown.pop(topic, None)
            self._gone[topic] = None
        for topic in list(self._gone)[:-GONE_MAX]:
            del self._gone[topic]
        return [Outgoing(topic, b"", retain=True) for topic in ready]

    def _draw(self, topic: str, document: Document, moment: Moment) -> bool:
        """Remember a document as it is now; whether it has to be published."""
        shown = self._shown.get(topic)
        if shown is None:
            self._shown[topic] = _Shown(document, moment.rev, moment.now_s)
            return True
        differs, shown.document = document != shown.document, document
        shown.moved |= differs and moment.moved
        due = shown.moved and moment.now_s - shown.recorded_s >= RECORD_EVERY_S
        if due or moment.everything:
            shown.rev, shown.recorded_s, shown.moved = moment.rev, moment.now_s, False
        return differs or due or moment.everything
