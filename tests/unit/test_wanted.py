"""Topic filters as a store reads them, against MQTT's own rule."""

import re

from hypothesis import given
from hypothesis import strategies as st

from uns.historian.queries import Wanted
from uns.model.path import matches

levels = st.sampled_from(
    ["acme", "a", "a.b", "x|y", "[ab]", "_tag", "a\\d", "(a", "{2}", "$", "^a*?"]
)
filters = st.lists(st.one_of(levels, st.sampled_from(["+", "#"])), min_size=1, max_size=5)


@given(filters.map("/".join), st.lists(levels, min_size=1, max_size=5).map("/".join))
def test_a_store_selects_what_a_broker_does(topic_filter: str, topic: str) -> None:
    selected = re.fullmatch(Wanted(topic_filter).pattern, topic) is not None
    assert selected == matches(topic_filter, topic)


@given(filters.map("/".join))
def test_a_topic_selects_itself(topic: str) -> None:
    plain = topic.replace("+", "a").replace("#", "b")
    assert re.fullmatch(Wanted(plain).pattern, plain)
