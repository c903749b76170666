"""The JSON of i3X 1.0, as the implementation guide's tables have it. Knows no plant and no store.

What is not set is left out of an answer: `result: null` and no `result` are different things.
"""

from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from uns.api.instants import Instant

IDS_MAX: Final = 1_000
HISTORIES_MAX: Final = 100
WHOLE: Final = 1
"""maxDepth of an element without its components."""
Id = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f]+$")]
Ids = Annotated[list[Id], Field(min_length=1, max_length=IDS_MAX)]
Depth = Annotated[int, Field(ge=0, le=2**31)]
Sequence = Annotated[int, Field(ge=-1, lt=2**64)]
Quality = Literal["Good", "GoodNoData", "Bad", "Uncertain"]
T = TypeVar("T")


class Wire(BaseModel):
    """The common rules: camelCase outside, unknown keys ignored."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class Detail(Wire):
    """What a status means here (RFC 9457)."""

    title: str
    status: int
    detail: str


class Failure(Wire):
    """The answer to a request that could not be served."""

    success: Literal[False] = False
    response_detail: Detail


class Answer(Wire, Generic[T]):
    """The answer to a request for one thing; `response_detail` where it is not all of it."""

    success: bool
    result: T
    response_detail: Detail | None = None


class Item(Wire, Generic[T]):
    """One of many things asked for: its result, or why there is none."""

    success: bool
    element_id: str
    result: T | None = None
    response_detail: Detail | None = None


class SubscriptionItem(Wire, Generic[T]):
    """The same, of subscriptions."""

    success: bool
    subscription_id: str
    result: T | None = None
    response_detail: Detail | None = None


class Bulk(Wire, Generic[T]):
    """The answers in the order of the request; `success`: each of them is one."""

    success: bool
    results: list[T]
    response_detail: Detail | None = None


class Capabilities(Wire):
    """Which of the optional parts there are."""

    query: dict[str, bool]
    update: dict[str, bool]
    subscribe: dict[str, bool]


class ServerInfo(Wire):
    """GET /info."""

    spec_version: str
    server_version: str
    server_name: str
    capabilities: Capabilities


class Namespace(Wire):
    """A group of types."""

    uri: str
    display_name: str


class ObjectType(Wire):
    """The JSON Schema of the values of some objects."""

    model_config = ConfigDict(protected_namespaces=())

    element_id: str
    display_name: str
    namespace_uri: str
    source_type_id: str
    version: str
    schema_: dict[str, Any] = Field(alias="schema")


class RelationshipType(Wire):
    """A kind of edge between objects, and the kind of the edge back."""

    element_id: str
    display_name: str
    namespace_uri: str
    relationship_id: str
    reverse_of: str


class Metadata(Wire):
    """What `includeMetadata` adds."""

    description: str
    type_namespace_uri: str
    source_type_id: str
    relationships: dict[str, list[str]]


class Object(Wire):
    """A place, a tag or a state document."""

    element_id: str
    display_name: str
    type_element_id: str
    parent_id: str | None
    is_composition: bool
    is_extended: bool
    metadata: Metadata | None = None


class Related(Wire):
    """An object at the other end of an edge."""

    source_relationship: str
    object: Object


class Vqt(Wire):
    """Value, quality, timestamp (UTC). A value that is null is Bad or GoodNoData."""

    value: Any
    quality: Quality
    timestamp: str


class CurrentValue(Vqt):
    """POST /objects/value."""

    is_composition: bool
    components: dict[str, Vqt] | None = None


class History(Wire):
    """POST /objects/history."""

    is_composition: bool
    values: list[Vqt]


class Update(Vqt):
    """A value that a subscription saw."""

    element_id: str


class Batch(Wire):
    """Updates that are acknowledged together."""

    sequence_number: int
    updates: list[Update]


class Subscription(Wire):
    """POST /subscriptions."""

    client_id: str
    subscription_id: str
    display_name: str


class Monitored(Wire):
    """An object that a subscription follows."""

    element_id: str
    max_depth: int


class SubscriptionDetail(Wire):
    """POST /subscriptions/list."""

    subscription_id: str
    display_name: str
    monitored_objects: list[Monitored]


class ByIds(Wire):
    """Asks for elements of any kind."""

    element_ids: Ids


class ObjectsAsked(ByIds):
    """POST /objects/list."""

    include_metadata: bool = False


class RelatedAsked(ObjectsAsked):
    """POST /objects/related; without a relationship type, edges of every type."""

    relationship_type: Id | None = None


class ValuesAsked(ByIds):
    """POST /objects/value. max_depth: 1 the element alone, more or 0 its components too."""

    max_depth: Depth = 1


class HistoryAsked(ValuesAsked):
    """POST /objects/history; without times, of the last hour."""

    element_ids: Annotated[list[Id], Field(min_length=1, max_length=HISTORIES_MAX)]
    start_time: Instant | None = None
    end_time: Instant | None = None


class OfClient(Wire):
    """Every request about subscriptions says whose they are."""

    client_id: Id


class SubscriptionWanted(OfClient):
    """POST /subscriptions."""

    display_name: Annotated[str, Field(max_length=200)] | None = None


class SubscriptionsAsked(OfClient):
    """POST /subscriptions/list and /delete."""

    subscription_ids: Ids


class OfSubscription(OfClient):
    """About one subscription."""

    subscription_id: Id


class Registering(OfSubscription):
    """POST /subscriptions/register and /unregister."""

    element_ids: Ids
    max_depth: Depth = 1


class SyncAsked(OfSubscription):
    """POST /subscriptions/sync; -1 acknowledges all there is."""

    last_sequence_number: Sequence | None = None
