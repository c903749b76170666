"""What was received, in its order and whole, on every store; also beyond one page."""

from tests.speech import MILL, NOON, event, new_writer, record, tag
from uns.historian.playback import PAGE, played
from uns.historian.reader import open_reader
from uns.historian.store import open_store


def test_events_and_tags_come_in_the_order_of_their_receipt(location: str) -> None:
    store = open_store(location, lambda: NOON)
    writer = new_writer(store)
    count = PAGE + 500
    record(writer, *(event(n) for n in range(1, count + 1)), tag(1.5, NOON), received_ms=NOON)
    record(writer, tag(2.5, NOON + 9), event(count + 1), received_ms=NOON + 10)
    record(writer, event(count + 2), received_ms=NOON + 20)
    store.close()
    with open_reader(location) as reader:
        events = list(played(reader, NOON, NOON + 20, tags=False))
        everything = list(played(reader, NOON, NOON + 20, tags=True))
        late = list(played(reader, NOON + 20, NOON + 21, tags=True))
    assert [one.event.seq for one in events if one.event] == [*range(1, count + 2)]
    assert [one.received_ms for one in everything] == sorted(one.received_ms for one in everything)
    tags = [(one.topic, one.payload) for one in everything if one.event is None]
    topic = f"{MILL}/_tag/tag-0"
    assert tags == [(topic, tag(1.5, NOON).payload), (topic, tag(2.5, NOON + 9).payload)]
    assert [one.event.seq for one in late if one.event] == [count + 2]
