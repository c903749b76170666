"""Virtual time: an asyncio loop that never waits, and the processes that live on it.

Owns the clock, which process a callback belongs to, and what kill -9 and SIGSTOP mean: nothing of
a dead process acts any more, and nothing of a stopped one before it is woken. Knows no broker.
"""

import asyncio
import contextlib
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextvars import Context, ContextVar, copy_context
from itertools import count
from random import Random
from typing import Any, Final
from weakref import WeakKeyDictionary

STORE_DELAY_S: Final = 0.02
PROCESS: ContextVar["Process | None"] = ContextVar("process", default=None)


class Killed(BaseException):
    """The process that called is dead: kill -9 came between two of its steps."""


class Stuck(Exception):  # noqa: N818 - the names say what happened
    """The simulation cannot go on: nothing is due, or it takes too long."""


class Process:
    """A simulated operating system process.

    step: every call that reaches the outside world (wire, disk, store) passes here first; at step
    `die_at` the process is killed instead.
    """

    def __init__(self, name: str, loop: "VirtualLoop") -> None:
        self.name = name
        self.alive = True
        self.frozen = False
        self.steps = 0
        self.die_at: int | None = None
        self.at_death: list[Callable[[], None]] = []
        self.aside: deque[asyncio.Handle] = deque()
        self.context: Context = copy_context()
        self.context.run(PROCESS.set, self)
        self._loop = loop

    def step(self) -> None:
        """One more effect is about to happen. Raises Killed."""
        if self.alive:
            self.steps += 1
            if self.steps == self.die_at:
                self.kill()
        if not self.alive:
            raise Killed(self.name)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run as this process."""
        return self._loop.create_task(work, context=self.context)

    def kill(self) -> None:
        """kill -9: from now on every step raises; then its tasks unwind, without any effect."""
        if not self.alive:
            return
        self.alive = False
        self.wake()
        for die in self.at_death:
            die()
        for task in self._loop.tasks_of(self):
            task.cancel()

    def freeze(self) -> None:
        """SIGSTOP."""
        self.frozen = True

    def wake(self) -> None:
        """SIGCONT: what came due meanwhile happens now, in its order."""
        self.frozen = False
        self._loop.ready.extend(self.aside)
        self.aside.clear()


def current() -> Process:
    """The process that runs now."""
    process = PROCESS.get()
    if process is None:
        raise LookupError("no simulated process runs here")
    return process


class OrderedTask(asyncio.Task[Any]):
    """A task whose place in a set does not depend on where it lies in memory."""

    def __init__(self, serial: int, coro: Any, **options: Any) -> None:
        self._serial = serial
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._serial

    def __eq__(self, other: object) -> bool:
        return self is other


class VirtualLoop(asyncio.BaseEventLoop):
    """Time jumps to the next timer as soon as nothing is left to do now.

    errors: what escaped from callbacks and tasks that nobody awaits.
    """

    def __init__(self, rng: Random, time_s_max: float) -> None:
        super().__init__()
        self.errors: list[str] = []
        self._rng = rng
        self._now_s = 0.0
        self._time_s_max = time_s_max
        self._serials = count()
        self._tasks: dict[OrderedTask, Process | None] = {}
        self._busy_until_s: WeakKeyDictionary[Executor, float] = WeakKeyDictionary()
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]  # typeshed wants Future
        self.set_exception_handler(self._note_error)

    @property
    def ready(self) -> deque[asyncio.Handle]:
        """What is to run now; asyncio's own queue."""
        queue: deque[asyncio.Handle] = self._ready  # type: ignore[attr-defined]  # asyncio's
        return queue

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._now_s

    def tasks_of(self, process: Process) -> list[OrderedTask]:
        """The unfinished tasks of a process."""
        return [task for task, owner in self._tasks.items() if owner is process]

    def run_in_executor(  # type: ignore[override]  # a future all the same
        self, executor: Executor, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run a blocking call after a while, one at a time for each executor."""
        start_s = max(self._now_s, self._busy_until_s.get(executor, 0.0))
        end_s = start_s + self._rng.expovariate(1 / STORE_DELAY_S)
        self._busy_until_s[executor] = end_s
        promise: asyncio.Future[Any] = self.create_future()
        self.call_at(end_s, _fulfil, promise, func, args)
        return promise

    def _make_task(
        self, _loop: Any, coro: Generator[Any, None, Any], context: Context | None = None
    ) -> asyncio.Task[Any]:
        owner = (context or copy_context()).get(PROCESS)
        task = OrderedTask(next(self._serials), coro, loop=self, context=context)
        self._tasks[task] = owner
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        owner = self._tasks.pop(task, None)  # type: ignore[call-overload]  # only ours are here
        if not task.cancelled() and owner and not owner.alive:
            task.exception()  # how a dead process unwinds interests nobody

    def _note_error(self, _loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, Killed):
            self.errors.append(f"{context['message']}: {error!r}")

    def _run_once(self) -> None:
        ready, timers = self.ready, self._scheduled  # type: ignore[attr-defined]  # asyncio's
        while timers and timers[0].cancelled():
            heapq.heappop(timers)
        if not ready:
            self._jump(timers)
        while timers and timers[0].when() <= self._now_s:
            ready.append(heapq.heappop(timers))
        for _ in range(len(ready)):
            _run(ready.popleft())

    def _jump(self, timers: list[asyncio.TimerHandle]) -> None:
        if not timers:
            raise Stuck("nothing is due any more")
        self._now_s = max(self._now_s, timers[0].when())
        if self._now_s > self._time_s_max:
            raise Stuck(f"not at rest after {self._time_s_max:.0f} s")

    def _process_events(self, _event_list: Any) -> None:
        """There is no outside."""

    def _write_to_self(self) -> None:
        """There is no other thread."""


def _run(handle: asyncio.Handle) -> None:
    if handle.cancelled():
        return
    owner = handle._context.get(PROCESS)  # type: ignore[attr-defined]  # asyncio's
    if owner is not None and owner.frozen:
        owner.aside.append(handle)
    else:
        handle._run()


def _fulfil(promise: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    if promise.cancelled():
        return
    try:
        result = func(*args)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - the caller gets what the call raised
        if not promise.done():
            promise.set_exception(error)
    else:
        if not promise.done():
            promise.set_result(result)


@contextlib.contextmanager
def running(rng: Random, time_s_max: float) -> Generator[VirtualLoop, None, None]:
    """A loop; in the end all that is left on it unwinds."""
    loop = VirtualLoop(rng, time_s_max)
    try:
        yield loop
    finally:
        loop._time_s_max = float("inf")
        for task in (left := list(loop._tasks)):
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=60))
        loop.close()
