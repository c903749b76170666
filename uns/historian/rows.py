"""PURE: the rows of one transaction, and how each table takes them.

A row's fields are its table's columns, in order. Values are valid for every store; texts of JSON
are as they were published. Times are plant time in ms (UTC): `at_ms` of the source, `received_ms`
ours.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from uns.model.observation import Quality


class EventRow(NamedTuple):
    """An event; unique by `id` (its `at_ms` never changes)."""

    id: str
    type: str
    path: str
    source: str
    epoch: int
    seq: int
    at_ms: int
    received_ms: int
    topic: str
    payload: str


class TagRow(NamedTuple):
    """A sample as it was said; unique by topic, unit, time, value and quality.

    A number stands in `value`, a text in `value_text`; true and false, and whole numbers that a
    double cannot hold, in both. original: the payload as it was published, where the other columns
    do not give it (`71.0`, a foreign order of keys).
    """

    topic: str
    at_ms: int
    value: float | None
    value_text: str | None
    quality: Quality
    unit: str | None
    received_ms: int
    reason: str | None = None
    original: str | None = None


class SeriesRow(NamedTuple):
    """An entry of the dictionary of tags: a topic with its unit has a number."""

    series: int
    topic: str
    unit: str | None


class SampleRow(NamedTuple):
    """A sample as it stands: TagRow with the number of its series; see uns.historian.series."""

    at_ms: int
    received_ms: int
    value: float | None
    series: int
    quality: int
    value_text: str | None
    reason: str | None
    original: str | None


class DueRow(NamedTuple):
    """An hour of a series that has samples which are not rolled up."""

    series: int
    hour_ms: int


class AgainRow(NamedTuple):
    """A tag that came to show an instant no later than before: good, bad and good again at one.

    `original` is what was published; the others as in TagRow.
    """

    topic: str
    at_ms: int
    value: float | None
    value_text: str | None
    quality: Quality
    unit: str | None
    received_ms: int
    reason: str | None
    original: str


class StateRow(NamedTuple):
    """A public `_state` document; unique by (topic, rev)."""

    topic: str
    rev: int
    at_ms: int
    received_ms: int
    document: str


class ClearedRow(NamedTuple):
    """A `_tag` or `_state` topic was cleared: what was received of it before is not there now."""

    topic: str
    received_ms: int


class ResumeRow(NamedTuple):
    """The resume document of a processor; the newest few of each topic are kept.

    For ever the bases (rev = base_rev), and of the newest owner the first.
    """

    topic: str
    owner_epoch: int
    rev: int
    at_ms: int
    received_ms: int
    document: str


class RejectRow(NamedTuple):
    """A message in quarantine. `repeated`: it may be on record already (a redelivery)."""

    reject_class: str
    reason: str
    topic: str
    at_ms: int
    original_base64: str
    original_sha256: str
    repeated: bool


class WatermarkRow(NamedTuple):
    """How far a source's epoch is on record.

    seq: every event up to it is. first_seq: the first of them; what came before was lost with an
    earlier store. hole_to: the last missing one before the events in `ahead` (JSON list of seqs
    that are on record above a hole).
    """

    source: str
    epoch: int
    seq: int
    first_seq: int
    hole_to: int | None
    ahead: str
    at_ms: int


Row = EventRow | TagRow | AgainRow | StateRow | ClearedRow | ResumeRow | RejectRow | WatermarkRow


@dataclass(slots=True)
class Batch:
    """What one transaction writes: per table its rows."""

    events: list[EventRow] = field(default_factory=list)
    tags: list[TagRow] = field(default_factory=list)
    again: list[AgainRow] = field(default_factory=list)
    states: list[StateRow] = field(default_factory=list)
    cleared: list[ClearedRow] = field(default_factory=list)
    resumes: list[ResumeRow] = field(default_factory=list)
    rejects: list[RejectRow] = field(default_factory=list)
    watermarks: list[WatermarkRow] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.tables().values())

    def tables(self) -> dict[str, list[Row]]:
        """The rows by table, in the order they are written."""
        return {name: list(getattr(self, name)) for name in TABLES}


class Table(NamedTuple):
    """Where rows of a kind go. `types` are the SQL types of its columns, known to every store."""

    name: str
    row: type[Row | SampleRow | SeriesRow | DueRow]
    types: tuple[str, ...]

    @property
    def staging(self) -> str:
        """The temporary table that rows pass through."""
        return f"new_{self.name}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns."""
        return self.row._fields

    @property
    def declaration(self) -> str:
        """Its columns with their types, as CREATE TABLE wants them."""
        pairs = zip(self.columns, self.types, strict=True)
        return ", ".join(f"{column} {sql_type}" for column, sql_type in pairs)


_T: Final = "text"
_N: Final = "bigint"
TABLES: Final[dict[str, Table]] = {
    "events": Table("events", EventRow, (_T, _T, _T, _T, _N, _N, _N, _N, _T, "json")),
    "tags": Table(
        "samples", SampleRow, (_N, _N, "double precision", "integer", "smallint", *(_T,) * 3)
    ),
    "again": Table("shown_again", AgainRow, (_T, _N, "double precision", _T, _T, _T, _N, _T, _T)),
    "states": Table("states", StateRow, (_T, _N, _N, _N, _T)),
    "cleared": Table("cleared", ClearedRow, (_T, _N)),
    "resumes": Table("processor_states", ResumeRow, (_T, _N, _N, _N, _N, _T)),
    "rejects": Table("quarantine", RejectRow, (_T, _T, _T, _N, _T, _T, "boolean")),
    "watermarks": Table("watermarks", WatermarkRow, (_T, _N, _N, _N, _N, _T, _N)),
}
"""The tables by their field in Batch."""
TAGS: Final = "tags"
EVENTS: Final = "events"
SERIES: Final = Table("tag_series", SeriesRow, ("integer", _T, _T))
DUE: Final = Table("rollups_due", DueRow, ("integer", _N))
NEWEST: Final = Table("tag_samples", TagRow, (_T, _N, "double precision", *(_T,) * 3, _N, _T, _T))
"""What comes with samples: their names, what waits to be rolled up, the newest of each topic."""

RESUMES_KEPT: Final = 3
"""How many resume documents of a processor are kept."""
