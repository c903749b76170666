"""Tells the counterpart: each order's confirmations in their order, each one until it is settled.

A confirmation is marked as `unsure` before it is sent, so that neither a time-out nor a crash makes
it be sent twice: what is unsure is asked for first. What says nothing of the confirmation itself
(nobody there, wrong credentials, too busy) is tried for ever, all others wait with it; answers that
settle nothing are counted, and `attempts_max` of them make a dead letter. So does a refusal.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from bridges.erp_rest.config import ErpRestSettings
from bridges.erp_rest.confirmation import Confirmation
from bridges.erp_rest.contract import (
    Adapter,
    Answer,
    Request,
    Terms,
    printable,
    reason_of,
    verdict_of,
)
from bridges.erp_rest.errors import MappingError, NotSent, Unsure
from bridges.erp_rest.exchange import Exchange
from bridges.erp_rest.store import Post, State, Store

LOOK_S: Final = 0.2
STEPS_MAX: Final = 10
"""Requests that one confirmation may take."""
DOUBLINGS_MAX: Final = 30
log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """What became of an attempt.

    is_down: the counterpart cannot be spoken to now. counts: it is one of `attempts_max`.
    """

    state: State
    reason: str = ""
    is_down: bool = False
    counts: bool = True


class Unclear(NamedTuple):
    """What a post is when a request was not sent, and when nobody knows what became of it."""

    unsent: State
    unknown: State


ASKED: Final = Unclear("unsure", "unsure")
PREPARED: Final = Unclear("waiting", "waiting")
POSTED: Final = Unclear("waiting", "unsure")


class Line(NamedTuple):
    """How the counterpart is spoken to. random: from 0 to 1, for jitter."""

    adapter: Adapter
    exchange: Exchange
    terms: Terms
    wall_ms: Callable[[], int]
    random: Callable[[], float]


class Poster:
    """Empties the outbox; `run` until cancelled.

    on_link: told after each attempt whether the counterpart can be spoken to, or why not.
    """

    def __init__(
        self,
        store: Store,
        line: Line,
        settings: ErpRestSettings,
        on_link: Callable[[str | None], None],
    ) -> None:
        self._store = store
        self._line = line
        self._settings = settings
        self._on_link = on_link
        self._down = 0
        self._not_before_ms = 0
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """New posts stand in the outbox."""
        self._wake.set()

    async def run(self) -> None:
        """Send what is due."""
        while True:
            if not await self.step():
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._wake.wait()
            self._wake.clear()

    async def step(self) -> int:
        """Try the posts that are due now, one of an order; how many."""
        now_ms = self._line.wall_ms()
        if now_ms < self._not_before_ms:
            return 0
        limit = 1 if self._down else self._settings.connections
        posts = self._store.due(now_ms, limit)
        await asyncio.gather(*map(self._try, posts))
        return len(posts)

    async def _try(self, post: Post) -> None:
        try:
            outcome = await self._outcome(post, post.confirmation)
        except MappingError as error:
            outcome = Outcome("dead", str(error))
        self._judge(post, outcome)

    def _judge(self, post: Post, outcome: Outcome) -> None:
        now_ms, reason = self._line.wall_ms(), printable(outcome.reason)
        self._pace(now_ms, reason, is_down=outcome.is_down)
        attempts = post.attempts + outcome.counts
        is_open = outcome.state in ("waiting", "unsure")
        if is_open and attempts < self._settings.attempts_max:
            due_ms = now_ms + self._pause_ms(post, outcome)
            self._store.again(post, outcome.state, due_ms, reason, outcome.counts)
            return
        state: State = "dead" if is_open else outcome.state
        self._store.settled(post, state, now_ms, reason)
        if state == "dead":
            log.warning("confirmation %s is a dead letter: %s", post.key, reason)

    def _pace(self, now_ms: int, reason: str, *, is_down: bool) -> None:
        """Slow down as long as the counterpart cannot be spoken to."""
        self._on_link(reason if is_down else None)
        self._not_before_ms = now_ms + self._delay_ms(self._down) if is_down else 0
        self._down = self._down + 1 if is_down else 0

    def _pause_ms(self, post: Post, outcome: Outcome) -> int:
        """What is unsure may still be at work there: it is asked for after as long again."""
        delay_ms = self._delay_ms(post.attempts) if outcome.counts else 0
        return max(delay_ms, self._settings.timeout_ms if outcome.state == "unsure" else 0)

    def _delay_ms(self, failures: int) -> int:
        """Doubling, with jitter: between half of it and all of it."""
        least, most = self._settings.retry_ms_min, self._settings.retry_ms_max
        whole_ms = min(most, least << min(failures, DOUBLINGS_MAX))
        return round(whole_ms * (1 + self._line.random()) / 2)

    async def _outcome(self, post: Post, confirmation: Confirmation) -> Outcome:
        if post.state == "unsure" and (known := await self._asked(confirmation)):
            return known
        for _ in range(STEPS_MAX):
            answer = await self._told(post, confirmation)
            if isinstance(answer, Outcome):
                return answer
            if not self._line.adapter.is_more(confirmation, answer):
                return Outcome("sent")
        return Outcome("unsure", f"not told whole after {STEPS_MAX} requests")

    async def _told(self, post: Post, confirmation: Confirmation) -> Answer | Outcome:
        """One request that tells, and its answer; or what follows."""
        adapter, terms = self._line.adapter, self._line.terms
        prepared: Answer | None = None
        if question := adapter.prepare(confirmation, terms):
            said = await self._said_yes(question, PREPARED)
            if isinstance(said, Outcome):
                return said
            prepared = said
        request = adapter.post(confirmation, terms, prepared)
        if request is None:
            return Outcome("skipped", "of this operation the counterpart is told nothing")
        self._store.sending(post, self._line.wall_ms() + self._settings.timeout_ms)
        return await self._said_yes(request, POSTED)

    async def _asked(self, confirmation: Confirmation) -> Outcome | None:
        """Whether an unsure one was taken; None: it was not, it may be sent."""
        adapter = self._line.adapter
        answer = await self._answered(adapter.ask(confirmation, self._line.terms), ASKED)
        if isinstance(answer, Outcome):
            return answer
        taken = adapter.taken(confirmation, answer)
        if taken is None:
            is_down = verdict_of(answer) == "later"
            reason = f"asked whether it was taken: {reason_of(answer)}"
            return Outcome("unsure", reason, is_down, counts=not is_down)
        return Outcome("sent", "taken before, as the counterpart says") if taken else None

    async def _said_yes(self, request: Request, unclear: Unclear) -> Answer | Outcome:
        """The answer, if it says yes; else what follows from it."""
        answer = await self._answered(request, unclear)
        if isinstance(answer, Outcome):
            return answer
        match verdict_of(answer):
            case "taken":
                return answer
            case "later":
                return Outcome("waiting", reason_of(answer), is_down=True, counts=False)
            case "unsure":
                return Outcome(unclear.unknown, reason_of(answer))
            case "refused":
                return Outcome("dead", reason_of(answer))

    async def _answered(self, request: Request, unclear: Unclear) -> Answer | Outcome:
        """Any answer, or what follows from there being none."""
        try:
            return await self._line.exchange.send(request)
        except NotSent as error:
            return Outcome(unclear.unsent, str(error), is_down=True, counts=False)
        except Unsure as error:
            return Outcome(unclear.unknown, str(error), is_down=True, counts=unclear is POSTED)
