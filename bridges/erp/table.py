"""Tables with one order a row: CSV (RFC 4180) in, rows with their columns; bad rows out again.

Owns the header, the cells and the column `reason` of a row that came back. Does not know what the
columns mean.
"""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from itertools import zip_longest
from typing import Any, Final, NamedTuple

from bridges.erp.mapping import SAME_NAMES, FormatRules
from uns.model.checks import did_you_mean
from uns.model.releasing import Refused

REASON: Final = "reason"
COLUMNS_MAX: Final = 256
ROWS_MAX: Final = 50_000
_DELIMITERS: Final = ";,\t|"
_QUOTED: Final = re.compile('"[^"]*"')
_KNOWN: Final = SAME_NAMES.model_fields_set - {"bom"}


class Row(NamedTuple):
    """A row: where it begins (a line of CSV, a row of a sheet; from 1), and its cells."""

    number: int
    cells: Sequence[Any]


class Entry(NamedTuple):
    """An order's row: its cells by column, empty ones left out; Refused where they do not fit."""

    row: Row
    content: Mapping[str, Any] | Refused


class Table(NamedTuple):
    """What a file with one order a row says."""

    columns: tuple[str, ...]
    delimiter: str
    entries: tuple[Entry, ...]


def read_csv(raw: bytes, rules: FormatRules | None) -> Table | Refused:
    """The table of a CSV file, by the mapping's encoding and delimiter where it says them."""
    encoding = rules.encoding if rules else "utf-8"
    try:
        text = raw.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        return Refused("", f"not {encoding} at byte {error.start}: say `encoding` in the mapping")
    if "\0" in text:
        return Refused("", "it holds NUL: no text")
    delimiter = (rules and rules.delimiter) or _delimiter(text.lstrip().partition("\n")[0])
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, number = list[Row](), 1
    try:
        for cells in reader:
            rows.append(Row(number, cells))
            number = reader.line_num + 1
    except csv.Error as error:
        return Refused("", f"line {reader.line_num}: not CSV: {error}")
    return table_of(rows, delimiter, is_mapped=rules is not None)


def table_of(rows: Iterable[Row], delimiter: str, *, is_mapped: bool) -> Table | Refused:
    """The table of rows, the first of them the header; empty rows are passed over."""
    filled = [row for row in rows if any(_is_said(cell) for cell in row.cells)]
    if not filled:
        return Refused("", "the table is empty: the first row names the columns")
    if len(filled) - 1 > ROWS_MAX:
        return Refused("", f"more than {ROWS_MAX} rows: split it")
    columns = _columns(filled[0])
    if isinstance(columns, Refused):
        return columns
    if not is_mapped and (refused := _unknown(columns)):
        return refused
    return Table(columns, delimiter, tuple(Entry(row, _by(columns, row)) for row in filled[1:]))


def bad_rows(table: Table, refused: Mapping[int, str]) -> str:
    """CSV of the rows that were refused, by row number, each with its reason in the last column."""
    text = StringIO(newline="")
    writer = csv.writer(text, delimiter=table.delimiter, lineterminator="\n")
    kept = [n for n, column in enumerate(table.columns) if column != REASON]
    writer.writerow([*(table.columns[n] for n in kept), REASON])
    for row in (entry.row for entry in table.entries if entry.row.number in refused):
        cells = [_shown(row.cells[n]) if n < len(row.cells) else "" for n in kept]
        writer.writerow([*cells, refused[row.number]])
    return text.getvalue()


def line_of(table: Table, row: Row) -> bytes:
    """A row as a line of CSV."""
    text = StringIO(newline="")
    csv.writer(text, delimiter=table.delimiter, lineterminator="\n").writerow(
        map(_shown, row.cells)
    )
    return text.getvalue().encode()


def _delimiter(header: str) -> str:
    plain = _QUOTED.sub("", header)
    return max(_DELIMITERS, key=plain.count) if any(map(plain.count, _DELIMITERS)) else ","


def _columns(header: Row) -> tuple[str, ...] | Refused:
    names = [str("" if cell is None else cell).strip() for cell in header.cells]
    while names and not names[-1]:
        names.pop()
    if len(names) > COLUMNS_MAX:
        return Refused("", f"more than {COLUMNS_MAX} columns")
    if twice := next((name for name in names if name and names.count(name) > 1), None):
        return Refused(twice, "this column stands twice")
    return tuple(names)


def _unknown(columns: Sequence[str]) -> Refused | None:
    for column in columns:
        if column not in {*_KNOWN, REASON, ""}:
            hint = did_you_mean(column, sorted(_KNOWN))
            return Refused(column, f"unknown column{hint}: rename it, or say a mapping")
    return None


def _by(columns: Sequence[str], row: Row) -> Mapping[str, Any] | Refused:
    pairs = zip_longest(columns, row.cells, fillvalue="")
    cells = {name: cell for name, cell in pairs if name != REASON and _is_said(cell)}
    if "" in cells:
        return Refused("", f"{str(cells[''])!r} stands under no column")
    return cells


def _is_said(cell: Any) -> bool:
    return cell is not None and bool(str(cell).strip())


def _shown(cell: Any) -> str:
    return "" if cell is None else str(cell)
