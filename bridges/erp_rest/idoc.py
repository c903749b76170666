"""PURE: SAP IDocs of message type LOIPRO (production orders), as XML that is pushed to us.

Segment E1AFKOL: AUFNR order, MATNR item, GAMNG or BMENGE quantity, GLTRS or GLTRP end date. The
number of the IDoc (EDI_DC40, DOCNUM) only grows: it is the revision. XML with a document type, and
so with entities, is refused before it is read; what is not UTF-8 too.
"""

from datetime import datetime
from typing import Final
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

from bridges.erp_rest.contract import Document, Terms, whole_pieces
from bridges.erp_rest.errors import MappingError

MARK: Final = b"<"
_REVISION_MAX: Final = 10**16
_NO_DATE: Final = frozenset({"", "00000000"})


def is_xml(raw: bytes) -> bool:
    """Whether the bytes are XML, as far as one can tell."""
    return raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(MARK)


def orders_of(raw: bytes, terms: Terms) -> list[Document]:
    """The orders of an IDoc. Raises MappingError."""
    root = _parsed(raw)
    idocs = [root] if root.tag == "IDOC" else root.findall("IDOC")
    orders = [_order(idoc, header, terms) for idoc in idocs for header in idoc.findall("E1AFKOL")]
    if not orders:
        raise MappingError("no segment E1AFKOL: is this an IDoc of message type LOIPRO?")
    return orders


def _parsed(raw: bytes) -> ET.Element:
    try:
        text = raw.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        raise MappingError(f"not UTF-8 at byte {error.start}") from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise MappingError("a document type is not taken")
    try:
        return ET.fromstring(text)  # noqa: S314 - no document type, so no entities of its own
    except (ET.ParseError, ValueError) as error:
        raise MappingError(f"not XML: {error}") from None


def _order(idoc: ET.Element, header: ET.Element, terms: Terms) -> Document:
    return {
        "order_id": _text(header, "AUFNR").lstrip("0"),
        "item": terms.item_here(_text(header, "MATNR").lstrip("0")),
        "quantity": whole_pieces(_text(header, "GAMNG", "BMENGE"), "GAMNG"),
        "due": _due(header, terms),
        "revision": _revision(idoc),
    }


def _text(segment: ET.Element, *fields: str) -> str:
    found = ((segment.findtext(field) or "").strip() for field in fields)
    text = next((one for one in found if one), "")
    if not text:
        raise MappingError(f"{' or '.join(fields)}: missing in {segment.tag}")
    return text


def _due(header: ET.Element, terms: Terms) -> str | None:
    """The end of the order: its date, at the time beside it or at the end of the day."""
    for day_field, time_field in (("GLTRS", "GLUZS"), ("GLTRP", "GLUZP")):
        day = (header.findtext(day_field) or "").strip()
        if day in _NO_DATE:
            continue
        at = (header.findtext(time_field) or "").strip() or "235959"
        try:
            moment = datetime.strptime(f"{day}{at}", "%Y%m%d%H%M%S")  # noqa: DTZ007 - the zone follows
        except ValueError:
            raise MappingError(f"{day_field}: {day!r} {at!r} is no date and time") from None
        return moment.replace(tzinfo=ZoneInfo(terms.zone)).isoformat()
    return None


def _revision(idoc: ET.Element) -> int:
    number = (idoc.findtext("EDI_DC40/DOCNUM") or "").strip()
    if not number.isdigit() or not 0 < int(number) < _REVISION_MAX:
        raise MappingError(f"EDI_DC40/DOCNUM: {number!r} is no number of an IDoc")
    return int(number)
