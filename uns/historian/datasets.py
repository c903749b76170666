"""PURE: the read models as data sets of files: where rows belong, and when a day has changed.

Owns the table of data sets, days, and the SQL that is asked about them. Does not know files or
stores: SQL here runs on every store, and what begins with `place` on DuckDB over staged rows.
"""

from datetime import date, timedelta
from typing import Final, NamedTuple

DAY_MS: Final = 86_400_000
PARTITIONS: Final = ("site", "line", "day")
_EPOCH: Final = date(1970, 1, 1)
INSTANT_MAX: Final = 2**63 - 1
_DAY_LAST: Final = (date.max - _EPOCH).days
_SEGMENT: Final = "[a-z0-9][a-z0-9-]{0,62}"


class Dataset(NamedTuple):
    """A read model as files.

    place: SQL, the location of a row, or what begins with it. at_ms: SQL, the instant that decides
    its day. arrivals: a relation with `at_ms` and `received_ms` of the rows, for those that never
    change once they are there. ages: the store lets old rows go; the export keeps them.
    """

    name: str
    place: str
    at_ms: str = "at_ms"
    arrivals: str | None = None
    ages: bool = False


_OF_SOURCE: Final = "replace(regexp_replace(source, '^.*:', ''), '.', '/')"
_DAYS: Final = "CAST(CAST(\"at\" AS DATE) - DATE '1970-01-01' AS BIGINT)"
_OF_TIMESTAMP: Final = f"{_DAYS} * {DAY_MS}"
DATASETS: Final[dict[str, Dataset]] = {
    dataset.name: dataset
    for dataset in (
        Dataset("tags", "topic", arrivals="tag_samples", ages=True),
        Dataset("events", "path", arrivals="events", ages=True),
        Dataset("states", "topic", arrivals="states", ages=True),
        Dataset("rejects", "topic", ages=True),
        Dataset("gaps", _OF_SOURCE, ages=True),
        Dataset("orders", "line", "COALESCE(released_ms, at_ms)"),
        Dataset("stops", "cell", "start_ms"),
        Dataset("state_changes", "cell"),
        Dataset("verdicts", "cell"),
        Dataset("measurements", "cell"),
        Dataset("lots", "cell", "first_ms"),
        Dataset("edges", "cell"),
        Dataset("genealogy_edges", "cell", _OF_TIMESTAMP),
        Dataset("oee_intervals", "cell", "start_ms"),
        Dataset("oee_by_shift", "cell", "start_ms"),
        Dataset("oee_by_order", "cell", "start_ms"),
        Dataset("oee_by_item", "cell", "start_ms"),
    )
}
"""By the name of the read model, in the order of export."""


class Window(NamedTuple):
    """The days that an instant in [from_ms, to_ms) lies on; None: no bound."""

    from_ms: int | None = None
    to_ms: int | None = None

    def holds(self, day: int) -> bool:
        """Whether a part of a day lies in it."""
        begin_ms, end_ms = bounds_ms(day)
        return (self.to_ms is None or begin_ms < self.to_ms) and (
            self.from_ms is None or end_ms > self.from_ms
        )

    @property
    def is_open(self) -> bool:
        """Whether it holds every day."""
        return self == (None, None)


ALWAYS: Final = Window()


def bounds_ms(day: int) -> tuple[int, int]:
    """Where a day begins and ends; the first and the last hold what lies beyond any calendar."""
    begin_ms = day * DAY_MS if day else -INSTANT_MAX
    return begin_ms, INSTANT_MAX if day == _DAY_LAST else (day + 1) * DAY_MS


def day_name(day: int) -> str:
    """A day, counted from 1970-01-01, as files are named: 2026-11-23 (UTC)."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def day_of(name: str) -> int:
    """The day of a name."""
    return (date.fromisoformat(name) - _EPOCH).days


def filed_name(column: str) -> str:
    """The name of a column in files: one that a partition is named after must give way."""
    return f"{column}_path" if column in PARTITIONS else column


_DAY: Final = f"LEAST(GREATEST(({{at_ms}} - {{at_ms}} % {DAY_MS}) / {DAY_MS}, 0), {_DAY_LAST})"
HASHES: Final = {"duckdb": "hash(v)", "postgres": "hashtextextended(CAST(v AS TEXT), 0)"}
"""A number that differs where a row of the relation `v` does, by dialect."""


def arrived(dataset: Dataset) -> str:
    """The days with rows that came after `$1`, each with the instant at which the last one came."""
    day = _DAY.format(at_ms="at_ms")
    return f"""
SELECT CAST({day} AS BIGINT) AS day, CAST(max(received_ms) AS TEXT) AS mark
FROM {dataset.arrivals} WHERE received_ms > $1 GROUP BY 1 ORDER BY 1
"""  # noqa: S608 - constants of ours


def fingerprints(dataset: Dataset, dialect: str) -> str:
    """Every day with what tells whether its rows are still the same; `$1` is 0."""
    day = _DAY.format(at_ms=f"({dataset.at_ms})")
    return f"""
SELECT CAST({day} AS BIGINT) AS day,
    CAST(count(*) AS TEXT) || ':' || CAST(sum({HASHES[dialect]}) AS TEXT) AS mark
FROM {dataset.name} AS v WHERE $1 = 0 GROUP BY 1 ORDER BY 1
"""  # noqa: S608 - constants of ours


def rows_of(dataset: Dataset, day: int | None) -> str:
    """The rows of a day; None: no row, but the columns."""
    begin_ms, end_ms = (1, 0) if day is None else bounds_ms(day)
    at_ms = dataset.at_ms
    return f"SELECT * FROM {dataset.name} WHERE {at_ms} >= {begin_ms} AND {at_ms} < {end_ms}"  # noqa: S608 - constants of ours


def placed(dataset: Dataset, staged: str) -> str:
    """The staged rows with the site and the line they belong to, NULL where they belong to none."""
    location = f"split_part({dataset.place}, '/_', 1)"
    site, line = (
        f"CASE WHEN regexp_full_match(split_part({location}, '/', {level}), '{_SEGMENT}')"
        f" THEN split_part({location}, '/', {level}) END"
        for level in (2, 4)
    )
    return f"SELECT *, {site} AS in_site, {line} AS in_line FROM {staged}"  # noqa: S608 - constants of ours
