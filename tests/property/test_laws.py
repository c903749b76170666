"""The laws of the processor contract, over every processor in the table."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from processors import PROCESSORS
from processors.base import DOCUMENT_BYTES_MAX
from tests.example import EARLY_MS, HOUR_MS, plant
from tests.property.strategies import LINES, histories, stamps
from uns.codec import Codec, Message, encode_document, encode_event
from uns.fold import Admission, Draft, Mark, Processor, Tick, admit, advance, key_of_event
from uns.model.events import EVENTS, Event
from uns.model.path import parse_topic, to_dotted

LINE, OTHER = LINES[0], LINES[1]
BUILT: dict[str, Processor[Any]] = {name: build(plant()) for name, build in PROCESSORS.items()}
KEY = re.compile(r"[a-z0-9_]+")
every = pytest.mark.parametrize("name", BUILT)
moderate = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ticks = st.integers(EARLY_MS, EARLY_MS + 40 * HOUR_MS).map(Tick)


def run(
    processor: Processor[Any], state: Any, events: Iterable[Event | Tick]
) -> tuple[Any, list[Draft]]:
    outputs = list[Draft]()
    for event in events:
        if isinstance(event, Tick):
            state = processor.fold(state, event).state
        else:
            step = advance(processor, state, event)
            state, outputs = step.state, [*outputs, *step.outputs]
    return state, outputs


def through_json(processor: Processor[Any], state: Any) -> Any:
    adapter = TypeAdapter(processor.state_type)
    return adapter.validate_json(adapter.dump_json(state))


@every
def test_the_table_names_the_processor(name: str) -> None:
    processor = BUILT[name]
    assert processor.name == name
    parse_topic(f"{LINE}/_hub/processor/{processor.name}")
    assert processor.inputs <= EVENTS.keys()


@every
@moderate
@given(data=st.data())
def test_replayed_twice_it_gives_the_same(name: str, data: st.DataObject) -> None:
    processor = BUILT[name]
    events = data.draw(histories(LINE, processor.inputs))
    first, second = (run(processor, processor.initial(LINE), events) for _ in range(2))
    assert first == second
    assert processor.documents(first[0]) == processor.documents(second[0])


@every
@moderate
@given(data=st.data())
def test_a_state_resumes_from_json(name: str, data: st.DataObject) -> None:
    processor = BUILT[name]
    before = data.draw(histories(LINE, processor.inputs))
    after = data.draw(histories(LINE, processor.inputs))
    halfway, _ = run(processor, processor.initial(LINE), before)
    resumed = through_json(processor, halfway)
    assert resumed == halfway
    assert processor.documents(resumed) == processor.documents(halfway)
    assert run(processor, resumed, after) == run(processor, halfway, after)


@every
@moderate
@given(data=st.data(), again=st.lists(st.integers(0, 39), min_size=1, max_size=10))
def test_a_duplicate_changes_nothing(name: str, data: st.DataObject, again: list[int]) -> None:
    processor = BUILT[name]
    events = data.draw(histories(LINE, processor.inputs))
    resent = list(events)
    for i in again:
        if i < len(events):
            resent.insert(resent.index(events[i]) + 1 + i % 3, events[i])
    assert run(processor, processor.initial(LINE), admitted(resent)) == run(
        processor, processor.initial(LINE), events
    )


def admitted(events: list[Event]) -> Iterator[Event]:
    """What the guard lets through; an early event is held back until its turn."""
    mark: Mark | None = None
    early = dict[int, Event]()
    for event in events:
        match admit(mark, event.epoch, event.seq):
            case Admission.NEXT:
                early[event.seq] = event
            case Admission.EARLY:
                early[event.seq] = event
            case Admission.DUPLICATE:
                continue
        while (following := early.pop((mark.seq if mark else 0) + 1, None)) is not None:
            mark = Mark(following.epoch, following.seq)
            yield following


@every
@moderate
@given(data=st.data())
def test_interleaved_keys_change_no_key(name: str, data: st.DataObject) -> None:
    processor = BUILT[name]
    alone = {key: data.draw(histories(key, processor.inputs)) for key in (LINE, OTHER)}
    expected = {key: run(processor, processor.initial(key), own) for key, own in alone.items()}
    states = {key: processor.initial(key) for key in alone}
    outputs: dict[str, list[Draft]] = {key: [] for key in alone}
    queues = [list(events) for events in alone.values()]
    while any(queues):
        queue = data.draw(st.sampled_from([q for q in queues if q]))
        event = queue.pop(0)
        key = key_of_event(event) or ""
        step = advance(processor, states[key], event)
        states[key], outputs[key] = step.state, [*outputs[key], *step.outputs]
    assert {key: (states[key], outputs[key]) for key in alone} == expected


@every
@moderate
@given(data=st.data(), ticks=st.lists(st.tuples(st.integers(0, 40), ticks), max_size=12))
def test_ticks_make_no_outputs_and_may_be_skipped(
    name: str, data: st.DataObject, ticks: list[tuple[int, Tick]]
) -> None:
    processor = BUILT[name]
    facts = data.draw(histories(LINE, processor.inputs))
    steps: list[Event | Tick] = [*facts]
    for place, tick in ticks:
        steps.insert(place, tick)
    last = Tick(max(step.at_ms for step in steps))
    start = processor.initial(LINE)
    assert run(processor, start, [*steps, last]) == run(processor, start, [*facts, last])
    assert processor.fold(run(processor, start, steps)[0], last).outputs == ()


@every
@moderate
@given(data=st.data(), now_ms=stamps)
def test_documents_are_small_well_named_and_well_placed(
    name: str, data: st.DataObject, now_ms: int
) -> None:
    processor = BUILT[name]
    events = data.draw(histories(LINE, processor.inputs))
    state, _ = run(processor, processor.initial(LINE), [*events, Tick(now_ms)])
    for topic, document in processor.documents(state).items():
        place = parse_topic(topic)
        assert place.kind == "_state"
        assert place.path == LINE or place.path.startswith(f"{LINE}/")
        assert len(encode_document(document)) <= DOCUMENT_BYTES_MAX, topic
        assert next(iter(document)) == "summary"
        assert "\n" not in document["summary"]
        assert len(document["summary"]) <= 240
        assert "at_ms" in document
        assert all(map(KEY.fullmatch, keys_of(document)))


def keys_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from keys_of(inner)


@every
@moderate
@given(data=st.data())
def test_outputs_pass_the_contract(name: str, data: st.DataObject) -> None:
    processor = BUILT[name]
    events = data.draw(histories(LINE, processor.inputs))
    codec = Codec(plant())
    _, outputs = run(processor, processor.initial(LINE), events)
    source = f"processor:{name}:{to_dotted(LINE)}"
    for seq, draft in enumerate(outputs, 1):
        message = codec.decode(draft.topic, encode_event(draft, source, 1, seq))
        assert isinstance(message, Message), message
        assert isinstance(message.value, Event)
        parsed = message.value.model_dump(mode="json")
        assert {key: parsed[key] for key in draft.body} == draft.body
    ids = Counter(draft.id for draft in outputs)
    assert all(n == 1 for n in ids.values())


@every
@moderate
@given(data=st.data())
def test_it_leaves_its_state_alone(name: str, data: st.DataObject) -> None:
    processor = BUILT[name]
    events = data.draw(histories(LINE, processor.inputs))
    state = processor.initial(LINE)
    for event in events:
        before = json.dumps(state.model_dump(mode="json"))
        after = advance(processor, state, event).state
        assert json.dumps(state.model_dump(mode="json")) == before
        state = after
