"""How commands answer: tables for people, JSON for programs. Nothing else prints.

What is printed comes from devices and users: no character of it is taken for markup.
"""

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.table import Table

WIDTH_IN_A_PIPE: Final = 240

width = None if sys.stdout.isatty() else WIDTH_IN_A_PIPE
console = Console(width=width, highlight=False, markup=False, emoji=False)
notes = Console(stderr=True, highlight=False, markup=False, emoji=False)


def print_json(document: Any, indent: int | None = None) -> None:
    """One JSON value on standard output; on one line, unless it is for people to read."""
    escaped = sys.stdout.encoding.lower() != "utf-8"
    text = json.dumps(document, ensure_ascii=escaped, default=str, indent=indent)
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def say(answer: RenderableType) -> None:
    """An answer for people; lines keep their length, so that a pipe gets them whole."""
    console.print(answer, soft_wrap=True)


@contextmanager
def hushed(*loggers: str) -> Iterator[None]:
    """Nothing but the answer is said while the block lasts: what these log is left out."""
    levels = {name: logging.getLogger(name).level for name in loggers}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table; a missing value is a dash."""
    table = Table(*columns)
    for row in rows:
        table.add_row(*("-" if cell is None else str(cell) for cell in row))
    console.print(table)


def note(text: str) -> None:
    """A line for the person at the terminal, on standard error."""
    notes.print(text, soft_wrap=True)
