"""Laws of the quality processor where the plant has inspection plans."""

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings

from processors import PROCESSORS
from processors.base import DOCUMENT_BYTES_MAX
from tests.example import HOUSING, MILL
from tests.planned import planned
from tests.property.strategies import histories
from tests.property.test_laws import KEY, keys_of, run, through_json
from uns.codec import Codec, Message, encode_document, encode_event
from uns.fold import Draft, Processor
from uns.model.events import Event
from uns.model.inspection import OPEN_MAX
from uns.model.path import to_dotted
from uns.model.plant import Plant

SUMMARY_MAX = 240
PLANT: Plant = planned()
QUALITY: Processor[Any] = PROCESSORS["quality"](PLANT)
moderate = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
facts = histories(HOUSING, QUALITY.inputs, min_size=20)


@moderate
@given(before=facts, after=facts)
def test_a_state_resumes_from_json(before: list[Event], after: list[Event]) -> None:
    halfway, _ = run(QUALITY, QUALITY.initial(HOUSING), before)
    resumed = through_json(QUALITY, halfway)
    assert resumed == halfway
    assert QUALITY.documents(resumed) == QUALITY.documents(halfway)
    assert run(QUALITY, resumed, after) == run(QUALITY, halfway, after)


@moderate
@given(events=facts)
def test_every_inspection_that_opened_is_open_or_has_ended_once(events: list[Event]) -> None:
    state, outputs = run(QUALITY, QUALITY.initial(HOUSING), events)
    opened = [o.body["inspection_id"] for o in outputs if o.type == "inspection-opened"]
    closed = [o.body["inspection_id"] for o in outputs if o.type == "inspection-closed"]
    still = [key for cell in state.cells.values() for key in cell.inspections.open]
    assert not [key for key, times in Counter(opened).items() if times > 1]
    assert sorted(opened) == sorted([*closed, *still])
    assert all(len(cell.inspections.open) <= OPEN_MAX for cell in state.cells.values())


@moderate
@given(events=facts)
def test_documents_are_small_and_well_named(events: list[Event]) -> None:
    state, _ = run(QUALITY, QUALITY.initial(HOUSING), events)
    for topic, document in QUALITY.documents(state).items():
        assert len(encode_document(document)) <= DOCUMENT_BYTES_MAX, topic
        assert next(iter(document)) == "summary"
        assert len(document["summary"]) <= SUMMARY_MAX
        assert all(map(KEY.fullmatch, keys_of(document)))


@moderate
@given(events=facts)
def test_what_is_said_fits_its_schema(events: list[Event]) -> None:
    _, outputs = run(QUALITY, QUALITY.initial(HOUSING), events)
    codec = Codec(PLANT)
    for n, draft in enumerate(outputs):
        payload = encode_event(draft, f"processor:quality:{to_dotted(HOUSING)}", 1, n + 1)
        decoded = codec.decode(draft.topic, payload)
        assert isinstance(decoded, Message), (draft, decoded)


@moderate
@given(events=facts)
def test_an_inspection_never_takes_more_pieces_than_it_wants(events: list[Event]) -> None:
    _, outputs = run(QUALITY, QUALITY.initial(HOUSING), events)
    for body in (o.body for o in outputs if o.type == "inspection-closed" and _is_at_mill(o)):
        assert 0 <= body["nonconforming"] <= body["inspected"] <= body["size"]
        assert (body["verdict"] == "fail") == (body["nonconforming"] >= body["reject"]) or (
            body["verdict"] == "cancelled"
        )


def _is_at_mill(draft: Draft) -> bool:
    return draft.path == MILL
