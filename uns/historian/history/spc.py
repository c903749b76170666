"""Measured characteristics with their limits, as control charts want them."""

import re
from typing import Final

from uns.historian.errors import QueryRefused
from uns.historian.history.charts import Limited, Statistics, Violation, statistics, violations
from uns.historian.history.period import PAGE_DEFAULT, Answer, Instant, Period, page_size
from uns.historian.reader import Reader

_CURSOR: Final = re.compile(r"([0-9]{1,16})~(.{1,128})", re.DOTALL)
_MEASURED: Final = """
SELECT at_ms, sample_id, unit_id, lot, item, order_id, value, unit, lower, upper, verdict,
    specification
FROM measurements
WHERE cell = $1 AND characteristic = $2 AND at_ms >= $3 AND at_ms < $4
    AND (at_ms > $3 OR sample_id > $5) AND ($6 = '' OR item = $6)
ORDER BY at_ms, sample_id
"""


class Measurement(Limited):
    """One judged value; lower, upper: the limits it was judged by, None: open."""

    sample_id: str
    unit_id: str | None
    lot: str | None
    item: str | None
    order_id: str | None
    unit: str | None
    verdict: str
    specification: str | None


class Series(Answer):
    """Values of a characteristic at a cell, by time; `after`: as of a Page.

    statistics and violations are of the measurements of this page; None below two values.
    """

    cell: str
    characteristic: str
    from_ms: Instant
    to_ms: Instant
    measurements: tuple[Measurement, ...]
    statistics: Statistics | None
    violations: tuple[Violation, ...]
    after: str | None = None


def spc_series(  # noqa: PLR0913 - the question's parts
    reader: Reader,
    cell: str,
    characteristic: str,
    asked: Period,
    *,
    item: str | None = None,
    limit: int = PAGE_DEFAULT,
    after: str | None = None,
) -> Series:
    """What was measured of a characteristic at a cell, with limits and chart statistics."""
    start_ms, sample_id = _cursor(after, asked)
    params = (cell, characteristic, start_ms, asked.to_ms, sample_id, item or "")
    found = reader.query(_MEASURED, params, page_size(limit))
    measured = tuple(Measurement.model_validate(row) for row in found.documents())
    chart, last = statistics(measured), measured[-1] if measured and found.truncated else None
    return Series(
        cell=cell,
        characteristic=characteristic,
        from_ms=asked.from_ms,
        to_ms=asked.to_ms,
        measurements=measured,
        statistics=chart,
        violations=tuple(violations(measured, chart)),
        after=f"{last.at_ms}~{last.sample_id}" if last else None,
    )


def _cursor(after: str | None, asked: Period) -> tuple[int, str]:
    if after is None:
        return asked.from_ms, ""
    found = _CURSOR.fullmatch(after)
    if found is None:
        raise QueryRefused(f"{after!r:.40} is no page: use the `after` of the page before")
    at_ms, sample_id = int(found[1]), found[2]
    return (at_ms, sample_id) if at_ms >= asked.from_ms else (asked.from_ms, "")
