"""PURE: what the record must understand of messages that it does not check as a whole.

Owns the few fields by which documents move watermarks. Does not know rows or progress.
"""

from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from uns.codec import Reject
from uns.model.path import TopicError, parent, parse_topic, to_dotted

Rev = Annotated[int, Field(ge=0, lt=2**63, strict=True)]


class Resume(BaseModel):
    """What the record must understand of a resume document (see the runner for the whole).

    output_epoch: of the owner's own events; what has a smaller one comes from a former owner.
    base_rev: the document of that rev is kept for ever. Both are None where an older hub wrote.
    """

    owner_epoch: Rev
    rev: Rev
    marks: dict[str, tuple[int, int]]
    output_epoch: Rev | None = None
    base_rev: Rev | None = None


class Told(BaseModel):
    """What the record must understand of a watermark document: its own, or a former one's."""

    source: str
    epoch: Rev
    settled: Rev


class Said(BaseModel):
    """What an event that was refused must tell for its source to be heard all the same."""

    source: str
    epoch: Rev
    seq: Annotated[Rev, Field(ge=1)]


class Stated(BaseModel):
    """What the record must understand of a public `_state` document."""

    rev: Rev
    at_ms: Rev | None = None
    owner_epoch: Rev | None = None


def said_by(reject: Reject) -> Said | None:
    """The place in its source's sequence of a refused event that came where its source speaks."""
    try:
        topic = parse_topic(reject.topic)
        said = Said.model_validate_json(reject.original)
    except (TopicError, ValidationError):
        return None
    speaks = said.source.rpartition(":")[2] == to_dotted(parent(topic.path, "line"))
    return said if speaks and topic.kind == "_event" else None
