"""Workbooks (ECMA-376, SpreadsheetML): the rows of one sheet, with days and times as such.

Owns the parts of a workbook that say values: sheet, shared texts, number formats. Formulas count
with the value that was saved. Knows nothing of columns. What is unpacked is bounded.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any, Final, NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, is_zipfile

from bridges.erp.table import COLUMNS_MAX, ROWS_MAX, Row
from bridges.erp.tree import TEXT, many, parse_xml, text_of
from uns.model.checks import did_you_mean

PART_BYTES_MAX: Final = 20_000_000
_SERIAL_MAX: Final = 2_958_466  # the day after 9999-12-31
_WHOLE_MAX: Final = 10**15
_DATE_FORMATS: Final = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
_LITERALS: Final = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.|_.|\*.')
_DAMAGED: Final = (
    BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    OSError,
)
"""What reading a damaged, encrypted or forged archive ends in; XmlError is a ValueError."""
_CELL: Final = re.compile(r"([A-Z]{1,3})(\d{1,7})")

Tree = Mapping[str, Any]


class XlsxError(ValueError):
    """The bytes are no workbook that is read; the message says why."""


class _Book(NamedTuple):
    """What a cell's value depends on besides itself."""

    texts: list[str]
    is_time: list[bool]
    """By style."""
    day_0: datetime


def is_half(raw: bytes) -> bool:
    """Whether the end of the archive is not here yet."""
    return not is_zipfile(BytesIO(raw))


def rows_of(raw: bytes, sheet: str | None) -> list[Row]:
    """The rows of a sheet by name, or of the first one. Raises XlsxError."""
    try:
        with ZipFile(BytesIO(raw)) as archive:
            workbook = _part(archive, "xl/workbook.xml")
            content = _part(archive, _target(archive, workbook, sheet))
            return list(_rows(content, _book(archive, workbook)))
    except XlsxError:
        raise
    except _DAMAGED as error:
        raise XlsxError(f"no workbook: {error}") from None


def _part(archive: ZipFile, name: str, *, is_needed: bool = True) -> Tree:
    try:
        if archive.getinfo(name).compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
            raise XlsxError(f"{name} is packed in a way that workbooks are not")
        with archive.open(name) as part:
            raw = part.read(PART_BYTES_MAX + 1)
    except KeyError:
        if is_needed:
            raise XlsxError(f"no workbook: {name} is missing") from None
        return {}
    if len(raw) > PART_BYTES_MAX:
        raise XlsxError(f"{name} is larger than {PART_BYTES_MAX} bytes unpacked")
    return parse_xml(raw).content


def _inside(tree: Tree, name: str) -> Tree:
    found = tree.get(name)
    return found if isinstance(found, Mapping) else {}


def _elements(tree: Tree, name: str) -> list[Tree]:
    return [one for one in many(tree, name) if isinstance(one, Mapping)]


def _target(archive: ZipFile, workbook: Tree, wanted: str | None) -> str:
    sheets = {
        str(one.get("@name")): one.get("@id")
        for one in _elements(_inside(workbook, "sheets"), "sheet")
    }
    if not sheets:
        raise XlsxError("the workbook has no sheet")
    if wanted is not None and wanted not in sheets:
        raise XlsxError(f"no sheet {wanted!r}{did_you_mean(wanted, sheets)}")
    related = _part(archive, "xl/_rels/workbook.xml.rels")
    targets = {
        one.get("@Id"): str(one.get("@Target")) for one in _elements(related, "Relationship")
    }
    target = targets.get(sheets[wanted if wanted is not None else next(iter(sheets))], "")
    return target.removeprefix("/") if target.startswith("/") else f"xl/{target}"


def _book(archive: ZipFile, workbook: Tree) -> _Book:
    shared = _part(archive, "xl/sharedStrings.xml", is_needed=False)
    styles = _part(archive, "xl/styles.xml", is_needed=False)
    since_1904 = _inside(workbook, "workbookPr").get("@date1904") in {"1", "true"}
    day_0 = datetime(1904, 1, 1) if since_1904 else datetime(1899, 12, 30)  # noqa: DTZ001 - workbooks know no zone
    return _Book([_rich_text(one) for one in many(shared, "si")], _time_styles(styles), day_0)


def _rich_text(value: Any) -> str:
    """A text, in one or in runs of several looks (18.4.8)."""
    if not isinstance(value, Mapping):
        return ""
    runs = [one.get("t") for one in _elements(value, "r")] or [value.get("t")]
    texts = (run.get(TEXT) if isinstance(run, Mapping) else run for run in runs)
    return "".join(str(text) for text in texts if text is not None)


def _time_styles(styles: Tree) -> list[bool]:
    own = {
        str(one.get("@numFmtId")): str(one.get("@formatCode"))
        for one in _elements(_inside(styles, "numFmts"), "numFmt")
    }
    ids = [str(one.get("@numFmtId", "0")) for one in _elements(_inside(styles, "cellXfs"), "xf")]
    return [_is_time(each, own.get(each)) for each in ids]


def _is_time(format_id: str, code: str | None) -> bool:
    """Whether a number format shows days or times (18.8.30)."""
    if code is None:
        return format_id.isdecimal() and int(format_id) in _DATE_FORMATS
    return any(letter in _LITERALS.sub("", code).lower() for letter in "dmyhs")


def _rows(sheet: Tree, book: _Book) -> Iterator[Row]:
    number = 0
    for row in _elements(_inside(sheet, "sheetData"), "row"):
        stated = str(row.get("@r", ""))
        number = int(stated) if stated.isdecimal() else number + 1
        if number > ROWS_MAX + 1:
            raise XlsxError(f"more than {ROWS_MAX} rows: split it")
        yield Row(number, _cells(row, book))


def _cells(row: Tree, book: _Book) -> list[Any]:
    cells: list[Any] = []
    for cell in _elements(row, "c"):
        column = _column(str(cell.get("@r", "")), len(cells))
        if column >= COLUMNS_MAX:
            raise XlsxError(f"more than {COLUMNS_MAX} columns")
        cells += [None] * (column + 1 - len(cells))
        cells[column] = _value(cell, book)
    return cells


def _column(reference: str, following: int) -> int:
    """The column of `B7`, from 0; a cell without a reference follows the one before."""
    found = _CELL.fullmatch(reference)
    if found is None:
        return following
    number = 0
    for letter in found[1]:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def _value(cell: Tree, book: _Book) -> Any:
    """The value of a cell by its type (18.18.11)."""
    text, kind = text_of(cell.get("v")), cell.get("@t", "n")
    if kind == "inlineStr":
        return _rich_text(cell.get("is")) or None
    if text is None:
        return None
    match kind:
        case "s":
            known = text.isdecimal() and int(text) < len(book.texts)
            return book.texts[int(text)] if known else None
        case "b":
            return text == "1"
        case "n":
            return _number(text, str(cell.get("@s", "0")), book)
        case _:
            return text


def _number(text: str, style: str, book: _Book) -> Any:
    try:
        number = float(text)
    except ValueError:
        return text
    shows_time = style.isdecimal() and int(style) < len(book.is_time) and book.is_time[int(style)]
    if shows_time and 0 <= number < _SERIAL_MAX:
        return book.day_0 + timedelta(milliseconds=round(number * 86_400_000))
    return int(number) if number.is_integer() and abs(number) < _WHOLE_MAX else number
