"""Answers about many things at once, and answers that are not all of it (1.0, Response Format).

Each thing succeeds or fails on its own, in the order of the request.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import Response

from uns.api.errors import ApiError, Missing, Problem, as_problem
from uns.api.i3x.wire import Bulk, Detail, Item, SubscriptionItem

T = TypeVar("T")
Find = Callable[[str], T]
"""What is known by an id; raises Missing or Refused."""


def elements(ids: Iterable[str], find: Find[T]) -> Bulk[Item[T]]:
    """What is known of elements."""
    items = [Item[T](element_id=id_, **outcome) for id_, outcome in _each(ids, find)]
    return Bulk(success=all(item.success for item in items), results=items)


def subscriptions(ids: Iterable[str], find: Find[T]) -> Bulk[SubscriptionItem[T]]:
    """What is known of subscriptions."""
    items = [
        SubscriptionItem[T](subscription_id=id_, **outcome) for id_, outcome in _each(ids, find)
    ]
    return Bulk(success=all(item.success for item in items), results=items)


def of(known: Mapping[str, T], what: str) -> Find[T]:
    """Finds by id; `what` names the kind of thing."""

    def find(id_: str) -> T:
        if id_ not in known:
            raise Missing(f"no {what} {id_!r}")
        return known[id_]

    return find


def cut(found: Bulk[T], response: Response, why: str) -> Bulk[T]:
    """The same answer, said to be a part."""
    return found.model_copy(update={"response_detail": partial_detail(response, why)})


def as_detail(problem: Problem) -> Detail:
    """A problem as i3X says it, where a malformed request is 400 (1.0, Failure)."""
    malformed = problem.status == HTTPStatus.UNPROCESSABLE_ENTITY
    status = HTTPStatus.BAD_REQUEST if malformed else HTTPStatus(problem.status)
    return Detail(title=status.phrase, status=status, detail=problem.detail)


def partial_detail(response: Response, why: str) -> Detail:
    """Says on a response that it is a part, and why."""
    response.status_code = HTTPStatus.PARTIAL_CONTENT
    return Detail(title="Partial Content", status=HTTPStatus.PARTIAL_CONTENT, detail=why)


def _each(ids: Iterable[str], find: Find[T]) -> Iterator[tuple[str, dict[str, Any]]]:
    for id_ in ids:
        try:
            yield id_, {"success": True, "result": find(id_)}
        except ApiError as error:
            yield id_, {"success": False, "response_detail": as_detail(as_problem(error))}
