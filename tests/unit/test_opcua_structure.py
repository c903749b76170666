"""Bodies of structures that are not what the server says they are."""

import asyncio
import struct
from itertools import count
from typing import Any, Final

import pytest
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from hypothesis import given
from hypothesis import strategies as st

from bridges.opcua import structure as structure_module
from bridges.opcua.errors import UnreadableError
from bridges.opcua.structure import Structures

Kinds = ua.VariantType


def node(identifier: int) -> ua.NodeId:
    return ua.NodeId(ua.Int32(identifier), ua.Int16(2))


def field(name: str, kind: ua.VariantType | int, rank: int = -1, **more: Any) -> ua.StructureField:
    data_type = node(kind) if kind > 100 else ua.NodeId(ua.Int32(int(kind)))
    return ua.StructureField(
        Name=name, DataType=data_type, ValueRank=ua.Int32(rank), **{"IsOptional": False, **more}
    )


TYPES: Final = {
    101: ua.StructureDefinition(
        StructureType=ua.StructureType.StructureWithOptionalFields,
        Fields=[
            field("Number", Kinds.Float, IsOptional=True),
            field("Texts", Kinds.String, 1),
            field("Matrix", Kinds.Int16, 2),
            field("Any", Kinds.Variant),
            field("Inner", 102),
            field("Object", Kinds.ExtensionObject),
        ],
    ),
    102: ua.StructureDefinition(
        StructureType=ua.StructureType.Union,
        Fields=[field("Guid", Kinds.Guid), field("Again", 102), field("Many", 101, 1)],
    ),
    103: ua.StructureDefinition(Fields=[field("Strange", 104)]),
    105: ua.StructureDefinition(Fields=[field("Inner", 103)]),
    106: ua.StructureDefinition(Fields=[field("Cube", 107, 3), field("Rows", 108, 1)]),
    107: ua.StructureDefinition(Fields=[]),
    108: ua.StructureDefinition(Fields=[field("Nothings", 107, 1)]),
}


class Server:
    """Tells definitions; the encoding of a type has its identifier plus 100."""

    def __init__(self) -> None:
        self.asked = 0
        self.answering_s = 0.0

    async def read_attributes(
        self, nodeids: list[ua.NodeId], _attr: AttributeIds
    ) -> list[ua.DataValue]:
        self.asked += 1
        await asyncio.sleep(self.answering_s)
        return [ua.DataValue(ua.Variant(TYPES.get(int(one.Identifier)))) for one in nodeids]

    async def browse(self, parameters: ua.BrowseParameters) -> list[ua.BrowseResult]:
        (asked,) = parameters.NodesToBrowse
        encoding = int(asked.NodeId.Identifier)
        if encoding < 200:
            return [ua.BrowseResult()]
        told = ua.ReferenceDescription(
            NodeId=ua.ExpandedNodeId(ua.Int32(encoding - 100), ua.Int16(2))
        )
        return [ua.BrowseResult(References=[told])]


def value(type_id: int, body: bytes) -> ua.ExtensionObject:
    return ua.ExtensionObject(TypeId=node(type_id + 100), Body=ua.ByteString(body))


async def learnt(type_id: int) -> Structures:
    structures = Structures(Server())
    assert isinstance(structures.decode(value(type_id, b"")), UnreadableError)
    await structures.learn()
    assert not structures.wanted
    return structures


async def test_a_type_is_asked_for_once() -> None:
    server = Server()
    structures = Structures(server)
    for _ in range(3):
        structures.decode(value(102, b""))
        await structures.learn()
    assert server.asked == 2, "for it and for what is inside"


async def test_a_question_without_answer_costs_nothing_that_was_learnt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(structure_module, "CALL_TIMEOUT_S", 0.05)
    server = Server()
    structures = Structures(server)
    structures.decode(value(107, b""))
    await structures.learn()
    structures.decode(value(108, b""))
    server.answering_s = 1.0
    with pytest.raises(TimeoutError):
        await structures.learn()
    assert structures.decode(value(107, b"")) == {}
    assert [int(one.Identifier) for one in structures.wanted] == [208]
    server.answering_s = 0.0
    await structures.learn()
    assert structures.decode(value(108, bytes(4))) == {"Nothings": []}


async def test_a_type_with_an_unknown_field_is_told() -> None:
    told = (await learnt(103)).decode(value(103, b"\x01"))
    assert isinstance(told, UnreadableError)
    assert "the server tells no type of ns=2;i=104" in str(told)


async def test_a_type_around_one_that_is_not_known_says_why() -> None:
    structures = Structures(Server())
    for type_id in (103, 105):
        structures.decode(value(type_id, b""))
        await structures.learn()
        told = structures.decode(value(type_id, b"\x01"))
        assert "the server tells no type of ns=2;i=104" in str(told)


@pytest.mark.parametrize(
    "body",
    [
        struct.pack("<4i", 3, 60, 60, 60) + b"\0" * 60,
        struct.pack("<5i", 3, 1, 1, 0, 1_000) + struct.pack("<i", 2_000) * 1_000,
    ],
)
async def test_what_takes_no_bytes_takes_no_time(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    structures, work = await learnt(106), count()
    reading = Structures._element

    def counted(*given_: Any) -> Any:
        next(work)
        return reading(*given_)

    monkeypatch.setattr(Structures, "_element", counted)
    assert isinstance(structures.decode(value(106, body)), UnreadableError)
    assert next(work) <= len(body)


async def test_an_array_may_be_empty_in_any_dimension() -> None:
    empty = struct.pack("<5i", 3, 2, 0, 2, -1)
    assert (await learnt(106)).decode(value(106, empty)) == {"Cube": [], "Rows": []}


BODY: Final = (
    b"\x00\x00\x00\x00"  # no optional field
    b"\x02\x00\x00\x00\x01\x00\x00\x00a\xff\xff\xff\xff"  # texts: "a", null
    b"\x02\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x07\x00\x08\x00"  # a matrix, 2 by 1
    b"\x06\x2a\x00\x00\x00"  # any: Int32 42
    b"\x00\x00\x00\x00"  # inner: nothing
    b"\x00\x00\x00"  # object: none
)


async def test_a_body_is_read_field_by_field() -> None:
    assert (await learnt(101)).decode(value(101, BODY)) == {
        "Texts": ["a", ""], "Matrix": [[7], [8]], "Any": 42, "Inner": {}, "Object": None,
    }  # fmt: skip


async def test_no_body_raises() -> None:
    structures = await learnt(101)

    @given(st.binary(max_size=200) | st.integers(0, len(BODY)).map(lambda n: BODY[:n]))
    def no_body_raises(body: bytes) -> None:
        assert isinstance(structures.decode(value(101, body)), dict | UnreadableError)

    no_body_raises()


@pytest.mark.parametrize(
    ("type_id", "body"),
    [
        (101, BODY + b"\x00"),
        (101, BODY[:-1]),
        (101, b"\x00\x00\x00\x00\xff\xff\xff\x7f"),  # 2 147 483 647 texts
        (102, b"\x02\x00\x00\x00" * 10_000),  # a union in a union, and so on
        (102, b"\x09\x00\x00\x00"),  # no such field
        (101, BODY[:33] + b"\x18" * 100_000),  # a variant in a variant, and so on
    ],
)
async def test_a_body_that_is_no_such_structure_is_unreadable(type_id: int, body: bytes) -> None:
    assert isinstance((await learnt(type_id)).decode(value(type_id, body)), UnreadableError)
