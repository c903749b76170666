"""B2MML against an XML Schema that the plant brings: what fits, what does not, and where."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from bridges.erp import xsd
from bridges.erp.errors import BadSchema, FolderLost
from bridges.erp.rereading import Rereading
from bridges.erp.xsd import Schema, read_schema
from tests.example import ROOT
from tests.terminal import Cli

PLANT: Final = ("--namespace", ROOT / "namespace.yaml")
OPEN: Final = (
    '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" elementFormDefault="qualified"'
    ' targetNamespace="http://www.mesa.org/xml/B2MML" xmlns="http://www.mesa.org/xml/B2MML">'
)
JOBS: Final = f"""{OPEN}
  <xs:include schemaLocation="materials.xsd"/>
  <xs:element name="JobList"><xs:complexType><xs:sequence>
    <xs:element name="ID" type="xs:string"/>
    <xs:element name="PublishedDate" type="xs:dateTime" minOccurs="0"/>
    <xs:element name="JobOrder" maxOccurs="unbounded"><xs:complexType><xs:sequence>
      <xs:element name="ID" type="xs:string"/>
      <xs:element name="EndTime" type="xs:dateTime" minOccurs="0"/>
      <xs:element name="Priority" type="xs:integer" minOccurs="0"/>
      <xs:element name="MaterialRequirement" type="Material" maxOccurs="unbounded"/>
    </xs:sequence></xs:complexType></xs:element>
  </xs:sequence></xs:complexType></xs:element>
</xs:schema>
"""
MATERIALS: Final = f"""{OPEN}
  <xs:complexType name="Material"><xs:sequence>
    <xs:element name="MaterialDefinitionID" type="xs:string"/>
    <xs:element name="MaterialUse">
      <xs:simpleType><xs:restriction base="xs:string">
        <xs:enumeration value="Produced"/><xs:enumeration value="Consumed"/>
      </xs:restriction></xs:simpleType>
    </xs:element>
    <xs:element name="Quantity"><xs:complexType><xs:sequence>
      <xs:element name="QuantityString" type="xs:decimal"/>
    </xs:sequence></xs:complexType></xs:element>
  </xs:sequence></xs:complexType>
</xs:schema>
"""
DOCUMENT: Final = """\
<JobList xmlns="http://www.mesa.org/xml/B2MML">
  <ID>L-1</ID>
  <JobOrder>
    <ID>PO-1</ID>
    <Priority>70</Priority>
    <MaterialRequirement>
      <MaterialDefinitionID>pump-a</MaterialDefinitionID>
      <MaterialUse>Produced</MaterialUse>
      <Quantity><QuantityString>12</QuantityString></Quantity>
    </MaterialRequirement>
  </JobOrder>
</JobList>
"""


@pytest.fixture
def schema_file(tmp_path: Path) -> Path:
    (tmp_path / "materials.xsd").write_text(MATERIALS)
    (tmp_path / "jobs.xsd").write_text(JOBS)
    return tmp_path / "jobs.xsd"


@pytest.fixture
def schema(schema_file: Path) -> Schema:
    return read_schema(schema_file)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "    <Priority>70</Priority>\n",
            "    <Priority>70</Priority>\n    <EndTime>2026-11-27T14:00:00Z</EndTime>\n",
            "line 6: Element 'EndTime': This element is not expected. Expected is ( MaterialReq",
        ),
        (">70<", ">high<", "line 5: Element 'Priority': 'high' is not a valid value"),
        (">Produced<", ">Made<", "line 8: Element 'MaterialUse': [facet 'enumeration']"),
        ("  <ID>L-1</ID>\n", "", "line 2: Element 'JobOrder': This element is not expected"),
    ],
)
def test_what_does_not_fit_is_said_with_its_line(
    schema: Schema, before: str, after: str, said: str
) -> None:
    assert schema.misfit(DOCUMENT.encode()) is None
    refused = schema.misfit(DOCUMENT.replace(before, after).encode())
    assert refused
    assert refused.reason.startswith(f"does not fit jobs.xsd: {said}")
    assert "{http" not in refused.reason


def test_of_many_faults_some_are_said_and_the_rest_counted(schema: Schema) -> None:
    wrong = DOCUMENT.replace("</JobList>", "<JobOrder><ID/><Priority>x</Priority></JobOrder>" * 9)
    refused = schema.misfit(f"{wrong}</JobList>".encode())
    assert refused
    assert refused.reason.count("line 12: ") == xsd.FAULTS_SAID_MAX
    assert refused.reason.endswith(" more")


@pytest.mark.parametrize(
    "raw",
    [
        b"<JobList><Anything/></JobList>",
        b'<ProductionSchedule xmlns="http://www.wbf.org/xml/B2MML-V0401"/>',
        b'<JobList xmlns="http://www.mesa.org/xml/B2MML">',
        b'<!DOCTYPE JobList [<!ENTITY e "x">]><JobList xmlns="http://www.mesa.org/xml/B2MML"/>',
    ],
)
def test_another_namespace_and_what_is_no_xml_is_for_the_reader_to_judge(
    schema: Schema, raw: bytes
) -> None:
    assert schema.misfit(raw) is None


Change = Callable[[str], str]
CHANGES: Final[list[tuple[str, Change, str]]] = [
    ("jobs.xsd", lambda text: text.replace("materials", "http://a/b"), "'http://a/b.xsd' lies el"),
    ("jobs.xsd", lambda text: text.replace("materials", "../m"), "'../m.xsd' lies elsewhere"),
    ("materials.xsd", lambda text: f"<!DOCTYPE a [<!ENTITY e 'x'>]>{text}", "materials.xsd: a DOC"),
    ("materials.xsd", lambda text: text.replace("</xs:schema>", ""), "materials.xsd: line "),
    ("jobs.xsd", lambda _text: "<JobList/>", "jobs.xsd: 'JobList' is no XML Schema"),
    ("jobs.xsd", lambda text: text.replace('"Material"', '"Stuff"'), "jobs.xsd: "),
    ("jobs.xsd", lambda text: text + " " * xsd.FILE_BYTES_MAX, "jobs.xsd: larger than 10000000"),
]


@pytest.mark.parametrize(("name", "change", "said"), CHANGES)
def test_a_schema_that_cannot_be_used_says_in_which_file(
    schema_file: Path, name: str, change: Change, said: str
) -> None:
    file = schema_file.with_name(name)
    file.write_text(change(file.read_text()))
    with pytest.raises(BadSchema) as raised:
        read_schema(schema_file)
    assert said in str(raised.value)


def test_a_schema_whose_part_is_missing_is_tried_again(schema_file: Path) -> None:
    schema_file.with_name("materials.xsd").unlink()
    with pytest.raises(FolderLost, match=r"No such file or directory: .*materials\.xsd"):
        read_schema(schema_file)


def test_without_lxml_the_fix_is_named(schema_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_name: str) -> Any:
        return None

    monkeypatch.setattr(xsd, "find_spec", none)
    with pytest.raises(BadSchema, match=r"pip install 'uns-mes\[b2mml\]'"):
        read_schema(schema_file)


def test_a_schema_that_changes_is_read_again_and_only_then(schema_file: Path) -> None:
    rereading = Rereading[Schema | None](schema_file, read_schema, None)
    first = rereading.current()
    assert rereading.current() is first
    schema_file.write_text(JOBS.replace('name="Priority"', 'name="Urgency"'))
    changed = rereading.current()
    assert changed
    assert changed.misfit(DOCUMENT.encode())
    assert Rereading[Schema | None](None, read_schema, None).current() is None


def test_an_order_file_is_checked_against_the_schema_before_its_orders_are(
    uns: Cli, schema_file: Path
) -> None:
    file = schema_file.with_name("order.xml")
    way = (*PLANT, "--xsd", schema_file)
    file.write_text(DOCUMENT)
    assert uns("erp", "check", file, *way).out.startswith("order.xml:3 PO-1: released")
    file.write_text(DOCUMENT.replace(">70<", ">seven<"))
    said = uns.fails(1, "erp", "check", file, *way)
    assert "order.xml: does not fit jobs.xsd: line 5: Element 'Priority': 'seven'" in said
    file.write_text(DOCUMENT.replace(">70<", ">seventy<").replace("www.mesa", "www.wbf"))
    assert "priority" in uns("erp", "check", file, *way).out
    missing = schema_file.with_name("none.xsd")
    assert "No such file" in uns.fails(2, "erp", "check", file, *PLANT, "--xsd", missing)
