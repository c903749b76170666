"""Hears the hub: what orders have come to, what they consumed, and what became of our commands.

Owns what of the hub's messages goes into the bridge's file; all of a batch does in one transaction,
and only then is the batch acknowledged. What breaks the contract is the historian's to quarantine.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from bridges.erp_rest.confirmation import (
    Account,
    account_id,
    ended,
    with_consumed,
    with_document,
    with_interval,
)
from bridges.erp_rest.mapping import routing_of
from bridges.erp_rest.store import Store
from bridges.erp_rest.telling import Rules, tell
from uns.codec import Cleared, Codec, Reject
from uns.codec import Message as Decoded
from uns.fold import Document
from uns.model.events import Consumed, OeeInterval, OrderClosed, Reply
from uns.model.path import Topic, TopicError, id_of, parent
from uns.model.plant import Plant
from uns.mqtt.message import Message

ORDER: Final = "order"

log = logging.getLogger(__name__)


class Clocks(NamedTuple):
    """Plant time and wall time, in ms since 1970."""

    plant: Callable[[], int]
    wall: Callable[[], int]


class Hearing:
    """Takes batches of messages into the store, and out of it what is to be told."""

    def __init__(
        self, store: Store, plant: Plant, clocks: Clocks, on_reply: Callable[[Reply], None]
    ) -> None:
        self._store = store
        self._plant = plant
        self._codec = Codec(plant)
        self._clocks = clocks
        self._on_reply = on_reply
        self._shown_ids: set[str] = set()

    @property
    def filters(self) -> list[str]:
        """What is subscribed to; the broker's rules allow these and no more."""
        root = self._plant.enterprise
        line, cell = f"{root}/+/+/+", f"{root}/+/+/+/+"
        return [
            f"{line}/_state/{ORDER}/+",
            f"{line}/_event/{OrderClosed.type_name}",
            f"{cell}/_event/{Consumed.type_name}",
            f"{cell}/_event/{OeeInterval.type_name}",
            f"{root}/+/_event/{Reply.type_name}/+",
        ]

    def take(self, messages: Iterable[Message]) -> None:
        """Store what a batch says; durable on return."""
        with self._store.together():
            for message in messages:
                decoded = self._codec.decode(message.topic, message.payload)
                if not isinstance(decoded, Reject):
                    self._take(decoded)

    def tell(self, rules: Rules) -> Iterator[int]:
        """Put into the outbox what is to be told now; how many confirmations, order by order.

        Between two orders there may be news: each is as it stands when it has its turn.
        """
        for key in self._store.with_news(own=rules.is_own):
            if (account := self._store.account_of(key)) is not None:
                yield self._tell(account, rules)

    def _tell(self, account: Account, rules: Rules) -> int:
        others = self._store.others(account)
        told = tell(account, self._clocks.plant(), rules, self._day(account), others)
        if told.account != account:
            with self._store.together():
                self._store.post(told.confirmations, self._clocks.wall())
                self._keep(told.account)
        return len(told.confirmations)

    def missing(self) -> set[str]:
        """Orders that have not ended, as far as is known, and do not stand in the tree."""
        return self._store.open_ids() - self._shown_ids

    def _take(self, decoded: Decoded) -> None:
        match decoded:
            case Decoded(topic, Cleared()) if topic.name == ORDER:
                self._cleared(topic)
            case Decoded(topic, dict() as document) if topic.name == ORDER:
                self._shown(topic.path, document)
            case Decoded(topic, OrderClosed() as event):
                if account := self._shown(topic.path, event.document):
                    self._keep(ended(account, self._until_now(event.at_ms)))
            case Decoded(_, Consumed() | OeeInterval() as event) if event.order_id:
                self._add(event, event.order_id)
            case Decoded(_, Reply() as reply):
                self._on_reply(reply)

    def _shown(self, line: str, document: Document) -> Account | None:
        """An order's document, as it is shown or at its end."""
        try:
            routing = routing_of(str(document["item"]), line, self._plant)
            before = self._store.account(line, str(document["order_id"]))
            account = with_document(before, document, routing)
        except (KeyError, TypeError, ValueError) as error:
            log.warning("%s: no document of an order: %r", line, error)
            return None
        if account.split_from and not account.of_order:
            account = account.model_copy(update={"of_order": self._whole(account.split_from)})
        self._shown_ids.add(account_id(line, account.order_id))
        if account != before:
            self._keep(account)
        return account

    def _whole(self, order_id: str) -> str:
        """Which order of the counterpart's an order of ours is, or is a part of."""
        accounts = (self._store.account(line, order_id) for line in self._plant.lines)
        return next((one.whole for one in accounts if one.item is not None), order_id)

    def _cleared(self, topic: Topic) -> None:
        """An order whose topic is cleared has ended, and that is on record."""
        try:
            account = self._store.account(topic.path, id_of(topic.keys[0]))
        except (TopicError, IndexError):
            return
        self._shown_ids.discard(account_id(account.line, account.order_id))
        if account.item is not None and account.ended_ms is None:
            self._keep(ended(account, self._clocks.plant()))

    def _add(self, event: Consumed | OeeInterval, order_id: str) -> None:
        account = self._store.account(parent(event.path, "line"), order_id)
        if not self._store.is_new(event.id, account):
            return
        if isinstance(event, Consumed):
            self._keep(with_consumed(account, event))
        else:
            self._keep(with_interval(account, event))

    def _keep(self, account: Account) -> None:
        """Store an account; no clock that runs ahead, or counts in other units, dates it."""
        dated = account.model_copy(update={"at_ms": self._until_now(account.at_ms)})
        self._store.keep(dated, self._clocks.wall())

    def _until_now(self, at_ms: int) -> int:
        return min(at_ms, self._clocks.plant())

    def _day(self, account: Account) -> str:
        site = self._plant.sites[account.line.split("/")[1]]
        at_s = account.at_ms / 1000
        return datetime.fromtimestamp(at_s, ZoneInfo(site.time_zone)).date().isoformat()
