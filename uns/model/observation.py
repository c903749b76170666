"""What a bridge may say: readings of tags, the link to its source, facts and bad input.

A bridge client is an asynchronous iterator of batches of observations. When the runner asks
for the next batch, everything in the last one is durable: only then may a client forget it
(move a file to `done/`, acknowledge a device).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Quality = Literal["good", "uncertain", "bad"]
Scalar = float | int | str | bool | None


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one tag; `cell` is the place, `at_ms` the source's clock.

    `is_history`: a value of the past, read from the device's own history to fill a hole; it is
    recorded where every value is, and never shown as the newest.
    """

    cell: str
    tag: str
    value: Scalar
    at_ms: int
    quality: Quality = "good"
    reason: str | None = None
    is_history: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """The connection to a source (an endpoint, a device) came up or went down.

    `feeds` are the tags read from it, as (cell, tag): down turns these bad, and no others.
    """

    endpoint: str
    feeds: tuple[tuple[str, str], ...]
    up: bool
    at_ms: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened, ready to become an event of `type` at `path`.

    `business_key` makes it idempotent: a key that was recorded before is dropped by the runner.
    known_ms: how long, from `at_ms` on, that key is remembered; None: for ever.
    """

    path: str
    type: str
    at_ms: int
    body: Mapping[str, Any]
    key: str | None = None
    business_key: str | None = None
    known_ms: int | None = None


@dataclass(frozen=True, slots=True)
class BadInput:
    """Input that could not be used: quarantined with its original bytes, never dropped."""

    origin: str
    reject_class: str
    reason: str
    original: bytes = field(repr=False)
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class SetPoint:
    """A value that was checked and is to be written to the device behind a tag."""

    request_id: str
    cell: str
    tag: str
    value: float | str | bool


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a set-point: `value` as the device told it afterwards, at `at_ms`.

    reason: why it was not written, in an operator's words; None when it was.
    """

    request_id: str
    cell: str
    tag: str
    at_ms: int
    value: Scalar = None
    reason: str | None = None


Observation = Reading | Link | Fact | BadInput | Written


def cells_of(observations: Iterable[Observation]) -> set[str]:
    """The cells that observations are about."""
    cells = set[str]()
    for one in observations:
        if isinstance(one, Reading):
            cells.add(one.cell)
        elif isinstance(one, Link):
            cells.update(cell for cell, _ in one.feeds)
    return cells


def sayable(observation: Observation) -> Observation:
    """An observation whose texts can be written and sent: NUL or half a surrogate becomes a `?`.

    Libraries make such halves of bytes that are not UTF-8 (PEP 383).
    """
    texts = ((slot, getattr(observation, slot)) for slot in type(observation).__slots__)
    changed: dict[str, Any] = {
        slot: text.replace("\0", "?").encode(errors="replace").decode()
        for slot, text in texts
        if isinstance(text, str) and not _is_sayable(text)
    }
    return replace(observation, **changed) if changed else observation


def _is_sayable(text: str) -> bool:
    return "\0" not in text and (text.isascii() or not any(map(_is_half, text)))


def _is_half(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"
