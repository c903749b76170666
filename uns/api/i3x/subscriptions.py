"""PURE: what was said of some objects since their subscriber last asked: in order, bounded.

Updates wait until `sync` makes batches of them, which stay until they are acknowledged; or a stream
takes them away at once. Of what does not fit the oldest gives way, and that is said: the batch
after a loss skips a number. A subscription that nobody asks for is forgotten. Knows no tree: an
object is followed by its id, and its components by the id they begin with.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from uns.api.i3x.wire import Batch, Update

SUBSCRIPTIONS_MAX: Final = 200
ELEMENTS_MAX: Final = 10_000
UPDATES_MAX: Final = 10_000
BATCH_MAX: Final = 1_000
LIFETIME_S: Final = 600.0
ALL: Final = -1


@dataclass(slots=True)
class Subscription:
    """One subscriber's updates.

    monitored: by id of the object, `maxDepth`: 1 is the object alone. stream: which one may take
    updates away; `wake` lets it look: there is one, or its time is over.
    """

    id: str
    client_id: str
    name: str
    asked_s: float
    monitored: dict[str, int] = field(default_factory=dict)
    stream: int = 0
    streaming: bool = False
    wake: Callable[[], None] | None = None
    _waiting: deque[Update] = field(default_factory=deque)
    _batches: deque[Batch] = field(default_factory=deque)
    _held: int = 0
    _number: int = 0
    _lost: bool = False

    def follows(self, id_: str) -> bool:
        """Whether it wants updates of an object."""
        place = id_.rpartition("/_")[0]
        return id_ in self.monitored or self.monitored.get(place, 1) != 1

    def take(self, update: Update) -> None:
        """Keep an update, if the object is followed."""
        if not self.follows(update.element_id):
            return
        self._waiting.append(update)
        self._held += 1
        if self._held > UPDATES_MAX:
            self._drop_oldest()
        if self.wake:
            self.wake()

    def sync(self, acknowledged: int | None) -> tuple[list[Batch], bool]:
        """What is not acknowledged yet, and whether something was lost since the last time."""
        if acknowledged == ALL:
            self._waiting.clear()
            self._batches.clear()
        elif acknowledged is not None and acknowledged <= self._number:
            while self._batches and self._batches[0].sequence_number <= acknowledged:
                self._batches.popleft()
        while self._waiting:
            self._batches.append(Batch(sequence_number=self._next(), updates=self._some()))
        self._held = sum(len(batch.updates) for batch in self._batches)
        lost, self._lost = self._lost, False
        return list(self._batches), lost

    def drain(self) -> list[Update]:
        """Everything that waits, unacknowledged batches first; it is kept no longer."""
        updates = [update for batch in self._batches for update in batch.updates]
        updates += self._waiting
        self._batches.clear()
        self._waiting.clear()
        self._held = 0
        return updates

    def open_stream(self, wake: Callable[[], None]) -> int:
        """Let a new stream take the place of any other; returns its number."""
        self.end_stream()
        self.wake, self.streaming = wake, True
        return self.stream

    def end_stream(self) -> None:
        """Let no stream take updates any more."""
        self.stream += 1
        if self.wake:
            self.wake()

    def close_stream(self, number: int, now_s: float) -> None:
        """A stream has ended; it may not be the last one."""
        if self.stream == number:
            self.wake, self.streaming, self.asked_s = None, False, now_s

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _some(self) -> list[Update]:
        return [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]

    def _drop_oldest(self) -> None:
        if self._batches:
            self._held -= len(self._batches.popleft().updates)
        else:
            self._waiting.popleft()
            self._held -= 1
            self._number += not self._lost
        self._lost = True


class Subscriptions:
    """All of them. `clock` gives seconds that never go back; `new_id` cannot be guessed."""

    def __init__(self, clock: Callable[[], float], new_id: Callable[[], str]) -> None:
        self._clock = clock
        self._new_id = new_id
        self._all: dict[str, Subscription] = {}

    def create(self, client_id: str, name: str | None) -> Subscription | None:
        """A new one; None where there are SUBSCRIPTIONS_MAX already."""
        self._forget()
        if len(self._all) >= SUBSCRIPTIONS_MAX:
            return None
        id_ = self._new_id()
        self._all[id_] = Subscription(id_, client_id, name or id_, self._clock())
        return self._all[id_]

    def find(self, client_id: str, id_: str, *, asking: bool = False) -> Subscription | None:
        """A client's subscription; asking: for its updates, which keeps it alive."""
        self._forget()
        found = self._all.get(id_)
        if found is None or found.client_id != client_id:
            return None
        if asking:
            found.asked_s = self._clock()
        return found

    def delete(self, subscription: Subscription) -> None:
        """Forget one; its stream ends."""
        self._all.pop(subscription.id, None)
        subscription.end_stream()

    def closed(self, subscription: Subscription, stream: int) -> None:
        """A stream of a subscription has ended: from now on it is kept alive by being asked."""
        subscription.close_stream(stream, self._clock())

    def followed(self, id_: str) -> bool:
        """Whether anybody wants updates of an object."""
        return any(subscription.follows(id_) for subscription in self._all.values())

    def tell(self, update: Update) -> None:
        """Keep an update for whoever follows its object."""
        self._forget()
        for subscription in self._all.values():
            subscription.take(update)

    def _forget(self) -> None:
        oldest_s = self._clock() - LIFETIME_S
        for one in list(self._all.values()):
            if one.asked_s < oldest_s and not one.streaming:
                self.delete(one)
