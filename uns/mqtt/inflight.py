"""What was published and not yet acknowledged: a bounded window of promises.

Owns the futures and the back-pressure. Does not send: the client tells it what went out and
what came back. Packet ids stay in use over reconnects, because paho sends the messages again.
"""

import asyncio
from collections import deque
from typing import Final, NamedTuple

from uns.mqtt.errors import PublishRefused

WINDOW_MAX: Final = 60_000
FIRST_FAILURE_CODE: Final = 0x80


class _Sent(NamedTuple):
    promise: asyncio.Future[None]
    topic: str


class InFlight:
    """The QoS 1 messages of one client between PUBLISH and PUBACK.

    window: how many there may be; whoever comes then waits in line.
    """

    def __init__(self, window: int) -> None:
        if not 1 <= window <= WINDOW_MAX:
            raise ValueError(f"window {window}: use 1 to {WINDOW_MAX} messages")
        self._window = window
        self._taken = 0
        self._line: deque[asyncio.Future[None]] = deque()
        self._sent: dict[int, _Sent] = {}
        self._failure: BaseException | None = None

    def __len__(self) -> int:
        return len(self._sent)

    def resize(self, window: int) -> None:
        """Change the window; a smaller one takes effect as acks come in."""
        self._window = window
        self._admit()

    async def room(self) -> None:
        """Wait for a place in the window, first come first served; raises what `fail` was given."""
        if self._failure:
            raise self._failure
        if self._taken < self._window and not self._line:
            self._taken += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was our turn already
                self.give_back()
            raise

    def give_back(self) -> None:
        """Leave the window without having sent."""
        self._taken -= 1
        self._admit()

    def _admit(self) -> None:
        while self._line and self._taken < self._window:
            turn = self._line.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)

    def sent(self, mid: int, topic: str) -> asyncio.Future[None]:
        """Record a message that went out; the promise is kept by `acknowledged`."""
        promise: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sent[mid] = _Sent(promise, topic)
        return promise

    def acknowledged(self, mid: int, reason_code: int) -> None:
        """Keep the promise of a message, or break it with PublishRefused."""
        sent = self._sent.pop(mid, None)
        if sent is None:
            return
        self.give_back()
        if sent.promise.done():
            return
        if reason_code < FIRST_FAILURE_CODE:
            sent.promise.set_result(None)
        else:
            sent.promise.set_exception(PublishRefused(f"{sent.topic}: reason 0x{reason_code:02x}"))

    async def drain(self) -> None:
        """Wait for everything that is out now; raises the first failure among them."""
        promises = [sent.promise for sent in self._sent.values()]
        if promises:
            await asyncio.wait(promises)  # unlike gather it leaves them alone when cancelled
        for promise in promises:
            if not promise.cancelled():
                promise.result()

    def fail(self, failure: BaseException) -> None:
        """End all waiting with an error."""
        self._failure = failure
        waiting = [*self._line, *(sent.promise for sent in self._sent.values())]
        self._line.clear()
        self._sent.clear()
        for promise in waiting:
            if not promise.done():
                promise.set_exception(failure)
                promise.exception()  # its owner may be gone: then there is nobody to tell
