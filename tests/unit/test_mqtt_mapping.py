"""Messages of others -> readings and releases: values, what is old, and what is an order."""

from typing import Any, Final

import pytest
from pydantic import ValidationError

from bridges.mqtt.config import MqttSettings, Origin, Value
from bridges.mqtt.mapping import LAST_KNOWN, Adapter, Heard
from bridges.mqtt.payload import Unfit, parsed, time_ms, value_of
from tests.example import EARLY_MS, PRESS, PUMP, plant
from uns.model.observation import BadInput, Fact, Observation, Reading
from uns.model.plant import Plant
from uns.model.releasing import Known

AT: Final = EARLY_MS
ORDER: Final = "L/assembly/pump/order"
RULE: Final[dict[str, Any]] = {
    "lines": ["berlin/assembly/pump"],
    "order_id": [{"topic": "L/{area}/{line}/order", "value": "/number"}],
    "item": {"topic": "L/{area}/{line}/order", "value": "/item", "values": {"Pump A": "pump-a"}},
    "quantity": {"topic": "L/{area}/{line}/order", "value": "/target", "absent": [0]},
}


def adapted(tags: dict[str, Any], orders: list[Any] | None = None, **settings: Any) -> Adapter:
    """One cell, the press, behind a bridge that hears `X/...`."""
    document = plant().model_dump()
    document["bridges"]["there"] = {"protocol": "mqtt"}
    line = document["sites"]["berlin"]["areas"]["assembly"]["lines"]["pump"]
    line["bridge"] = "there"
    for cell in line["cells"].values():
        cell["tags"] = {}
    line["cells"]["press"]["tags"] = tags
    of_plant = Plant.model_validate(document)
    given = {"root": "X", "orders": orders or [], **settings}
    return Adapter(MqttSettings.model_validate(given), of_plant, of_plant.served_by("there"))


def tag(topic: str = "v", role: str = "value", **source: Any) -> dict[str, Any]:
    return {"role": role, "source": {"topic": topic, **source}}


def nothing(_line: str, _order_id: str) -> Known:
    return {}


def hear(
    adapter: Adapter, payload: bytes, topic: str = "X/v", at_ms: int = AT, *, retained: bool = False
) -> list[Observation]:
    return adapter.take([Heard(topic, payload, at_ms, retained)], at_ms + 1_000, nothing)


def reading(adapter: Adapter, payload: bytes, **where: Any) -> Reading:
    (one,) = hear(adapter, payload, **where)
    assert isinstance(one, Reading)
    return one


@pytest.mark.parametrize(
    ("payload", "source", "value"),
    [
        (b"71.5", {}, 71.5),
        (b'{"value": 7}', {"value": "/value"}, 7),
        (b'{"a/b": [{"~": true}]}', {"value": "/a~1b/0/~0"}, True),
        (b"Running", {}, "Running"),
        (b' "42" ', {}, "42"),
        (b'"42"', {"type": "number"}, 42),
        (b"42", {"type": "text"}, "42"),
        (b"0.93", {"scale": 100}, 93.0),
        (b"3.0", {"values": {"3": "ABORTED"}}, "ABORTED"),
        (b"true", {"values": {"true": 1}}, 1),
    ],
)
def test_a_value_is_read(payload: bytes, source: dict[str, Any], value: Any) -> None:
    one = reading(adapted({"t": tag(**source)}), payload)
    assert (one.cell, one.tag, one.value, one.quality) == (PRESS, "t", value, "good")


@pytest.mark.parametrize(
    ("payload", "source", "reason"),
    [
        (b"", {}, "deleted at its source"),
        (b"\xff", {}, "not UTF-8 at byte 0"),
        (b"null", {}, "null"),
        (b"NaN", {}, "NaN is out of range"),
        (b"1e999", {}, "Infinity is out of range"),
        (b"9" * 30, {}, f"{'9' * 30} is out of range"),
        (b"[1]", {}, "an object: say with `value` what of it"),
        (b"[" * 20_000, {}, None),
        (b"7", {"value": "/value"}, "nothing at /value"),
        (b'{"v": [1]}', {"value": "/v/1"}, "nothing at /v/1"),
        (b"0", {"absent": [0]}, "0 stands for none"),
        (b'"n/a"', {"absent": [0, "n/a"]}, '"n/a" stands for none'),
        (b"4", {"values": {"3": "ABORTED"}}, "no value stands for 4"),
        (b"many", {"type": "number"}, '"many" is no number'),
        (b"x" * 70_000, {}, "70000 bytes: at most 65536"),
    ],
)
def test_what_is_no_value_is_bad_and_says_why(
    payload: bytes, source: dict[str, Any], reason: str | None
) -> None:
    one = reading(adapted({"t": tag(**source)}), payload)
    if reason is None:  # deeper than anybody nests: a text like any other
        assert isinstance(one.value, str)
    else:
        assert (one.value, one.quality, one.reason) == (None, "bad", reason)


def test_a_counter_is_a_number_whatever_its_publisher_makes_of_it() -> None:
    assert reading(adapted({"good": tag(role="good_count")}), b'"17"').value == 17


def test_a_topic_is_filled_from_where_the_tag_stands() -> None:
    topic = "{site}/{area}/{line}/+/{cell}/{tag}/#"
    adapter = adapted({"t": tag(topic)}, names={"berlin": "Werk 1", "t": "Temp"})
    assert adapter.filters == ["X/Werk 1/assembly/pump/+/press/Temp/#"]
    assert hear(adapter, b"1", "X/Werk 1/assembly/pump/v2/press/Temp/now")
    assert not hear(adapter, b"1", "X/Werk 2/assembly/pump/v2/press/Temp/now")


def test_what_is_retained_is_the_last_value_known_and_of_now() -> None:
    adapter = adapted({"t": tag()}, value="/v", time="/at")
    one = reading(adapter, b'{"v": 1, "at": 1700000000}', retained=True)
    assert (one.value, one.quality, one.reason, one.at_ms) == (1, "uncertain", LAST_KNOWN, AT)


def test_what_is_retained_is_never_late_and_makes_nothing_late() -> None:
    adapter = adapted({"t": tag()}, value="/v", time="/at")

    def said(at_ms: int, came_ms: int, *, retained: bool = False) -> list[Observation]:
        payload = f'{{"v": 1, "at": {at_ms}}}'.encode()
        return hear(adapter, payload, at_ms=came_ms, retained=retained)

    assert said(AT + 5_000, AT)  # a clock that is ahead
    assert said(AT + 5_000, AT + 1, retained=True)
    assert said(AT + 5_001, AT + 2)
    assert said(AT, AT + 60_000, retained=True)
    assert said(AT + 50_000, AT + 60_001)


@pytest.mark.parametrize(
    ("at", "at_ms"),
    [
        ("1795410000", AT),
        ("1795410000.5", AT + 500),
        ("1795410000000", AT),
        ("1795410000000000", AT),
        ('"1795410000000"', AT),
        ('"2026-11-23T05:00:00Z"', AT),
        ('"2026-11-23T06:00:00.250+01:00"', AT + 250),
        ('"2026-11-23T06:00:00"', None),  # no offset: of which zone?
        ('"soon"', None),
        ("true", None),
        ("-5", None),
        ("NaN", None),
        ("[]", None),
    ],
)
def test_the_time_of_a_payload(at: str, at_ms: int | None) -> None:
    assert time_ms(parsed(at.encode())) == at_ms
    adapter = adapted({"t": tag()}, value="/v", time="/at")
    one = reading(adapter, f'{{"v": 1, "at": {at}}}'.encode(), at_ms=AT + 9)
    expected = (AT + 9, "uncertain", "no time at /at") if at_ms is None else (at_ms, "good", None)
    assert (one.at_ms, one.quality, one.reason) == expected


def test_a_message_that_was_overtaken_is_passed_over_and_a_clock_set_back_is_followed() -> None:
    adapter = adapted({"t": tag()}, value="/v", time="/at", late_ms_max=10_000)

    def said(value: int, at_ms: int) -> list[Observation]:
        return hear(adapter, f'{{"v": {value}, "at": {at_ms}}}'.encode())

    assert said(1, AT)
    assert not said(2, AT - 10_000)
    assert said(3, AT)
    assert said(4, AT - 10_001)
    assert not said(5, AT - 10_002)


class Desk:
    """An adapter with what was recorded of its releases."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.facts: dict[str, Any] = {}

    def say(self, payload: bytes, at_ms: int = AT, wait_ms: int = 1_000) -> list[Observation]:
        told = self.adapter.take([Heard(f"X/{ORDER}", payload, at_ms)], at_ms + wait_ms, self.known)
        return self.recorded(told)

    def recorded(self, told: list[Observation]) -> list[Observation]:
        self.facts |= {f.business_key or "": f.body for f in told if isinstance(f, Fact)}
        return told

    def known(self, line: str, order_id: str) -> Known:
        prefix = f"{line}:{order_id}@"
        return {key: body for key, body in self.facts.items() if key.startswith(prefix)}

    @property
    def released(self) -> list[tuple[Any, ...]]:
        return [
            (f["order_id"], f["item"], f["quantity"], f["revision"]) for f in self.facts.values()
        ]


def order(number: str = "WO-1", item: str = "Pump A", target: Any = 300, key: int = 1) -> bytes:
    made = {"number": number, "item": item, "target": target, "id": key}
    return repr(made).replace("'", '"').encode()


TAGS: Final = {"order": {"role": "order", "source": {"order": "order_id"}}}


def test_an_order_is_told_once_whatever_its_id() -> None:
    desk = Desk(adapted(TAGS, [RULE]))
    loaded, released = desk.say(order())
    assert isinstance(loaded, Reading)
    assert (loaded.value, loaded.at_ms) == ("WO-1", AT)
    assert isinstance(released, Fact)
    assert (released.path, released.business_key) == (PUMP, f"{PUMP}:WO-1@1")
    assert desk.say(order(key=2)) == []
    desk.say(order("WO-2", key=3))
    desk.say(order(key=4))
    assert desk.released == [("WO-1", "pump-a", 300, 1), ("WO-2", "pump-a", 300, 1)]
    again = Desk(adapted(TAGS, [RULE]))  # a bridge that was started anew
    again.facts = desk.facts
    assert [type(one) for one in again.say(order(key=5))] == [Reading]


def test_another_target_is_the_next_revision_also_back() -> None:
    desk = Desk(adapted(TAGS, [RULE]))
    for target in (300, 500, 300, "400"):
        desk.say(order(target=target))
    assert [one[2:] for one in desk.released] == [(300, 1), (500, 2), (300, 3), (400, 4)]


def test_an_order_waits_until_it_has_settled() -> None:
    adapter = adapted(TAGS, [RULE], settle_ms=100)
    desk = Desk(adapter)
    assert desk.say(order(), wait_ms=99) == []
    assert len(desk.recorded(adapter.take([], AT + 100, desk.known))) == 2
    assert adapter.take([], AT + 200, desk.known) == []


@pytest.mark.parametrize("payload", [order(target=0), order(number=""), b'{"number": "WO-1"}'])
def test_without_a_number_or_a_target_there_is_no_order(payload: bytes) -> None:
    assert not [one for one in Desk(adapted(TAGS, [RULE])).say(payload) if isinstance(one, Fact)]


def test_an_order_that_is_taken_away_is_unloaded() -> None:
    desk = Desk(adapted(TAGS, [RULE]))
    desk.say(order())
    for gone in (order(number=""), b""):
        (unloaded,) = desk.say(gone)
        assert isinstance(unloaded, Reading)
        assert (unloaded.value, unloaded.quality) == ("", "good")
        assert len(desk.say(order(key=9))) == 1


def test_after_a_lost_connection_the_order_is_shown_again_and_not_released_again() -> None:
    desk = Desk(adapted(TAGS, [RULE]))
    desk.say(order())
    assert desk.say(order()) == []
    desk.adapter.lost()
    (shown,) = desk.say(order())
    assert isinstance(shown, Reading)
    assert shown.value == "WO-1"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (order(item="Pump Z"), 'item: no value stands for "Pump Z"'),
        (order(target="many"), 'quantity: "many" is no number'),
        (order(target=1.5), "quantity: Input should be a valid integer"),
        (order("x" * 200), "order_id: String should have at most 128 characters"),
    ],
)
def test_what_cannot_be_released_is_said_once(payload: bytes, reason: str) -> None:
    desk = Desk(adapted(TAGS, [RULE]))
    (bad,) = [one for one in desk.say(payload) if isinstance(one, BadInput)]
    assert (bad.reject_class, bad.reason, bad.origin) == ("bad-order", reason, f"{PUMP}/order")
    desk.adapter.lost()
    assert not [one for one in desk.say(payload) if isinstance(one, BadInput)]
    assert desk.facts == {}


def test_an_identity_of_several_topics() -> None:
    parts = [{"topic": "number"}, {"topic": "lot"}]
    adapter = adapted(TAGS, [{**RULE, "order_id": parts}])
    known = Desk(adapter).known
    heard = [Heard("X/number", b"WO-1", AT), Heard("X/lot", b"7.0", AT)]
    assert adapter.take(heard[:1], AT + 1_000, known) == []
    (loaded,) = adapter.take(heard[1:], AT + 1_000, known)
    assert isinstance(loaded, Reading)
    assert loaded.value == "WO-1-7"


@pytest.mark.parametrize(
    "topic", ["", "a/#/b", "a+/b", "{cel}/x", "{site/x", "a/{{site}}", "a\0b", "x" * 1_001]
)
def test_what_is_no_topic_is_refused(topic: str) -> None:
    with pytest.raises(ValidationError):
        Origin(topic=topic)


@pytest.mark.parametrize("root", ["", "+", "#", "a/+", "$SYS", "/a", "a/", "a#"])
def test_what_is_no_root_is_refused(root: str) -> None:
    with pytest.raises(ValidationError):
        MqttSettings(root=root)


def test_a_value_of_nothing_is_unfit() -> None:
    assert value_of(Unfit("gone"), Value(), "", "as-is") == Unfit("gone")
