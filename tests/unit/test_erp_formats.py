"""Order files as bytes: what is read, what is half there, and what is refused before it is read."""

import json
from datetime import datetime
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridges.erp import xlsx
from bridges.erp.b2mml import SHAPE_OF, SHAPES
from bridges.erp.formats import FORMATS, Content, read
from bridges.erp.mapping import MappingRules
from bridges.erp.office import mapped
from bridges.erp.table import bad_rows
from bridges.erp.tree import DEPTH_MAX, XmlError, find, parse_xml, text_of
from tests.simulated import START_MS, example_plant
from uns.model.releasing import Refused, release

RULES = MappingRules()
PLANT = example_plant()
HEADER = b"order_id,item,quantity\n"
SHEET = """<worksheet xmlns="urn:s"><sheetData>
<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><t>item</t></is></c>
 <c r="C1" t="str"><v>quantity</v></c><c r="D1" t="s"><v>1</v></c></row>
<row r="3"><c r="A3"><v>17</v></c><c t="s"><v>2</v></c><c r="D3" s="1"><v>46353.75</v></c></row>
</sheetData></worksheet>"""
WORKBOOK = {
    "xl/workbook.xml": '<workbook xmlns="urn:s" xmlns:r="urn:r"><sheets>'
    '<sheet name="Plan" sheetId="1" r:id="rId1"/><sheet name="Old" sheetId="2" r:id="rId2"/>'
    "</sheets></workbook>",
    "xl/_rels/workbook.xml.rels": '<Relationships xmlns="urn:p">'
    '<Relationship Id="rId1" Target="worksheets/sheet1.xml"/>'
    '<Relationship Id="rId2" Target="/xl/worksheets/sheet2.xml"/></Relationships>',
    "xl/worksheets/sheet1.xml": SHEET,
    "xl/worksheets/sheet2.xml": '<worksheet xmlns="urn:s"><sheetData/></worksheet>',
    "xl/sharedStrings.xml": '<sst xmlns="urn:s"><si><r><t xml:space="preserve">order_</t></r>'
    "<r><t>id</t></r></si><si><t>due</t></si><si><t>pump-a</t></si></sst>",
    "xl/styles.xml": '<styleSheet xmlns="urn:s"><numFmts>'
    '<numFmt numFmtId="164" formatCode="dd/mm/yy\\ hh:mm"/></numFmts>'
    '<cellXfs><xf numFmtId="0"/><xf numFmtId="164"/></cellXfs></styleSheet>',
}


def workbook(**parts: str | None) -> bytes:
    """A workbook with some parts replaced, or left out where None; `__` in a name is a slash."""
    changed = {name.replace("__", "/").replace("_xml", ".xml"): v for name, v in parts.items()}
    archive = BytesIO()
    with ZipFile(archive, "w", ZIP_DEFLATED) as file:
        for name, text in {**WORKBOOK, **changed}.items():
            if text is not None:
                file.writestr(name, text)
    return archive.getvalue()


def content_of(suffix: str, raw: bytes) -> Content:
    content = read(suffix, raw, RULES)
    assert isinstance(content, Content), content
    return content


def refusal(suffix: str, raw: bytes) -> str:
    refused = read(suffix, raw, RULES)
    assert isinstance(refused, Refused)
    return str(refused)


# --- XML


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "DOCTYPE"),
        (b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd"><a/>', "DOCTYPE"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>', "DOCTYPE"),
        (b"<a>&x;</a>", "undefined entity"),
        (b"<a>" * (DEPTH_MAX + 1) + b"</a>" * (DEPTH_MAX + 1), "nested deeper"),
        (b"<a>one<b/>two</a>", "text between the elements of a"),
        (b"<a><b></a>", "mismatched tag"),
        (b"\xff\xfe<", "not XML"),
    ],
)
def test_xml_that_is_not_read(raw: bytes, says: str) -> None:
    with pytest.raises(XmlError, match=says):
        parse_xml(raw)


def test_xml_is_a_tree_of_names() -> None:
    root = parse_xml(
        b'<n:a xmlns:n="urn:n" xmlns:f="urn:f" k="1">\n <n:b> x </n:b><n:c u="ST">7</n:c>'
        b"<n:d/><f:e>9</f:e><n:g><h>3</h></n:g><n:g/></n:a>"
    )
    assert (root.name, root.namespace) == ("a", "urn:n")
    assert text_of(find(root.content, "b")) == "x"
    assert (find(root.content, "@k"), find(root.content, "c/@u")) == ("1", "ST")
    assert text_of(root.content["c"]) == "7"
    assert text_of(root.content["d"]) is None
    assert root.content["{urn:f}e"] == "9"
    assert find(root.content, "no/where") is None
    with pytest.raises(ValueError, match="stands 2 times"):
        find(root.content, "g/h")


@given(st.binary(max_size=200))
def test_any_bytes_are_xml_or_refused(raw: bytes) -> None:
    FORMATS[".xml"].is_half(raw)
    read(".xml", raw, RULES)


def test_xml_that_is_no_schedule_needs_a_mapping() -> None:
    assert "formats/xml" in refusal(".xml", b"<Export><Order/></Export>")
    assert "formats/xml" in refusal(
        ".xml", b'<WorkSchedule xmlns="urn:other"><ID>1</ID></WorkSchedule>'
    )


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"<CancelWorkSchedule><DataArea/></CancelWorkSchedule>", "Cancel releases nothing"),
        (b"<SyncJobList><DataArea/></SyncJobList>", "no DataArea with JobList"),
        (b"<JobList><JobOrder><ID>1</ID></JobOrder></JobList>", "no JobList/ID"),
        (b"<JobList><ID>1</ID><ID>2</ID></JobList>", "ID stands 2 times"),
        (b"<JobList><ID>1</ID></JobList>", "no order"),
        (b"<JobList><ID>1</ID><JobOrder>x</JobOrder></JobList>", "JobOrder holds no elements"),
        (
            b"<JobList><ID>1</ID><JobOrders/></JobList>",
            "unknown element 'JobOrders' (did you mean 'JobOrder'?)",
        ),
    ],
)
def test_schedules_that_cannot_be_read(raw: bytes, says: str) -> None:
    assert says in refusal(".xml", raw)


MADE = (
    "<MaterialRequirement><MaterialDefinitionID>{}</MaterialDefinitionID>"
    "<MaterialUse>{}</MaterialUse><Quantity><QuantityString>{}</QuantityString></Quantity>"
    "</MaterialRequirement>"
)


@pytest.mark.parametrize(
    ("inside", "says"),
    [
        ("", "no MaterialRequirement is 'Produced'"),
        (MADE.format("a", "Produced", 1) + MADE.format("b", "Produced", 1), "2 materials are"),
        ("<RequestState>Forecast</RequestState>", "unknown element 'RequestState'"),
        ("<DispatchStatus>Forecast</DispatchStatus>", "'Forecast' is no release"),
        ("<Command>Abort</Command>", "Command 'Abort' is no release"),
        (MADE.format("", "Produced", 1), "has no MaterialDefinitionID"),
        (MADE.format("a", "Produced", 9) + MADE.format("b", "Consumed", "1e99"), "below 10^18"),
        (MADE.format("a", "Produced", 9) + MADE.format("b", "Consumed", "nan"), "above 0"),
        (MADE.format("a", "Produced", "?") + MADE.format("b", "Consumed", "1"), "'?' is no number"),
        ("<HierarchyScope><EquipmentLevel>Site</EquipmentLevel></HierarchyScope>", "EquipmentID"),
    ],
)
def test_job_orders_that_cannot_be_read(inside: str, says: str) -> None:
    scope_last = inside.startswith("<Hier")
    made = MADE.format("a", "Produced", 1) if scope_last else ""
    raw = f"<JobOrder><ID>1</ID>{inside}{made}</JobOrder>".encode()
    (record,) = content_of(".xml", raw).records
    assert isinstance(record.content, Refused)
    assert says in record.content.reason


# --- halves


@pytest.mark.parametrize(
    ("suffix", "raw"),
    [
        (".xml", b"<?xml version='1.0'?>\n<a b='c'><!-- d --><e>\xc3\xa4<![CDATA[f]]></e></a>"),
        (".xlsx", workbook()),
    ],
)
def test_every_beginning_is_a_half(suffix: str, raw: bytes) -> None:
    is_half = FORMATS[suffix].is_half
    assert not is_half(raw)
    assert [n for n in range(0, len(raw), 1 + len(raw) // 80) if not is_half(raw[:n])] == []


def test_a_table_without_the_end_of_its_last_row_may_grow() -> None:
    is_half = FORMATS[".csv"].is_half
    assert is_half(HEADER + b"PO-1,pump-a,24")
    assert not is_half(HEADER + b"PO-1,pump-a,240\n")
    assert not is_half("a;b\r\n".encode("utf-16"))


# --- CSV


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_with_any_usual_delimiter(delimiter: str, mark: str) -> None:
    cells = ["order_id", "item", "quantity", "reason"], ["PO-1", "pump-a", " 7 ", "was wrong"]
    raw = (mark + "\r\n".join(delimiter.join(row) for row in cells)).encode()
    (record,) = content_of(".csv", raw).records
    assert (record.place, record.content) == (
        ":2",
        {"order_id": "PO-1", "item": "pump-a", "quantity": " 7 "},
    )


def test_csv_rows_keep_their_line_behind_breaks_and_empty_rows() -> None:
    raw = b'order_id,item\n\n"PO\n1",a\n,,\nPO-2,b\n'
    records = content_of(".csv", raw).records
    assert [(one.place, one.content) for one in records] == [
        (":3", {"order_id": "PO\n1", "item": "a"}),
        (":6", {"order_id": "PO-2", "item": "b"}),
    ]


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "empty"),
        (b"order_id\n", "no order"),
        (b"order_id,order_id\n", "stands twice"),
        (b"order_id,quantitiy\nx,1\n", "did you mean 'quantity'?"),
        (b"order_id,bom\nx,1\n", "unknown column"),
        (b'order_id\n"a"b\n', "line 2: not CSV"),
        (b'order_id\n"a', "not CSV"),
        (b"order_id\n\xff\n", "not utf-8 at byte 9"),
        (b"order_id\na\0b\n", "NUL"),
    ],
)
def test_csv_that_is_not_read(raw: bytes, says: str) -> None:
    assert says in refusal(".csv", raw)


def test_a_column_without_a_name_may_be_empty() -> None:
    records = content_of(".csv", b",order_id,,item,\n,PO-1,,a,\n,PO-2,x,a,\n").records
    assert records[0].content == {"order_id": "PO-1", "item": "a"}
    assert records[1].content == Refused("", "'x' stands under no column")


def test_a_row_with_too_many_cells_is_refused_alone_and_comes_back() -> None:
    content = content_of(".csv", b"order_id;reason;item\nPO-1;x;a;b\nPO-2;;c\nPO-3;;=1\n")
    assert [isinstance(one.content, Refused) for one in content.records] == [True, False, False]
    assert content.table
    assert bad_rows(content.table, {2: "too long", 4: "no, not this"}) == (
        'order_id;item;reason\nPO-1;a;too long\nPO-3;=1;"no, not this"\n'.replace('"', "")
    )


# --- workbooks


def test_a_workbook_is_a_table_with_times() -> None:
    (record,) = content_of(".xlsx", workbook()).records
    assert record.place == ": row 3"
    assert record.content == {
        "order_id": 17,
        "item": "pump-a",
        "due": datetime(2026, 11, 27, 18, 0),  # noqa: DTZ001 - a workbook knows no zone
    }


def test_the_sheet_may_be_named() -> None:
    assert xlsx.rows_of(workbook(), "Old") == []
    with pytest.raises(xlsx.XlsxError, match=r"no sheet 'Plans' .did you mean 'Plan'"):
        xlsx.rows_of(workbook(), "Plans")


def test_a_workbook_of_1904() -> None:
    text = WORKBOOK["xl/workbook.xml"].replace("<sheets>", '<workbookPr date1904="1"/><sheets>')
    (_, row) = xlsx.rows_of(workbook(xl__workbook_xml=text), None)
    assert row.cells[3] == datetime(2030, 11, 28, 18, 0)  # noqa: DTZ001 - a workbook knows no zone


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"PK\x05\x06" + b"\0" * 18, "xl/workbook.xml is missing"),
        (b"no archive", "no workbook"),
        (workbook(xl__worksheets__sheet1_xml=None), "sheet1.xml is missing"),
        (workbook(xl__sharedStrings_xml="<!DOCTYPE a><a/>"), "DOCTYPE"),
        (workbook(xl__workbook_xml="<workbook/>"), "has no sheet"),
        (
            workbook(xl__worksheets__sheet1_xml=SHEET.replace('r="D3"', 'r="ZZZ3"')),
            "more than 256 columns",
        ),
        (
            workbook(xl__worksheets__sheet1_xml=SHEET.replace('row r="3"', 'row r="900000"')),
            "more than 50000 rows",
        ),
        (
            workbook(xl__sharedStrings_xml="<a>" + " " * (xlsx.PART_BYTES_MAX + 1) + "</a>"),
            "larger than",
        ),
    ],
    ids=range(8),
)
def test_workbooks_that_are_not_read(raw: bytes, says: str) -> None:
    assert says in refusal(".xlsx", raw)


@given(st.integers(min_value=0, max_value=len(workbook()) - 1), st.integers(1, 255))
@example(at=1311, flip=2)  # a directory that points before the file
def test_a_damaged_workbook_is_judged(at: int, flip: int) -> None:
    raw = bytearray(workbook())
    raw[at] ^= flip
    read(".xlsx", bytes(raw), RULES)


# --- anything at all

NAMES = sorted({child for shape in SHAPES.values() for child in shape} | {"$", "@a", "Job"})
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["", "Produced", "Consumed", "7", "0", "-1", "1e400", "EA", "pump-a", "WorkCenter"]
    ),
)


def judge_all(content: Content | Refused) -> None:
    if isinstance(content, Refused):
        return
    for record in content.records:
        document = mapped(content, record, RULES)
        if not isinstance(document, Refused):
            release(document, PLANT, lambda _id: {}, START_MS)


@st.composite
def shaped(draw: st.DrawFn, name: str, depth: int) -> Any:
    """An element that mostly has the children it may have, and sometimes has anything."""
    shape = SHAPES.get(SHAPE_OF.get(name, name))
    if shape is None or depth == 0 or draw(st.integers(0, 20)) == 0:
        return draw(LEAVES)
    required = [child for child, often in shape.items() if often in "1+"]
    chosen = draw(st.lists(st.sampled_from(sorted(shape)), max_size=5))
    noise = draw(st.lists(st.sampled_from(NAMES), max_size=1)) if draw(st.booleans()) else []
    element = {child: draw(shaped(child, depth - 1)) for child in [*required, *chosen, *noise]}
    return [element] if draw(st.booleans()) else element


@given(
    st.sampled_from(["WorkSchedule", "JobList", "OperationsSchedule", "ProductionSchedule"]),
    st.data(),
)
def test_any_schedule_is_judged(root: str, data: st.DataObject) -> None:
    body = data.draw(shaped(root, 6))
    raw = json.dumps({root: body[0] if isinstance(body, list) else body}).encode()
    judge_all(read(".json", raw, RULES))


@given(st.lists(st.lists(st.text(max_size=8), max_size=5), max_size=5), st.sampled_from(",;\t|"))
def test_any_table_is_judged(rows: list[list[str]], delimiter: str) -> None:
    header = delimiter.join(["order_id", "item", "quantity", "due", "operations"])
    text = "\n".join([header, *(delimiter.join(row) for row in rows)])
    judge_all(read(".csv", text.encode("utf-8", "replace"), RULES))
