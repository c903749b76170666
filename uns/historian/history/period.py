"""PURE: the span of time that is asked for, pages of an answer, and the base of all answers.

Owns the bounds of a question. Instants are plant time in ms since 1970 (UTC).
"""

from collections.abc import Sequence
from typing import Annotated, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from uns.historian.errors import QueryRefused

INSTANT_MAX: Final = 2**53
PAGE_DEFAULT: Final = 1_000
PAGE_MAX: Final = 10_000
Instant = Annotated[int, Field(description="ms since 1970 (UTC), plant time")]
Share = Annotated[float, Field(ge=0, le=1)]


class Answer(BaseModel):
    """The base of every answer: immutable; `model_dump(mode="json")` is its JSON."""

    model_config = ConfigDict(frozen=True)


T = TypeVar("T")


class Page(Answer, Generic[T]):
    """Some items of an answer, in its order. `after`: ask with it for what follows; None: all."""

    items: tuple[T, ...]
    after: str | None = None


class Period(Answer):
    """[from_ms, to_ms). `to_ms` is no later than plant time now: nothing is known of the future."""

    from_ms: Instant
    to_ms: Instant

    @property
    def length_ms(self) -> int:
        """How long it is."""
        return self.to_ms - self.from_ms

    def clamped(self, at_ms: int) -> int:
        """The instant of the period that is nearest."""
        return min(max(at_ms, self.from_ms), self.to_ms)


def period(from_ms: int, to_ms: int) -> Period:
    """The period of a question; QueryRefused where it has no length or no such instants exist."""
    if not 0 <= from_ms < to_ms <= INSTANT_MAX:
        raise QueryRefused(
            f"period {from_ms} to {to_ms}: use ms since 1970, the beginning before the end"
        )
    return Period(from_ms=from_ms, to_ms=to_ms)


def page_size(limit: int) -> int:
    """The limit, or QueryRefused where it is none."""
    if not 1 <= limit <= PAGE_MAX:
        raise QueryRefused(f"limit {limit}: use 1 to {PAGE_MAX}")
    return limit


def numbered(count: int, first: int) -> str:
    """Placeholders of an SQL list: `$3, $4, $5` for three from the third on."""
    return ", ".join(f"${first + n}" for n in range(count))


def share(part: float, whole: float) -> float:
    """A part of a whole as 0 to 1; 0 of nothing."""
    return min(max(part / whole, 0.0), 1.0) if whole > 0 else 0.0


def bounded(names: Sequence[str], most: int, what: str) -> tuple[str, ...]:
    """The names once each, or QueryRefused where there are none or too many."""
    unique = tuple(dict.fromkeys(names))
    if not 1 <= len(unique) <= most:
        raise QueryRefused(f"{len(unique)} {what}: use 1 to {most}")
    return unique
