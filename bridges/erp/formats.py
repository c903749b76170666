"""The formats of order files, one table: bytes -> the orders in them, each with its place.

Owns which reader a file gets by its suffix and by what it holds, and when a file is only half
there. Knows no folder. What a record means is mapping.py.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from bridges.erp.b2mml import is_schedule, orders_of
from bridges.erp.mapping import Kind, MappingRules
from bridges.erp.table import ROWS_MAX, Table, line_of, read_csv, table_of
from bridges.erp.tree import Element, XmlError, find_all, parse_xml
from bridges.erp.xlsx import XlsxError, is_half, rows_of
from uns.codec import parse_json
from uns.model.releasing import Refused

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
B2MML: Final = "b2mml"


class Record(NamedTuple):
    """One order as a file says it.

    place: what follows the file's name when it is spoken of: `:14`; empty when it is all of it.
    content: names and values, or why they cannot be read. original: the bytes of this order.
    """

    place: str
    content: Mapping[str, Any] | Refused
    original: bytes
    number: int = 0


class Content(NamedTuple):
    """The orders of a file, by which rules they are read, and the table they came in, if it was."""

    kind: Kind
    records: tuple[Record, ...]
    table: Table | None = None


class Format(NamedTuple):
    """How files with a suffix are read, and whether one may still be written to."""

    is_half: Callable[[bytes], bool]
    read: Callable[[bytes, MappingRules], Content | Refused]


def read(suffix: str, raw: bytes, rules: MappingRules) -> Content | Refused:
    """The orders of a file, at least one of them."""
    content = FORMATS[suffix].read(raw, rules)
    if isinstance(content, Refused) or 0 < len(content.records) <= ROWS_MAX:
        return content
    return Refused("", f"more than {ROWS_MAX} orders: split it" if content.records else "no order")


def _read_json(raw: bytes, rules: MappingRules) -> Content | Refused:
    try:
        document = parse_json(raw.removeprefix(BYTE_ORDER_MARK))
    except ValueError as error:
        return Refused("", str(error))
    name = next((key for key in document if is_schedule(key)), None)
    if name is not None and isinstance(document[name], Mapping):
        return _b2mml(name, document[name], raw)
    found = rules.of("json")
    if found is None or found.records is None:
        return Content("json", (Record("", document, raw),))
    return _listed("json", list(find_all(document, found.records)), found.records)


def _read_xml(raw: bytes, rules: MappingRules) -> Content | Refused:
    try:
        root = parse_xml(raw)
    except XmlError as error:
        return Refused("", f"line {error.line}, column {error.column}: {error}")
    found = rules.of("xml")
    if found and found.records and found.records.partition("/")[0] == root.name:
        tree = {root.name: root.content}
        return _listed("xml", list(find_all(tree, found.records)), found.records)
    is_b2mml = not root.namespace or B2MML in root.namespace.lower()
    if is_b2mml and is_schedule(root.name):
        return _b2mml(root.name, root.content, raw)
    said = f"{root.name!r} is no B2MML schedule"
    return Refused("", f"{said}: say formats/xml with its `records` in the mapping")


def _b2mml(name: str, content: Mapping[str, Any], raw: bytes) -> Content | Refused:
    said = orders_of(name, content)
    if isinstance(said, Refused):
        return said
    records = (
        Record(_place(n, line), content, raw if len(said) == 1 else _bytes(tree), n)
        for n, (line, tree, content) in enumerate(said, 1)
    )
    return Content(B2MML, tuple(records))


def _listed(kind: Kind, entries: list[Any], path: str) -> Content | Refused:
    if not entries:
        return Refused("", f"nothing stands at {path!r}, where the mapping says the orders are")
    return Content(kind, tuple(_entry(n, one) for n, one in enumerate(entries, 1)))


def _entry(number: int, entry: Any) -> Record:
    line = entry.line if isinstance(entry, Element) else None
    is_tree = isinstance(entry, Mapping)
    content = entry if is_tree else Refused("", "an order is names with values")
    return Record(_place(number, line), content, _bytes(entry), number)


def _place(number: int, line: int | None) -> str:
    return f":{line}" if line else f": order {number}"


def _bytes(entry: Any) -> bytes:
    return json.dumps(entry).encode()


def _read_csv(raw: bytes, rules: MappingRules) -> Content | Refused:
    table = read_csv(raw, rules.of("csv"))
    return table if isinstance(table, Refused) else _tabled("csv", table)


def _read_xlsx(raw: bytes, rules: MappingRules) -> Content | Refused:
    found = rules.of("xlsx")
    try:
        rows = rows_of(raw, found.sheet if found else None)
    except XlsxError as error:
        return Refused("", str(error))
    delimiter = (found and found.delimiter) or ","
    table = table_of(rows, delimiter, is_mapped=found is not None)
    return table if isinstance(table, Refused) else _tabled("xlsx", table)


def _tabled(kind: Kind, table: Table) -> Content:
    before = ": row " if kind == "xlsx" else ":"
    records = (
        Record(f"{before}{row.number}", content, line_of(table, row), row.number)
        for row, content in table.entries
    )
    return Content(kind, tuple(records), table)


def is_half_json(raw: bytes) -> bool:
    """Whether the bytes break off in the middle of a JSON object: somebody may still write."""
    try:
        text = raw.removeprefix(BYTE_ORDER_MARK).decode().rstrip()
        json.loads(text)
    except UnicodeDecodeError as error:
        return error.end >= len(raw) and error.reason == "unexpected end of data"
    except json.JSONDecodeError as error:
        return not text or error.pos >= len(text) or not text.endswith("}")
    except (RecursionError, ValueError):
        return False
    return False


def _is_half_xml(raw: bytes) -> bool:
    try:
        parse_xml(raw)
    except XmlError as error:
        return error.is_half
    return False


def _is_half_csv(raw: bytes) -> bool:
    """A last row without its end: after a while it is taken as it stands."""
    return not raw.rstrip(b"\0").endswith((b"\n", b"\r"))


FORMATS: Final[dict[str, Format]] = {
    ".json": Format(is_half_json, _read_json),
    ".xml": Format(_is_half_xml, _read_xml),
    ".csv": Format(_is_half_csv, _read_csv),
    ".xlsx": Format(is_half, _read_xlsx),
}
"""By the suffix of the file's name, in small letters."""


def place_in(text: str, key: str) -> tuple[int, int]:
    """Line and column, from 1, where a key of a JSON text stands; (1, 1) when it does not."""
    at = max(text.find(f'"{key}"'), 0) if key else 0
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
