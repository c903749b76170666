"""Every bound of a request, and the parameters that many paths share. No answer is without one."""

from typing import Annotated, Final, NamedTuple

from fastapi import Depends, Query
from pydantic import Field

from uns.api.context import Given
from uns.api.errors import Refused
from uns.api.instants import Instant
from uns.historian.history.period import PAGE_MAX, Period

BODY_BYTES_MAX: Final = 1_000_000
LIMIT_DEFAULT: Final = 500
DAY_MS: Final = 86_400_000
SPAN_DAYS_MAX: Final = 1_830
WINDOW_DEFAULT_MS: Final = 3_600_000
CURSOR_LENGTH_MAX: Final = 1_024
TEXT: Final = r"^[^\x00-\x1f\x7f]+$"
Text = Annotated[str, Field(min_length=1, max_length=128, pattern=TEXT)]
Place = Annotated[
    str,
    Query(
        min_length=1,
        max_length=320,
        pattern=TEXT,
        description="A place: `acme/berlin`, at any level.",
        examples=["acme/berlin/assembly/pump"],
    ),
]
Topic = Annotated[
    str,
    Query(min_length=1, max_length=512, pattern=TEXT, examples=["acme/berlin/a/l/c/_tag/bore"]),
]
Filter = Annotated[
    str,
    Query(
        min_length=1,
        max_length=512,
        pattern=TEXT,
        description="A topic, or a filter with `+` and `#`.",
        examples=["acme/+/+/+/_state/oee"],
    ),
]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="At most so many items.")]
After = Annotated[
    str | None,
    Query(
        max_length=CURSOR_LENGTH_MAX,
        pattern=TEXT,
        description="`after` of the page before; nothing for the first page.",
    ),
]


class Paging(NamedTuple):
    """A page that is asked for."""

    limit: int
    after: str | None


def _paging(limit: Limit = LIMIT_DEFAULT, after: After = None) -> Paging:
    return Paging(limit, after)


Paged = Annotated[Paging, Depends(_paging)]


def _window(
    context: Given,
    start: Annotated[
        Instant | None, Query(alias="from", description="Begin; default an hour before `to`.")
    ] = None,
    end: Annotated[
        Instant | None, Query(alias="to", description="End; default and latest: now.")
    ] = None,
) -> Period:
    return window(context.clock(), start, end)


Window = Annotated[Period, Depends(_window)]


def window(now_ms: int, start: int | None, end: int | None) -> Period:
    """[start, end) as far as it is past; Refused where nothing is left, or it is too long."""
    to_ms = now_ms if end is None else min(end, now_ms)
    from_ms = max(to_ms - WINDOW_DEFAULT_MS, 0) if start is None else start
    if from_ms >= to_ms:
        raise Refused(f"`from` {from_ms} is not before `to` {to_ms} (plant time is {now_ms})")
    if to_ms - from_ms > SPAN_DAYS_MAX * DAY_MS:
        raise Refused(f"more than {SPAN_DAYS_MAX} days: ask for a shorter time, part by part")
    return Period(from_ms=from_ms, to_ms=to_ms)
