"""A processor on a line as its runner drives it, without broker or outbox: messages come out."""

from typing import Any

from tests.speech import LINE, Sent
from uns.codec import Codec, encode_event
from uns.fold import Draft, Mark, Processor, advance
from uns.model.events import Event
from uns.model.path import to_dotted
from uns.model.plant import Plant, digest
from uns.runtime.resume import Resume, resume_topic
from uns.runtime.shown import Documents, Moment


class Folding:
    """Folds what it is given; each `commit` gives the messages that its runner would publish."""

    def __init__(self, processor: Processor[Any], plant: Plant, line: str = LINE) -> None:
        self.processor = processor
        self.line = line
        self.codec = Codec(plant)
        self.resume: Resume[Any] = Resume(processor, line, digest(plant))
        self.resume.take_over(1, 1, rebuilt=False)
        self._documents = Documents(self.resume.clearing)
        self._now_s = 0.0
        self._outputs: list[Draft] = []

    @property
    def topic(self) -> str:
        """Of the resume document."""
        return resume_topic(self.line, self.processor.name)

    def take(self, *sent: Sent) -> None:
        """Fold events in the order given."""
        for topic, payload, *_ in sent:
            decoded = self.codec.decode(topic, payload)
            assert not hasattr(decoded, "reject_class"), decoded
            event = decoded.value
            assert isinstance(event, Event)
            step = advance(self.processor, self.resume.state, event)
            self.resume.state = step.state
            self._outputs += step.outputs
            self.resume.marks[event.source] = Mark(event.epoch, event.seq)
            told = self.resume.took(event)
            self._outputs += [told] if told else []

    def put_out(self, draft: Draft) -> None:
        """Say a fact of the runner's own, with the next commit."""
        self._outputs.append(draft)

    def tick(self, at_ms: int) -> list[Sent]:
        """Time has passed: what is shown moves."""
        self.resume.tick(at_ms)
        return self._draw(moved=False)

    def commit(self) -> list[Sent]:
        """Outputs, public documents and the resume document, in the order of their effects."""
        outputs = [self._numbered(draft) for draft in self._outputs]
        self._outputs = []
        self.resume.rev += 1
        documents = self._draw(moved=True)
        return [*outputs, *documents, Sent(self.topic, self.resume.dump(self.resume.ticked_ms))]

    def _numbered(self, draft: Draft) -> Sent:
        self.resume.output_seq += 1
        source = f"processor:{self.processor.name}:{to_dotted(self.line)}"
        return Sent(draft.topic, encode_event(draft, source, 1, self.resume.output_seq))

    def _draw(self, *, moved: bool) -> list[Sent]:
        self._now_s += 10.0
        resume = self.resume
        moment = Moment(resume.rev, resume.owner_epoch, resume.ticked_ms, self._now_s, moved)
        documents = self.processor.documents(resume.state)
        shown = self._documents.changed(documents, moment, resume.output_seq)
        return [Sent(out.topic, out.payload) for out in shown]
