"""The network: connections of two pipes, which keep order and lose their tail when an end dies.

Owns delays, stalls, cuts and who can reach the broker. Does not know what a client is made of.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol

from tests.sim.broker import Hello, Said, Sent, Session, SimBroker
from tests.sim.loop import Process, VirtualLoop, current
from uns.mqtt.message import Address

DELAY_S: Final = 0.01
REFUSED_AFTER_S: Final = 0.05
UNREACHABLE_AFTER_S: Final = 1.0

Packet = Callable[[], None]


class Client(Protocol):
    """What receives at the client's end: packets, then `read` after those that came together."""

    def welcome(self, *, kept: bool) -> None:
        """CONNACK."""

    def hand(self, sent: Sent) -> None:
        """PUBLISH."""

    def puback(self, mid: int) -> None:
        """PUBACK."""

    def suback(self, mid: int, codes: list[int]) -> None:
        """SUBACK."""

    def read(self, connection: "Connection") -> None:
        """All that came at once was given."""

    def ended(self, connection: "Connection") -> None:
        """Nothing more will come."""


class Pipe:
    """One direction of a connection. What is pushed together arrives together, and in order."""

    def __init__(self, net: "Network", context: Context, arrived: Callable[[], None]) -> None:
        self._net, self._context, self._arrived = net, context, arrived
        self._packets = deque[Packet]()
        self._is_due = False
        self.stalled = False
        self.closed = False

    def push(self, packet: Packet) -> None:
        """Put a packet on its way."""
        if self.closed:
            return
        self._packets.append(packet)
        self._arrange()

    def close(self, last: Packet | None = None) -> None:
        """Nothing more goes in; a part of what is on its way still arrives, and then `last`."""
        if self.closed:
            return
        self.closed = True
        for _ in range(self._net.rng.randint(0, len(self._packets))):
            self._packets.pop()
        if last:
            self._packets.append(last)
            self._arrange()

    def go_on(self) -> None:
        """End a stall."""
        self.stalled = False
        self._arrange()

    def _arrange(self) -> None:
        if not self._is_due and not self.stalled and self._packets:
            self._is_due = True
            delay_s = self._net.rng.expovariate(1 / DELAY_S)
            self._net.loop.call_later(delay_s, self._flush, context=self._context)

    def _flush(self) -> None:
        self._is_due = False
        if self.stalled:
            return
        for _ in range(len(self._packets)):
            if self._packets:
                self._packets.popleft()()
        self._arrived()


class Connection:
    """What TCP is to both ends: the broker's `Line`, and the socket that `dial` gives."""

    def __init__(self, net: "Network", process: Process) -> None:
        self._net = net
        self._session: Session | None = None
        self.process = process
        self._client: Client | None = None
        self._up = Pipe(net, net.context, lambda: None)
        self._down = Pipe(net, process.context, self._read)

    # the client's end

    def say_hello(self, client: Client, hello: Hello) -> None:
        self._client = client
        self._up.push(lambda: self._hear_hello(hello))

    def say(self, mid: int, said: Said) -> None:
        self._up.push(lambda: self._hear(mid, said))

    def ask(self, mid: int, filters: list[str]) -> None:
        self._up.push(lambda: self._hear_filters(mid, filters))

    def ack(self, mid: int) -> None:
        self._up.push(lambda: self._hear_ack(mid))

    def bye(self) -> None:
        self._up.push(lambda: self._over(with_will=False))

    def close(self) -> None:
        """The client's end is gone, with or without a word."""
        self._down.close()
        self._up.close(lambda: self._over(with_will=True))

    # the broker's end; see broker.Line

    def welcome(self, *, kept: bool) -> None:
        self._down.push(lambda: self._here.welcome(kept=kept))

    def hand(self, sent: Sent) -> None:
        self._down.push(lambda: self._here.hand(sent))

    def puback(self, mid: int) -> None:
        self._down.push(lambda: self._here.puback(mid))

    def suback(self, mid: int, codes: list[int]) -> None:
        self._down.push(lambda: self._here.suback(mid, codes))

    def end(self) -> None:
        self._up.close()
        self._down.close(self._hear_end)

    # the nemesis

    def stall(self) -> None:
        """Nothing arrives, neither here nor there, and nobody is told."""
        self._up.stalled = self._down.stalled = True

    def go_on(self) -> None:
        """What was held up arrives."""
        self._up.go_on()
        self._down.go_on()

    def expire(self) -> None:
        """Both ends give the other one up."""
        self.go_on()
        self._down.close(self._hear_end)
        self._up.close(lambda: self._over(with_will=True))

    @property
    def _here(self) -> Client:
        assert self._client
        return self._client

    def _hear_hello(self, hello: Hello) -> None:
        if self._net.broker.up:
            self._session = self._net.broker.connect(self, hello)

    def _hear(self, mid: int, said: Said) -> None:
        if self._session and self._session.line is self:
            self._net.broker.publish(said, self._session.client_id)
            self.puback(mid)

    def _hear_filters(self, mid: int, filters: list[str]) -> None:
        if self._session and self._session.line is self:
            self._net.broker.subscribe(self._session, mid, filters)

    def _hear_ack(self, mid: int) -> None:
        if self._session and self._session.line is self:
            self._net.broker.acknowledged(self._session, mid)

    def _over(self, *, with_will: bool) -> None:
        if self._session:
            self._net.broker.lose(self._session, self, with_will=with_will)
        self.end()

    def _read(self) -> None:
        if self._client:
            self._client.read(self)

    def _hear_end(self) -> None:
        if self._client:
            self._client.ended(self)
        else:
            self.close()


@dataclass
class Network:
    """Everybody's way to the broker. context: in which the broker acts."""

    loop: VirtualLoop
    rng: Random
    broker: SimBroker
    context: Context

    def __post_init__(self) -> None:
        self.connections: list[Connection] = []
        self.unreachable: set[str] = set()

    async def dial(self, _address: Address) -> Connection:
        """Connect the process that asks. Raises OSError."""
        process = current()
        process.step()
        if process.name in self.unreachable:
            await asyncio.sleep(UNREACHABLE_AFTER_S)
            raise TimeoutError("no answer")
        await asyncio.sleep(self.rng.expovariate(1 / DELAY_S))
        if not self.broker.up:
            await asyncio.sleep(REFUSED_AFTER_S)
            raise ConnectionRefusedError("nobody listens")
        connection = Connection(self, process)
        process.at_death.append(connection.close)
        self.connections = [c for c in self.connections if not c._up.closed]
        self.connections.append(connection)
        return connection

    def of(self, process: Process) -> list[Connection]:
        """The open connections of a process."""
        return [c for c in self.connections if c.process is process and not c._up.closed]
