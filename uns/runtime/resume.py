"""The resume document: all that a (processor, line) needs to go on, kept under `_hub/processor`.

Pure. Public `_state` documents are a function of the state in it (docs/adr/0001).
"""

import json
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from uns.codec import encode_document
from uns.fold import Mark, Processor

S = TypeVar("S")


def resume_topic(line: str, processor: str) -> str:
    """Where the resume document of a processor on a line is kept."""
    return f"{line}/_hub/processor/{processor}"


class Resume(Generic[S]):
    """The progress of one (processor, line); mutable, owned by its runner.

    rev: raised with each commit. owner_epoch: raised with each owner; older owners are refused.
    marks: how far each source was taken. output_seq: the last event this processor put out.
    clearing: topics to clear once the record has the outputs up to that seq.
    """

    def __init__(self, processor: Processor[S], line: str) -> None:
        self._processor = processor
        self._states: TypeAdapter[S] = TypeAdapter(processor.state_type)
        self.line = line
        self.rev = 0
        self.owner_epoch = 0
        self.marks: dict[str, Mark] = {}
        self.output_seq = 0
        self.clearing: dict[str, int] = {}
        self.state: S = processor.initial(line)

    def load(self, payload: bytes) -> bool:
        """Take a stored document if it is newer than what is known; False if it is not usable."""
        try:
            document = json.loads(payload)
            state = self._states.validate_python(document["state"])
            order = (document["owner_epoch"], document["rev"])
        except (ValueError, KeyError, TypeError, ValidationError):
            return False
        if document["version"] != self._processor.version or order <= (self.owner_epoch, self.rev):
            return False
        self.owner_epoch, self.rev = order
        self.marks = {source: Mark(*mark) for source, mark in document["marks"].items()}
        self.output_seq, self.state = document["output_seq"], state
        self.clearing = dict(document["clearing"])
        return True

    def dump(self, at_ms: int) -> bytes:
        """The document as published."""
        document: dict[str, Any] = {
            "summary": f"{self._processor.name} rev {self.rev}, owner {self.owner_epoch}",
            "processor": self._processor.name,
            "version": self._processor.version,
            "key": self.line,
            "rev": self.rev,
            "owner_epoch": self.owner_epoch,
            "marks": self.marks,
            "output_seq": self.output_seq,
            "clearing": self.clearing,
            "state": self._states.dump_python(self.state, mode="json"),
            "at_ms": at_ms,
        }
        return encode_document(document)
