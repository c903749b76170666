"""The settings of an MQTT bridge and the address of a value, as namespace.yaml states them."""

import re
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from uns.model.plant import Segment
from uns.mqtt.server import checked_url

PLACEHOLDERS: Final = ("site", "area", "line", "cell", "tag")
LINE_PLACEHOLDERS: Final = PLACEHOLDERS[:3]
ORDER_FIELDS: Final = ("order_id", "item", "quantity", "due", "priority")
TOPIC_BYTES_MAX: Final = 1_000
_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_LEVEL: Final = re.compile(r"[^+#\0]*|[+#]")

OrderField = Literal["order_id", "item", "quantity", "due", "priority"]
Word = StrictBool | StrictInt | StrictFloat | StrictStr


def placeholders(topic: str) -> list[str]:
    """The words in braces of a topic."""
    return _BRACES.findall(topic)


def _is_topic(topic: str) -> str:
    """A filter of MQTT (3.1.1, 4.7) whose braces hold levels of the place."""
    levels = topic.split("/")
    if not all(map(_LEVEL.fullmatch, levels)) or "#" in levels[:-1]:
        raise ValueError("'+' is a whole level, '#' the last one")
    if unknown := [word for word in placeholders(topic) if word not in PLACEHOLDERS]:
        raise ValueError(f"unknown {{{unknown[0]}}}: use {{{'}, {'.join(PLACEHOLDERS)}}}")
    if set("{}") & set(_BRACES.sub("", topic)):
        raise ValueError("a brace stands alone")
    return topic


def _is_root(root: str) -> str:
    if not _LEVEL.fullmatch(root.replace("/", "")) or root in ("+", "#"):
        raise ValueError("no '+' and no '#' here")
    if root.startswith(("$", "/")) or root.endswith("/"):
        raise ValueError("does not begin with '$' or '/', nor end with '/'")
    return root


def _is_pointer(text: str) -> str:
    if text and not text.startswith("/"):
        raise ValueError("a JSON pointer begins with '/': /data/value")
    return text


Topic = Annotated[str, Field(min_length=1, max_length=TOPIC_BYTES_MAX), AfterValidator(_is_topic)]
Root = Annotated[str, Field(min_length=1, max_length=TOPIC_BYTES_MAX), AfterValidator(_is_root)]
Pointer = Annotated[str, Field(max_length=256), AfterValidator(_is_pointer)]


class Value(BaseModel):
    """How a value is read from a payload."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    value: Pointer | None = None
    """JSON pointer (RFC 6901) to it, where it is not the bridge's; "" for the whole payload."""
    values: dict[str, Word] = {}
    """What each value means; then one that is not listed is none."""
    absent: Annotated[tuple[Word, ...], Field(max_length=64)] = ()
    """Values that mean that there is none, as a standard rate of 0."""
    type: Literal["as-is", "number", "text"] = "as-is"
    """`number` reads "42" too; counters and quantities are numbers anyhow, ids are texts."""
    scale: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    """Factor of a number."""


class Origin(Value):
    """A value at a topic."""

    topic: Topic
    """Below the bridge's `root`; {site}, {area}, {line}, {cell} and {tag} stand for where it is
    read to, `+` and `#` for any level."""


class MqttSource(Value):
    """Where the value of a tag stands: at a topic, or in the order of the cell's line."""

    topic: Topic | None = None
    """Below the bridge's `root`; {site}, {area}, {line}, {cell} and {tag} stand for where the tag
    is, `+` and `#` for any level."""
    order: OrderField | None = None
    """Instead: what the rule in `orders` makes of the line's order."""

    @model_validator(mode="after")
    def _has_one_origin(self) -> "MqttSource":
        if (self.topic is None) == (self.order is None):
            raise ValueError("say 'topic' or 'order', one of them")
        if self.order and self.model_fields_set != {"order"}:
            raise ValueError("'order' stands alone: the rule in 'orders' says the rest")
        return self


class OrderRule(BaseModel):
    """What makes an order of what is said about the one that a line has now."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    lines: Annotated[tuple[str, ...], Field(min_length=1, max_length=200)]
    """The lines that it is for, as site/area/line."""
    order_id: Annotated[tuple[Origin, ...], Field(min_length=1, max_length=4)]
    """What makes it the same order again. Never an id that a replay gives anew."""
    separator: Annotated[str, Field(max_length=4)] = "-"
    """Between the parts of `order_id`."""
    item: Origin
    """What is made: an item of namespace.yaml."""
    quantity: Origin
    """Good pieces wanted."""
    due: Origin | None = None
    """ISO 8601 with an offset."""
    priority: Origin | None = None
    """0 to 100, higher is more urgent."""

    @model_validator(mode="after")
    def _is_of_a_line(self) -> "OrderRule":
        fields = {name: origins for name in ORDER_FIELDS if (origins := self.origins(name))}
        for name, origins in fields.items():
            words = {word for origin in origins for word in placeholders(origin.topic)}
            if foreign := sorted(words - set(LINE_PLACEHOLDERS)):
                raise ValueError(f"{name}: an order is a line's, it has no {{{foreign[0]}}}")
        return self

    def origins(self, field: str) -> tuple[Origin, ...]:
        """Where a field is read; empty for one that is not."""
        found: tuple[Origin, ...] | Origin | None = getattr(self, field)
        if found is None:
            return ()
        return (found,) if isinstance(found, Origin) else found


class MqttSettings(BaseModel):
    """A namespace that somebody else publishes, and how it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    root: Root
    """The levels that all of its topics begin with, as `Enterprise B`."""
    server: Annotated[str, AfterValidator(checked_url)] | None = None
    """A foreign broker, `mqtt://user:password@host:port`; absent: the hub's own."""
    mqtt_version: Literal["3.1.1", 5] = "3.1.1"
    """Version of MQTT."""
    names: dict[Segment, Annotated[str, Field(min_length=1, max_length=256)]] = {}
    """How names of ours are written there, as `site1: Site1`."""
    value: Pointer = ""
    """JSON pointer to the value in each payload; absent: the payload is the value."""
    time: Pointer | None = None
    """JSON pointer to its time: ISO 8601 with an offset, or s, ms, us since 1970; absent: when the
    message comes."""
    late_ms_max: Annotated[int, Field(ge=0, le=600_000)] = 10_000
    """A value older than the last of its topic is passed over; by more than this, the clock of the
    source was set back, and it is taken."""
    settle_ms: Annotated[int, Field(ge=10, le=10_000)] = 100
    """Messages belong together until so long none has come, at most ten times that."""
    orders: Annotated[tuple[OrderRule, ...], Field(max_length=100)] = ()
    """Which orders the lines have."""
