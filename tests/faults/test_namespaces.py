"""The network of the fault tests loses packets without a word, in the direction it was told."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from tests.e2e.hub import eventually
from tests.faults.namespaces import Network, network
from tests.faults.privilege import system

PORT: Final = 9000
ECHO: Final = f"""
import socket, sys
with socket.create_server((sys.argv[1], {PORT})) as server:
    while True:
        peer, _ = server.accept()
        while received := peer.recv(100):
            peer.sendall(received)
"""


@contextmanager
def echoing(net: Network, name: str) -> Iterator[socket.socket]:
    """A connection from here to a station that sends back what it gets."""
    address = net.join(name)
    argv = [*net.prefix(name), sys.executable, "-c", ECHO, address]
    with subprocess.Popen(argv) as process:
        try:
            with eventually(lambda: _connected(address), 10, "the echo listens") as peer:
                yield peer
        finally:
            process.kill()


def _connected(address: str) -> socket.socket | None:
    try:
        return socket.create_connection((address, PORT), 0.3)
    except OSError:
        return None


def answers(peer: socket.socket, said: bytes) -> bool:
    peer.settimeout(0.5)
    peer.sendall(said)
    try:
        return peer.recv(100) == said
    except TimeoutError:
        return False


@pytest.mark.parametrize("way", [("tester", "far"), ("far", "tester")])
def test_a_cut_in_either_direction_is_silence_and_healing_delivers(way: tuple[str, str]) -> None:
    with network() as net, echoing(net, "far") as peer:
        assert answers(peer, b"before")
        net.cut(*way)
        assert not answers(peer, b"during")
        assert _connected(peer.getpeername()[0]) is None
        net.heal()
        peer.settimeout(10)
        assert peer.recv(100) == b"during"


def test_a_network_leaves_nothing_behind() -> None:
    with network() as net:
        net.join("far")
        space = net.prefix("far")[-1]
        assert space in system("ip", "netns")
    assert space not in system("ip", "netns")
    assert space.removesuffix("-far") not in system("ip", "link")
