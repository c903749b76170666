"""How asyncua is called: bounded in time, and whatever it raises over foreign bytes is a loss."""

import asyncio
import socket
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from bridges.opcua.errors import LostError, OpcUaError

CALL_TIMEOUT_S: Final = 10.0
_WORDS: Final[dict[type[Exception], str]] = {
    ConnectionRefusedError: "connection refused",
    socket.gaierror: "unknown host",
    TimeoutError: "no answer in time",
    ConnectionError: "connection lost",
}
T = TypeVar("T")


async def within(timeout_s: float, work: Coroutine[Any, Any, T]) -> T:
    """Bound work in time.

    It runs in its own task because `asyncio.wait_for`, which asyncua uses, can swallow a
    cancellation that meets the result (CPython 86296, fixed in 3.12).
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task,), timeout=timeout_s)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@contextmanager
def losing() -> Iterator[None]:
    """Whatever asyncua raises over foreign bytes is a loss; our own errors stay what they are."""
    try:
        yield
    except OpcUaError:
        raise
    except Exception as error:
        raise LostError(words(error)) from error


def words(error: Exception) -> str:
    """An error as a reason for people."""
    known = (words for kind, words in _WORDS.items() if isinstance(error, kind))
    return next(known, str(error) or type(error).__name__)
