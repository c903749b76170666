"""The grammar of topics, and the reversible escape of business ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uns.model.path import (
    KINDS,
    SEGMENT,
    TOPIC_BYTES_MAX,
    Topic,
    TopicError,
    id_of,
    key_of,
    level_of,
    matches,
    parent,
    parse_topic,
    to_dotted,
)

CELL = "acme/berlin/machining/housing/mill"
segments = st.from_regex(SEGMENT, fullmatch=True)
topics = st.builds(
    lambda place, kind, rest: "/".join((*place, kind, *rest)),
    st.lists(segments, min_size=1, max_size=5),
    st.sampled_from(KINDS),
    st.lists(segments, min_size=1, max_size=3),
).filter(lambda text: len(text) <= TOPIC_BYTES_MAX)


def test_the_first_underscore_ends_the_place() -> None:
    assert parse_topic(f"{CELL}/_event/reply/r1") == Topic(CELL, "_event", "reply", ("r1",))
    assert parse_topic("acme/_hub/watermark/x") == Topic("acme", "_hub", "watermark", ("x",))


@given(topics)
def test_every_topic_of_the_grammar_parses_back(text: str) -> None:
    assert str(parse_topic(text)) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("acme/berlin", "no kind"),
        ("acme/_tags/x", "unknown kind '_tags': use one of _tag"),
        ("_tag/x", "0 levels before _tag"),
        ("a/b/c/d/e/f/_tag/x", "6 levels"),
        ("acme/_tag", "no name after _tag"),
        ("acme/Berlin/_tag/x", "segment 'Berlin'"),
        ("acme/ber.lin/_tag/x", "segment 'ber.lin'"),
        ("acme//_tag/x", "segment ''"),
        ("acme/-x/_tag/x", "not beginning with '-'"),
        (f"acme/{'b' * 64}/_tag/x", "1 to 63"),
        ("acme/_tag/x/_tag", "segment '_tag'"),
        ("acme/_tag/bär", "segment 'bär'"),
        ("acme/_tag/x\n", "segment 'x\\n'"),
        ("/".join(["acme", "_tag", *["x" * 60] * 9]), "longer than 512"),
    ],
)
def test_a_topic_outside_the_grammar_names_the_fault(text: str, says: str) -> None:
    with pytest.raises(TopicError, match=r"(?s).") as caught:
        parse_topic(text)
    assert says in str(caught.value)


@given(st.text(max_size=80))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        topic = parse_topic(text)
    except TopicError:
        return
    assert str(topic) == text


@pytest.mark.parametrize(
    ("business_id", "key"),
    [
        ("po-17", "po-17"),
        ("PO-17", "po-17--u3"),
        ("A/1", "a-1--x412f31"),
        ("a--u1", "a-u1--x612d2d7531"),
        ("-", "id--x2d"),
    ],
)
def test_an_id_becomes_a_key_and_comes_back(business_id: str, key: str) -> None:
    assert key_of(business_id) == key
    assert id_of(key) == business_id


@given(st.text(min_size=1, max_size=40))
def test_the_escape_is_reversible_or_refused(business_id: str) -> None:
    try:
        key = key_of(business_id)
    except TopicError:
        assert len(business_id.encode()) > 12
        return
    assert SEGMENT.fullmatch(key)
    assert id_of(key) == business_id


@given(segments | st.builds("{}--{}".format, segments, st.sampled_from(["u1", "u0", "x41", "x"])))
def test_a_key_has_one_id_or_none(key: str) -> None:
    try:
        business_id = id_of(key)
    except TopicError:
        return
    assert key_of(business_id) == key


@pytest.mark.parametrize(
    "key", ["po-17--u0", "a--x4", "a--xff", "a--b", "ABC", "a--u-1", "", "a/b"]
)
def test_a_key_of_another_make_is_refused(key: str) -> None:
    with pytest.raises(TopicError):
        id_of(key)


@pytest.mark.parametrize("business_id", ["", "x" * 64, "A" + "-" * 62, "ä" * 20])
def test_an_id_that_fits_no_segment_is_refused(business_id: str) -> None:
    with pytest.raises(TopicError, match="does not fit"):
        key_of(business_id)


def test_places_are_cut_and_named_by_level() -> None:
    assert parent(CELL, "line") == "acme/berlin/machining/housing"
    assert parent("acme", "line") == "acme"
    assert [level_of(parent(CELL, level)) for level in ("enterprise", "site", "cell")] == [
        "enterprise",
        "site",
        "cell",
    ]
    assert to_dotted(CELL) == "acme.berlin.machining.housing.mill"


@pytest.mark.parametrize(
    ("topic_filter", "topic", "selected"),
    [
        ("acme/#", "acme", True),
        ("acme/#", "acme/b/_tag/x", True),
        ("acme/+/_tag/x", "acme/b/_tag/x", True),
        ("acme/+", "acme/b/_tag/x", False),
        ("acme/b", "acme", False),
        ("acme", "acme/b", False),
        ("+/+", "acme/b", True),
        ("#", "a/b/c", True),
    ],
)
def test_filters_select_as_mqtt_says(topic_filter: str, topic: str, *, selected: bool) -> None:
    assert matches(topic_filter, topic) is selected
