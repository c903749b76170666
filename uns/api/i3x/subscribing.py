"""The paths of i3X that subscribe (1.0, Subscribe Methods). All run in the event loop's thread.

The newest value of an object is the first update of it; what follows comes from the feed.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter

from uns.api.context import Context, Given
from uns.api.errors import Busy, Missing, Refused
from uns.api.i3x import bulk
from uns.api.i3x.look import Look, TheSpaces, look
from uns.api.i3x.space import Spaces
from uns.api.i3x.subscriptions import (
    ELEMENTS_MAX,
    SUBSCRIPTIONS_MAX,
    UPDATES_MAX,
    Subscription,
    Subscriptions,
)
from uns.api.i3x.wire import (
    WHOLE,
    Answer,
    Batch,
    Bulk,
    Item,
    Monitored,
    OfSubscription,
    Registering,
    SubscriptionDetail,
    SubscriptionItem,
    SubscriptionsAsked,
    SubscriptionWanted,
    SyncAsked,
    Update,
)
from uns.api.i3x.wire import Subscription as Created
from uns.historian.reader import Reader

KEEP_ALIVE_S: Final = 15.0
KEEP_ALIVE: Final = b": nothing new\n\n"
UPDATES: Final = TypeAdapter(list[Update])

router = APIRouter(prefix="/subscriptions")
post = partial(router.post, response_model_exclude_unset=True)


def _all(request: Request) -> Subscriptions:
    subscriptions: Subscriptions = request.app.state.subscriptions
    return subscriptions


All = Annotated[Subscriptions, Depends(_all)]


@post("")
async def create(subscriptions: All, wanted: SubscriptionWanted) -> Answer[Created]:
    """A new subscription of a client, with nothing in it."""
    made = subscriptions.create(wanted.client_id, wanted.display_name)
    if made is None:
        raise Busy(f"{SUBSCRIPTIONS_MAX} subscriptions are there already: delete some")
    created = Created(client_id=made.client_id, subscription_id=made.id, display_name=made.name)
    return Answer(success=True, result=created)


@post("/list")
async def list_subscriptions(
    subscriptions: All, asked: SubscriptionsAsked
) -> Bulk[SubscriptionItem[SubscriptionDetail]]:
    """A client's subscriptions by id, and what they follow."""
    return bulk.subscriptions(
        asked.subscription_ids, lambda id_: _detail(_found(subscriptions, asked.client_id, id_))
    )


@post("/delete")
async def delete(subscriptions: All, asked: SubscriptionsAsked) -> Bulk[SubscriptionItem[None]]:
    """Forget subscriptions and what waits in them."""
    return bulk.subscriptions(
        asked.subscription_ids,
        lambda id_: subscriptions.delete(_found(subscriptions, asked.client_id, id_)),
    )


@post("/register")
async def register(
    subscriptions: All, context: Given, spaces: TheSpaces, asked: Registering
) -> Bulk[Item[None]]:
    """Follow objects from now on; their newest values are the first updates."""
    _found(subscriptions, asked.client_id, asked.subscription_id)
    async with context.readers.lent() as reader:
        seen = await run_in_threadpool(_looked, reader, context, spaces, asked)
    subscription = _found(subscriptions, asked.client_id, asked.subscription_id)

    def follow(id_: str) -> None:
        if seen.known(id_) in subscription.monitored:
            return
        if len(subscription.monitored) == ELEMENTS_MAX:
            raise Refused(f"more than {ELEMENTS_MAX} elements: use another subscription")
        subscription.monitored[id_] = asked.max_depth
        for one in _followed(seen, asked, id_):
            subscription.take(Update(element_id=one, **vars(seen.value(one))))

    return bulk.elements(asked.element_ids, follow)


@post("/unregister")
async def unregister(subscriptions: All, asked: Registering) -> Bulk[Item[None]]:
    """Follow objects no longer; what was heard of them stays."""
    subscription = _found(subscriptions, asked.client_id, asked.subscription_id)

    def forget(id_: str) -> None:
        if subscription.monitored.pop(id_, None) is None:
            raise Missing(f"no element {id_!r} in this subscription")

    return bulk.elements(asked.element_ids, forget)


@post("/sync")
async def sync(subscriptions: All, response: Response, asked: SyncAsked) -> Answer[list[Batch]]:
    """Acknowledge what came before, and take what is new."""
    subscription = _found(subscriptions, asked.client_id, asked.subscription_id, asking=True)
    if subscription.streaming:
        raise Refused("this subscription has an open stream: close it before you sync")
    batches, lost = subscription.sync(asked.last_sequence_number)
    if not lost:
        return Answer(success=True, result=batches)
    why = f"updates were lost: at most {UPDATES_MAX} wait; ask more often"
    detail = bulk.partial_detail(response, why)
    return Answer(success=True, result=batches, response_detail=detail)


@router.post(
    "/stream",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def stream(subscriptions: All, asked: OfSubscription) -> StreamingResponse:
    """Updates as they come (server-sent events). A stream that was open before ends."""
    subscription = _found(subscriptions, asked.client_id, asked.subscription_id, asking=True)
    return StreamingResponse(_events(subscriptions, subscription), media_type="text/event-stream")


async def _events(subscriptions: Subscriptions, subscription: Subscription) -> AsyncIterator[bytes]:
    """An event for whatever waits, until another stream takes over or the subscription ends."""
    news = asyncio.Event()
    mine = subscription.open_stream(news.set)
    try:
        while subscription.stream == mine:
            if updates := subscription.drain():
                yield b"data: " + UPDATES.dump_json(updates, by_alias=True) + b"\n\n"
                continue
            news.clear()
            try:
                await asyncio.wait_for(news.wait(), KEEP_ALIVE_S)
            except TimeoutError:
                yield KEEP_ALIVE
    finally:
        subscriptions.closed(subscription, mine)


def _looked(reader: Reader, context: Context, spaces: Spaces, asked: Registering) -> Look:
    """A look at the objects that shall be followed."""
    seen = look(reader, context, spaces)
    seen.read(reader, [one for id_ in asked.element_ids for one in _followed(seen, asked, id_)])
    return seen


def _followed(seen: Look, asked: Registering, id_: str) -> list[str]:
    """An object, with its components where they are followed too."""
    parts = [] if asked.max_depth == WHOLE else seen.space.components.get(id_, [])
    return [id_, *parts]


def _found(
    subscriptions: Subscriptions, client_id: str, id_: str, *, asking: bool = False
) -> Subscription:
    """A client's subscription; Missing where it has none of that id, or somebody else has."""
    found = subscriptions.find(client_id, id_, asking=asking)
    if found is None:
        raise Missing(f"no subscription {id_!r}")
    return found


def _detail(one: Subscription) -> SubscriptionDetail:
    monitored = [Monitored(element_id=id_, max_depth=d) for id_, d in one.monitored.items()]
    return SubscriptionDetail(
        subscription_id=one.id, display_name=one.name, monitored_objects=monitored
    )
