"""What was received and not yet acknowledged: a bounded queue and the order of acks.

Owns which message may be acked, and when. Does no I/O: it returns the packet ids to ack.
"""

from collections import deque
from collections.abc import Iterable

from uns.mqtt.message import Message, Session


class Inbox:
    """The received messages of one client, over all its connections.

    MQTT wants acks in the order of receipt (3.1.1, 4.6): the owner may finish messages in any
    order, an ack is held back until all before it are done. Packet ids mean nothing on another
    connection, so acks for a former one are dropped: the broker sends those messages again.
    """

    def __init__(self, limit: int, bytes_max: int) -> None:
        self._limit = limit
        self._bytes_max = bytes_max
        self._bytes = 0
        self._queue: deque[Message] = deque()
        self._unacked: deque[int] = deque()
        self._done: set[int] = set()
        self.connection = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Whether reading should pause until the owner has taken some."""
        return len(self._queue) >= self._limit or self._bytes >= self._bytes_max

    def opened(self, session: Session) -> None:
        """Begin a connection; what a kept session will send again is not kept here as well."""
        self.connection += 1
        self._unacked.clear()
        self._done.clear()
        if session is Session.KEPT:
            self._queue = deque(message for message in self._queue if message.qos == 0)
            self._bytes = sum(len(message.payload) for message in self._queue)

    def put(self, message: Message, *, reading_must_go_on: bool) -> None:
        """Queue a message; bounded by pausing to read.

        reading_must_go_on: an answer is awaited behind this message, so there is no pausing: at
        QoS 0 a full inbox drops it, at QoS 1 only the broker's window is a bound.
        """
        if message.qos:
            self._unacked.append(message.mid)
        elif reading_must_go_on and self.full:
            self.dropped += 1
            return
        self._queue.append(message)
        self._bytes += len(message.payload)

    def take(self, max_messages: int) -> list[Message]:
        """Up to so many messages, oldest first; empty when there are none."""
        taken = [self._queue.popleft() for _ in range(min(max_messages, len(self._queue)))]
        self._bytes -= sum(len(message.payload) for message in taken)
        return taken

    def acknowledge(self, messages: Iterable[Message]) -> list[int]:
        """Mark messages as done; the packet ids that may be acked now, in order."""
        here = self.connection
        self._done.update(m.mid for m in messages if m.qos and m.connection == here)
        ready = []
        while self._unacked and self._unacked[0] in self._done:
            mid = self._unacked.popleft()
            self._done.discard(mid)
            ready.append(mid)
        return ready
