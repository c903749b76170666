"""PURE: who owns a processor on a line, and what a former owner may not say any more.

Owns the newest resume document of every (processor, line) and the fences that follow from it. Does
not know rows or stores.
"""

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import NamedTuple

from uns.historian.documents import Resume
from uns.model.path import Topic, level_of, parent, to_dotted

PROCESSOR = "processor"


def resume_topic(line: str, processor: str) -> str:
    """Where a processor keeps its resume document of a line."""
    return f"{line}/_hub/{PROCESSOR}/{processor}"


def is_resume(topic: Topic) -> bool:
    """`<line>/_hub/processor/<name>`: what stands higher or deeper is somebody else's."""
    at_line = level_of(topic.path) == "line"
    return at_line and topic.kind == "_hub" and topic.name == PROCESSOR and len(topic.keys) == 1


class Readers(NamedTuple):
    """What runs on every line: resume topics by dotted line, processors by what they write."""

    resumes: Mapping[str, tuple[str, ...]]
    writers: Mapping[str, str]

    def of(self, source: str) -> Iterable[str]:
        """The processors (topics of resume documents) that must have taken a source's events."""
        writer, _, place = source.partition(":")
        return () if writer == PROCESSOR else self.resumes.get(place, ())

    def topics(self) -> frozenset[str]:
        """The resume topics of all processors on all lines."""
        return frozenset(chain.from_iterable(self.resumes.values()))

    def writer_of(self, topic: Topic) -> str | None:
        """The resume topic of the processor that alone writes a `_state` topic."""
        processor = self.writers.get(topic.name)
        if processor is None or level_of(topic.path) not in ("line", "cell"):
            return None
        return resume_topic(parent(topic.path, "line"), processor)


def line_readers(lines: Iterable[str], processors: Mapping[str, frozenset[str]]) -> Readers:
    """Every processor of a line reads what bridges say there; none reads another processor.

    processors: by name, the names below `_state` that each of them writes.
    """
    return Readers(
        {to_dotted(line): tuple(resume_topic(line, name) for name in processors) for line in lines},
        {state: name for name, states in processors.items() for state in states},
    )


class Owners:
    """The newest resume document of each (processor, line), by its topic.

    since: the first rev of its owner that is known here. What a former owner said before that rev
    was right in its time and may come again; from there on it comes from a zombie.
    """

    def __init__(self, resumes: Mapping[str, Resume], since: Mapping[str, int]) -> None:
        self._newest = dict(resumes)
        self._since = {topic: since.get(topic, resume.rev) for topic, resume in resumes.items()}

    def newest(self, topic: str) -> Resume | None:
        """The newest document at a topic."""
        return self._newest.get(topic)

    def take(self, topic: str, resume: Resume) -> bool:
        """Whether a document is newer than all before it; then it is the newest."""
        newest = self._newest.get(topic)
        if newest and _age(resume) <= _age(newest):
            return False
        if newest is None or resume.owner_epoch > newest.owner_epoch:
            self._since[topic] = resume.rev
        self._newest[topic] = resume
        return True

    def must_stay(self, topic: str, resume: Resume) -> bool:
        """Whether the record keeps a document although newer ones follow."""
        return resume.rev in (resume.base_rev, self._since[topic])

    def refusal(self, topic: str, owner_epoch: int | None, rev: int) -> str | None:
        """Why a document of an owner is refused; None: it is not. `owner_epoch` None: not said."""
        newest = self._newest.get(topic)
        if newest is None or owner_epoch is None or owner_epoch >= newest.owner_epoch:
            return None
        if rev < self._since[topic]:
            return None
        return f"owner {owner_epoch} was followed by owner {newest.owner_epoch}"

    def output_refusal(self, path: str, source: str, epoch: int) -> str | None:
        """Why an event that a processor put out at a place is refused; None: it is not."""
        writer, _, rest = source.partition(":")
        if writer != PROCESSOR:
            return None
        newest = self._newest.get(resume_topic(parent(path, "line"), rest.partition(":")[0]))
        if newest is None or newest.output_epoch is None or epoch >= newest.output_epoch:
            return None
        return f"output epoch {epoch} was followed by epoch {newest.output_epoch}"


def reached(mark: tuple[int, int] | None, epoch: int, seq: int) -> int:
    """How far a reader's mark lies in an epoch: all of it, if the reader is beyond."""
    if mark is None or mark[0] < epoch:
        return 0
    return mark[1] if mark[0] == epoch else seq


def _age(resume: Resume) -> tuple[int, int]:
    return resume.owner_epoch, resume.rev
