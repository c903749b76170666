"""A plant network on one machine: stations behind a router, and cuts between any two of them.

Owns network namespaces, links, addresses and rules. Knows no protocol. A cut lies in the router,
so a packet vanishes without an error at either end, as in a real network; each direction is cut by
itself. Station `tester` is this process and what it starts without a prefix.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from tests.faults.privilege import need_root, system

OURS: Final = "tester"
STATIONS_MAX: Final = 60


class Network:
    """One router and its stations; addresses are 10.OCTET.n.2."""

    def __init__(self) -> None:
        self._octet = 64 + os.getpid() % 128
        self._tag = f"uns{os.getpid()}"
        self._router = f"{self._tag}-router"
        self._addresses: dict[str, str] = {}
        self._cuts: set[tuple[str, str]] = set()

    def open(self) -> None:
        """Set the router up, and a way from here to it."""
        system("ip", "netns", "add", self._router)
        system("ip", "netns", "exec", self._router, "sysctl", "-q", "net.ipv4.ip_forward=1")
        gate = self._join(OURS, None)
        system("ip", "route", "add", f"10.{self._octet}.0.0/16", "via", gate)

    def close(self) -> None:
        """Leave nothing behind: links and routes go with their namespaces, ours by itself."""
        spaces = [self._router, *(self._space(name) for name in self._addresses if name != OURS)]
        for removal in (("link", "del", f"{self._tag}n1"), *(("netns", "del", s) for s in spaces)):
            with suppress(AssertionError):  # a network that failed half-made has fewer
                system("ip", *removal)

    def join(self, name: str) -> str:
        """Add a station; its address."""
        space = self._space(name)
        system("ip", "netns", "add", space)
        system("ip", "-n", space, "link", "set", "lo", "up")
        gate = self._join(name, space)
        system("ip", "-n", space, "route", "add", "default", "via", gate)
        return self._addresses[name]

    def address(self, name: str) -> str:
        """Where a station is."""
        return self._addresses[name]

    def prefix(self, name: str) -> tuple[str, ...]:
        """What stands in front of a command that runs at a station."""
        return ("ip", "netns", "exec", self._space(name))

    def cut(self, sender: str, receiver: str) -> None:
        """From now on packets of one station to another vanish; the way back stays."""
        if (sender, receiver) not in self._cuts:
            self._cuts.add((sender, receiver))
            self._rule("add", sender, receiver)

    def part(self, one: str, other: str) -> None:
        """Cut both ways."""
        self.cut(one, other)
        self.cut(other, one)

    def heal(self) -> None:
        """End all cuts."""
        while self._cuts:
            self._rule("del", *self._cuts.pop())

    def _rule(self, what: str, sender: str, receiver: str) -> None:
        ends = ("from", self._addresses[sender], "to", self._addresses[receiver])
        system("ip", "-n", self._router, "rule", what, *ends, "blackhole")

    def _join(self, name: str, space: str | None) -> str:
        """Link a station to the router; the router's address on that link."""
        number = len(self._addresses) + 1
        assert number <= STATIONS_MAX
        gate, address = (f"10.{self._octet}.{number}.{host}" for host in (1, 2))
        near, far = f"{self._tag}n{number}", f"{self._tag}f{number}"
        system("ip", "link", "add", near, "type", "veth", "peer", far, "netns", self._router)
        if space:
            system("ip", "link", "set", near, "netns", space)
        at_space = ("-n", space) if space else ()
        for where, device, own in ((at_space, near, address), (("-n", self._router), far, gate)):
            system("ip", *where, "addr", "add", f"{own}/30", "dev", device)
            system("ip", *where, "link", "set", device, "up")
        self._addresses[name] = address
        return gate

    def _space(self, name: str) -> str:
        return f"{self._tag}-{name}"


@contextmanager
def network() -> Iterator[Network]:
    """A network with nobody but us in it, taken down at the end."""
    need_root("a network namespace")
    net = Network()
    try:
        net.open()
        yield net
    finally:
        net.close()
