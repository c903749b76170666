"""Which topic filters a client wants, which the broker granted, and who waits for that.

Owns the memory that makes subscriptions survive a broker that forgot them. Does not send: it is
given a function that does, and told of what comes back.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from uns.mqtt.errors import SubscribeRefused
from uns.mqtt.inflight import FIRST_FAILURE_CODE
from uns.mqtt.message import QoS

Send = Callable[[list[tuple[str, int]]], int]


class Subscriptions:
    """The topic filters of one client, over all its connections."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._wanted: dict[str, QoS] = {}
        self._granted: set[str] = set()
        self._asked: dict[int, list[str]] = {}
        self._answers: dict[str, asyncio.Future[None]] = {}

    def __len__(self) -> int:
        """How many SUBACKs are awaited."""
        return len(self._asked)

    def want(self, filters: Iterable[str], qos: QoS) -> None:
        """Remember filters; one that was granted is asked for again, for its retained set."""
        for topic_filter in filters:
            self._wanted[topic_filter] = qos
            self._granted.discard(topic_filter)

    @property
    def wanted(self) -> list[str]:
        """All filters the client wants."""
        return list(self._wanted)

    def missing(self, filters: Iterable[str]) -> list[str]:
        """Those of the filters that are not granted."""
        return [topic_filter for topic_filter in filters if topic_filter not in self._granted]

    async def ask(self, filters: Sequence[str]) -> None:
        """Ask for filters, joining what is asked already; returns on the answers or the loss.

        Raises SubscribeRefused naming the filter.
        """
        new = [(f, int(self._wanted[f])) for f in filters if f not in self._answers]
        if new:
            answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._asked[self._send(new)] = [f for f, _ in new]
            self._answers.update(dict.fromkeys((f for f, _ in new), answer))
        answers = {self._answers[f] for f in filters}
        await asyncio.wait(answers)  # unlike gather it leaves them alone when cancelled
        for answer in answers:
            answer.result()

    def answered(self, mid: int, reason_codes: Sequence[int]) -> None:
        """Take a SUBACK (MQTT 3.1.1, 3.9.3): one code a filter, in order."""
        filters = self._asked.pop(mid, [])
        refused = []
        for topic_filter, code in zip(filters, reason_codes, strict=False):
            if code < FIRST_FAILURE_CODE:
                self._granted.add(topic_filter)
            else:
                self._wanted.pop(topic_filter, None)
                refused.append(topic_filter)
        failure = SubscribeRefused(", ".join(refused)) if refused else None
        self._settle(filters, failure)

    def opened(self) -> None:
        """Begin a connection: all is asked for again, also when the broker kept our session.

        What it kept may be a session that a connection which was never answered began, or one from
        before our SUBSCRIBE. The price is the retained set, once more.
        """
        self._granted.clear()

    def lost(self) -> None:
        """End a connection: nobody will answer what is asked."""
        self._asked.clear()
        self._settle(list(self._answers), None)

    def _settle(self, filters: Sequence[str], failure: SubscribeRefused | None) -> None:
        for answer in {self._answers.pop(f) for f in filters}:
            if answer.done():
                continue
            if failure:
                answer.set_exception(failure)
            else:
                answer.set_result(None)
