"""The paths of i3X that explore and query (1.0, Exploratory Methods, Query Methods)."""

from collections.abc import Collection, Sequence
from functools import partial
from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Query, Response
from starlette.exceptions import HTTPException

from uns.api.context import Record
from uns.api.i3x.bulk import cut, elements, of, partial_detail
from uns.api.i3x.look import Looked
from uns.api.i3x.space import NAMESPACES, RELATIONSHIPS
from uns.api.i3x.values import vqt
from uns.api.i3x.wire import (
    WHOLE,
    Answer,
    Bulk,
    ByIds,
    Capabilities,
    CurrentValue,
    History,
    HistoryAsked,
    Item,
    Namespace,
    Object,
    ObjectsAsked,
    ObjectType,
    Related,
    RelatedAsked,
    RelationshipType,
    ServerInfo,
    ValuesAsked,
    Vqt,
)
from uns.api.limits import window
from uns.historian.history import values
from uns.historian.history.period import Period
from uns.historian.reader import Reader

OBJECTS_MAX: Final = 20_000
VALUES_MAX: Final = 10_000
T = TypeVar("T")

router = APIRouter()
get = partial(router.get, response_model_exclude_unset=True)
post = partial(router.post, response_model_exclude_unset=True)
NamespaceUri = Annotated[str | None, Query(alias="namespaceUri", max_length=512)]


@get("/info")
def info() -> Answer[ServerInfo]:
    """What this server is and can do; needs no token."""
    can = Capabilities(
        query={"history": True},
        update={"current": False, "history": False},
        subscribe={"stream": True},
    )
    server = ServerInfo(
        spec_version="1.0", server_version=version("uns-mes"), server_name="uns", capabilities=can
    )
    return Answer(success=True, result=server)


@get("/namespaces")
def namespaces() -> Answer[list[Namespace]]:
    """The groups of types."""
    return Answer(success=True, result=list(NAMESPACES))


@get("/objecttypes")
def object_types(look: Looked, uri: NamespaceUri = None) -> Answer[list[ObjectType]]:
    """Every object type, or those of a namespace."""
    return Answer(success=True, result=_of_namespace(look.space.types.values(), uri))


@post("/objecttypes/query")
def query_object_types(look: Looked, asked: ByIds) -> Bulk[Item[ObjectType]]:
    """Object types by id."""
    return elements(asked.element_ids, of(look.space.types, "object type"))


@get("/relationshiptypes")
def relationship_types(uri: NamespaceUri = None) -> Answer[list[RelationshipType]]:
    """Every kind of edge, or those of a namespace."""
    return Answer(success=True, result=_of_namespace(RELATIONSHIPS.values(), uri))


@post("/relationshiptypes/query")
def query_relationship_types(asked: ByIds) -> Bulk[Item[RelationshipType]]:
    """Kinds of edges by id."""
    return elements(asked.element_ids, of(RELATIONSHIPS, "relationship type"))


@get("/objects")
def objects(
    look: Looked,
    response: Response,
    type_id: Annotated[str | None, Query(alias="typeElementId", max_length=512)] = None,
    metadata: Annotated[bool, Query(alias="includeMetadata")] = False,  # noqa: FBT002 - a query
    root: bool = False,  # noqa: FBT001, FBT002 - a query
) -> Answer[list[Object]]:
    """The objects of the plant: all, of a type, or the root."""
    found = [
        id_
        for id_, element in look.space.elements.items()
        if type_id in (None, element.type_id) and not (root and element.parent_id)
    ]
    result = [look.space.object(id_, metadata=metadata) for id_ in found[:OBJECTS_MAX]]
    if len(found) <= OBJECTS_MAX:
        return Answer(success=True, result=result)
    detail = partial_detail(response, f"only the first {OBJECTS_MAX} objects: ask by type")
    return Answer(success=True, result=result, response_detail=detail)


@post("/objects/list")
def list_objects(look: Looked, asked: ObjectsAsked) -> Bulk[Item[Object]]:
    """Objects by id, without their values."""
    return elements(
        asked.element_ids,
        lambda id_: look.space.object(look.known(id_), metadata=asked.include_metadata),
    )


@post("/objects/related")
def related_objects(
    look: Looked, response: Response, asked: RelatedAsked
) -> Bulk[Item[list[Related]]]:
    """What objects are connected to, by one kind of edge or all."""
    budget = Budget(OBJECTS_MAX)

    def find(id_: str) -> list[Related]:
        edges = look.space.edges[look.known(id_)]
        wanted = [e for e in edges if asked.relationship_type in (None, e.relationship)]
        return [
            Related(
                source_relationship=edge.relationship,
                object=look.space.object(edge.to, metadata=asked.include_metadata),
            )
            for edge in budget.take(wanted)
        ]

    found = elements(asked.element_ids, find)
    return cut(found, response, f"only {OBJECTS_MAX} objects") if budget.short else found


@post("/objects/value")
def current_values(
    look: Looked, record: Record, response: Response, asked: ValuesAsked
) -> Bulk[Item[CurrentValue]]:
    """The newest values, of components too where `maxDepth` is not 1."""
    budget = Budget(VALUES_MAX)
    look.read(record, asked.element_ids)

    def find(id_: str) -> CurrentValue:
        own = vars(look.value(look.known(id_)))
        parts = look.space.components.get(id_, [])
        if asked.max_depth == WHOLE or not parts:
            return CurrentValue(is_composition=bool(parts), **own)
        given = budget.take(parts)
        look.read(record, given)
        components = {one: look.value(one) for one in given}
        return CurrentValue(is_composition=True, components=components, **own)

    found = elements(asked.element_ids, find)
    return cut(found, response, f"only {VALUES_MAX} components") if budget.short else found


@post("/objects/history")
def historical_values(
    look: Looked, record: Record, response: Response, asked: HistoryAsked
) -> Bulk[Item[History]]:
    """Recorded values by time; those of components are asked for by their own ids."""
    period, budget = _period(look.now_ms, asked), Budget(VALUES_MAX)

    def find(id_: str) -> History:
        is_topic = look.space.is_topic(look.known(id_))
        past = _past(record, id_, period, budget) if period and is_topic else []
        return History(is_composition=id_ in look.space.components, values=past)

    found = elements(asked.element_ids, find)
    if budget.short:
        return cut(found, response, f"only {VALUES_MAX} values: ask for a shorter time")
    if asked.max_depth != WHOLE and any(
        i.result and i.result.is_composition for i in found.results
    ):
        return cut(found, response, "no values of components: ask for them by their own ids")
    return found


@router.put("/objects/value", include_in_schema=False)
@router.put("/objects/history", include_in_schema=False)
def update() -> None:
    """Nothing is written here: devices are written by `uns write`, the record by nobody."""
    raise HTTPException(HTTPStatus.NOT_IMPLEMENTED, "this server only reads")


class Budget:
    """How much an answer may still hold. `short`: it was not enough."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.short = False

    def take(self, wanted: Sequence[T]) -> Sequence[T]:
        """As many as may be."""
        given = wanted[: self.left]
        self.left -= len(given)
        self.short |= len(given) < len(wanted)
        return given


def _of_namespace(types: Collection[Any], uri: str | None) -> list[Any]:
    return [one for one in types if uri in (None, one.namespace_uri)]


def _period(now_ms: int, asked: HistoryAsked) -> Period | None:
    """The time asked for as far as it is past; None where all of it lies ahead."""
    if asked.start_time is not None and asked.start_time >= now_ms:
        return None
    return window(now_ms, asked.start_time, asked.end_time)


def _past(reader: Reader, id_: str, period: Period, budget: Budget) -> list[Vqt]:
    """A topic's values in a period, as many as may be."""
    page = values.raw(reader, id_, period, max(budget.left, 1))
    budget.short |= page.after is not None
    return [vqt(one.value, one.quality, one.at_ms) for one in budget.take(page.items)]
