"""Where a proposal goes: standard output, or a file that is there only when it is whole."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from uns.cli.errors import UsageError

Write = Callable[[str], None]


@contextmanager
def writing(out: Path | None) -> Iterator[Write]:
    """What takes a line. A file that exists is never overwritten: UsageError."""
    if out is None:
        yield _print
        return
    if out.exists():
        raise UsageError(f"{out} exists already: name another file")
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        file = part.open("x", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror}") from None
    try:
        with file:
            yield lambda line: _put(file.write, line)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _print(line: str) -> None:
    _put(sys.stdout.write, line)


def _put(write: Callable[[str], int], line: str) -> None:
    write(f"{line}\n")
