"""The processes of a rig: who is told to stay down stays down."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.faults.children import Child

WAIT_S_MAX: Final = 10.0
WEAK_THEN_LASTING: Final = 'if [ -e "$0" ]; then exec sleep 600; fi; touch "$0"'


def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for it, with a bound."""
    end_s = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < end_s, what
        time.sleep(0.001)


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    """One that ends by itself at its first start, and never after."""
    one = Child("weak", ["sh", "-c", WEAK_THEN_LASTING, str(tmp_path / "started")], tmp_path)
    yield one
    if one.running:
        one.hold()


def test_held_between_two_starts_it_is_not_started_again(child: Child) -> None:
    child.start()
    until(lambda: child.ends, "it has ended by itself")
    child.hold()
    assert child.pid is None
    assert len(child.ends) == 1


def test_stopped_between_two_starts_it_is_not_started_again(child: Child) -> None:
    child.start()
    until(lambda: child.ends, "it has ended by itself")
    child.stop()
    assert child.pid is None
    assert len(child.ends) == 1


def test_killed_it_is_back_and_held_it_is_gone(child: Child) -> None:
    child.start()
    until(lambda: child.ends and child.pid, "it has been started again")
    child.kill()
    until(lambda: len(child.ends) == 2, "it was killed")
    until(lambda: child.pid, "it is back")
    child.hold()
    assert child.pid is None
