"""`uns discover opcua` before a server of another maker's library, and before a very large one."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.common.callback import CallbackType
from asyncua.common.node import Node
from asyncua.server.server import Server
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import struct_from_binary

from bridges.opcua import browse as browse_module
from bridges.opcua.browse import browsing
from bridges.opcua.config import OpcUaSettings
from bridges.opcua.proposal import Proposal
from tests.brokers import free_port
from tests.certificates import URI, issued
from tests.foreign import opcua_server
from tests.pasting import proposed
from tests.terminal import Answer, Cli

SPACE: Final = "urn:acme:plant"
OTHER: Final = "urn:acme:other"
CEFACT: Final = "http://www.opcfoundation.org/UA/units/un/cefact"
PLC: Final = issued()
FOLDERS: Final = 100
VARIABLES: Final = 500
PAGE: Final = 150
GROWTH_BYTES_MAX: Final = 30_000_000


def node(identifier: Any, namespace: int = 0) -> ua.NodeId:
    """asyncua's classes of identifiers want their own kinds of numbers and texts."""
    kind: Any = ua.NodeId
    made: ua.NodeId = kind(identifier, namespace)
    return made


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def uns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Cli(monkeypatch, capsys)


class Plc(NamedTuple):
    """A server that nobody may write to."""

    server: Any  # asyncua types little of its inside
    url: str


@asynccontextmanager
async def served(policy: ua.SecurityPolicyType) -> AsyncIterator[Plc]:
    url = f"opc.tcp://127.0.0.1:{free_port()}/plc"
    server = Server()
    await server.init()
    await server.set_application_uri(URI)
    server.set_endpoint(url)
    server.set_security_policy([policy])
    if policy is not ua.SecurityPolicyType.NoSecurity:
        await server.load_certificate(PLC.der)
        await server.load_private_key(PLC.key_pem, format="pem")
    writes = list[Any]()
    await fill(server)
    async with server:
        server.subscribe_server_callback(CallbackType.PreWrite, lambda e, _: writes.append(e))
        yield Plc(server, url)
    assert not [one for one in writes if one.is_external]


async def fill(server: Any) -> None:
    """Two objects with variables of each kind."""
    own = await server.register_namespace(SPACE)
    other = await server.register_namespace(OTHER)
    plant: Node = await server.get_objects_node().add_folder(node("P", own), f"{own}:Plant")
    wash = await plant.add_object(node("Wash", own), f"{own}:Wash")
    mill = await plant.add_object(node("Mill", own), f"{own}:Mill")
    bath = await wash.add_variable(
        node("Wash.Bath", own), f"{own}:BathTemperature", 71.3, ua.VariantType.Float
    )
    await bath.set_writable()
    named = ua.QualifiedName("EngineeringUnits", 0)
    unit = ua.EUInformation(CEFACT, 4408652, ua.LocalizedText("°C"), ua.LocalizedText("Celsius"))
    await bath.add_property(node("Wash.Bath.Unit", own), named, unit)
    named = ua.QualifiedName("EURange", 0)
    await bath.add_property(node("Wash.Bath.Range", own), named, ua.Range(0, 100))
    await wash.add_variable(node("Wash.Steps", own), f"{own}:Steps", [1.5, 2.5])
    await wash.add_variable(node("Wash.On", own), f"{own}:On", val=True)
    good = await mill.add_variable(node(1001, own), f"{own}:Good", 41, ua.VariantType.UInt32)
    part = await good.add_variable(node(1002, own), f"{own}:Shift", 7)
    await mill.add_variable(node("Sé;p/o=x", other), f"{other}:Lot", "LOT\n- 1: #")
    await part.add_reference(plant, ObjectIds.HasComponent)  # a circle


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plc() -> AsyncIterator[Plc]:
    async with served(ua.SecurityPolicyType.NoSecurity) as one:
        yield one


async def typed(uns: Cli, *arguments: str | Path) -> Answer:
    """A command, beside the servers of this test."""
    return await asyncio.to_thread(uns, "discover", "opcua", *arguments)


async def test_the_proposal_has_what_the_server_says_and_passes_the_check(
    uns: Cli, plc: Plc, tmp_path: Path
) -> None:
    out = tmp_path / "plc.yaml"
    answer = await typed(uns, plc.url, "--insecure", "--out", out, "--name", "plc-wash")
    assert (answer.code, answer.out) == (0, ""), answer.err
    text = out.read_text()
    place = proposed(text)
    assert {name: tag.source for name, tag in place.cell.tags.items()} == {
        "wash-bath-temperature": {"node": "s=Wash.Bath"},
        "wash-on": {"node": "s=Wash.On"},
        "mill-good": {"node": "i=1001"},
        "good-shift": {"node": "i=1002"},
        "mill-lot": {"node": "s=Sé;p/o=x", "namespace_uri": OTHER},
    }
    bath = place.cell.tags["wash-bath-temperature"]
    assert (bath.unit, bath.range, bath.writable) == ("degC", (0, 100), None)
    (line,) = [one for one in text.splitlines() if "wash-bath-temperature" in one]
    for said in (
        "ns=2;s=Wash.Bath", "Float", "writable: {minimum: 0, maximum: 100}", "°C (CEL)", "now 71.3",
    ):  # fmt: skip
        assert said in line
    assert '# wash-steps: {source: {node: "s=Wash.Steps", path: "[0]"}} # an array' in text
    assert "mill-lot" in text
    assert "now 'LOT?- 1: #'" in text
    assert answer.err == "6 variables proposed; 9 nodes seen\n"


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--filter", "wash"], ["wash-bath-temperature", "wash-steps", "wash-on"]),
        (["--filter", "Plant/*/Good"], ["mill-good"]),
        (["--namespace-uri", OTHER], ["mill-lot"]),
        (["--limit", "1"], ["wash-bath-temperature"]),
    ],
)
async def test_what_is_wanted_can_be_said(
    uns: Cli, plc: Plc, options: list[str], names: list[str]
) -> None:
    answer = await typed(uns, plc.url, "--insecure", "--json", *options)
    assert [json.loads(line)["name"] for line in answer.out.splitlines()] == names


async def test_a_limit_that_was_reached_is_said(uns: Cli, plc: Plc, tmp_path: Path) -> None:
    answer = await typed(uns, plc.url, "--insecure", "--limit", "2")
    assert "2 variables proposed" in answer.err
    assert "there is more: raise --limit" in answer.err
    out = tmp_path / "x.yaml"
    summary = (await typed(uns, plc.url, "--insecure", "--out", out, "--json")).json
    assert (summary["proposed"], summary["is_complete"]) == (6, True)


async def test_with_security_the_bridges_certificate_and_trust_list_count(
    uns: Cli, tmp_path: Path
) -> None:
    async with served(ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt) as plc:
        where = (plc.url, "--data", tmp_path)
        line = await asyncio.to_thread(uns.fails, 1, "discover", "opcua", *where)
        assert "untrusted certificate: uns opcua trust " in line
        thumbprint = line.partition("uns opcua trust ")[2].partition(";")[0]
        trusted = await asyncio.to_thread(
            uns, "opcua", "trust", thumbprint, "--data", tmp_path, "--json"
        )
        assert trusted.code == 0
        answer = await typed(uns, *where)
    assert answer.code == 0, answer.err
    assert 'security_policy: "Basic256Sha256"' in answer.out
    assert proposed(answer.out).cell.tags["wash-on"]


async def test_what_cannot_be_done_is_said_in_one_line(uns: Cli, plc: Plc, tmp_path: Path) -> None:
    asked: dict[tuple[str, ...], tuple[int, str]] = {
        (f"opc.tcp://127.0.0.1:{free_port()}", "--insecure"): (1, "connection refused"),
        (plc.url, "--insecure", "--filter", "nothing"): (1, "none of the 9 nodes is wanted"),
        (plc.url, "--insecure", "--namespace-uri", "urn:acme:plont"): (1, "did you mean"),
        (plc.url, "--data", str(tmp_path)): (1, "switch security on there"),
        ("http://x", "--insecure"): (2, "use opc.tcp://host:4840"),
        (plc.url, "--insecure", "--name", "A B"): (2, "--name"),
    }
    for arguments, (code, said) in asked.items():
        assert said in await asyncio.to_thread(uns.fails, code, "discover", "opcua", *arguments)


async def test_a_failure_leaves_no_half_written_file(uns: Cli, plc: Plc, tmp_path: Path) -> None:
    out = tmp_path / "out" / "plc.yaml"
    out.parent.mkdir()
    answer = await typed(uns, plc.url, "--insecure", "--filter", "nothing", "--out", out)
    assert answer.code == 1
    assert list(out.parent.iterdir()) == []


class Huge:
    """FOLDERS times VARIABLES nodes that are made when they are asked for, in pages.

    points: what is open, by continuation point. open_max: how many were open at once.
    """

    def __init__(self, read: Callable[[Any], list[ua.DataValue]]) -> None:
        self.points: dict[bytes, tuple[int, int]] = {}
        self.open_max = self.next_calls = 0
        self._read = read
        self._numbers = itertools.count(1)

    def references(self, identifier: int) -> list[ua.ReferenceDescription]:
        folder = _reference(ua.NodeClass.Object)
        variable = _reference(ua.NodeClass.Variable)
        if identifier == ObjectIds.ObjectsFolder:
            return [folder(1_000_000 + i * 1_000, f"Folder{i}") for i in range(FOLDERS)]
        if identifier >= 1_000_000 and identifier % 1_000 == 0:
            return [variable(identifier + i, f"Value{i}") for i in range(1, VARIABLES + 1)]
        return []

    def page(self, identifier: int, start: int, most: int) -> ua.BrowseResult:
        every = self.references(identifier)
        end = start + min(most or PAGE, PAGE)
        result = ua.BrowseResult(References=every[start:end])
        if end < len(every):
            result.ContinuationPoint = next(self._numbers).to_bytes(4)
            self.points[result.ContinuationPoint] = (identifier, end)
            self.open_max = max(self.open_max, len(self.points))
        return result

    def browse(self, params: Any) -> list[ua.BrowseResult]:
        most = params.RequestedMaxReferencesPerNode
        return [self.page(int(n.NodeId.Identifier), 0, most) for n in params.NodesToBrowse]

    def browse_next(self, params: Any) -> list[ua.BrowseResult]:
        self.next_calls += 1
        opened = [self.points.pop(bytes(point)) for point in params.ContinuationPoints]
        if params.ReleaseContinuationPoints:
            return []
        return [self.page(identifier, start, 0) for identifier, start in opened]

    def read(self, params: Any) -> list[ua.DataValue]:
        if all(one.NodeId.NamespaceIndex == 0 for one in params.NodesToRead):
            return self._read(params)
        return [_FACTS.get(one.AttributeId, _NOTHING) for one in params.NodesToRead]


def _reference(kind: ua.NodeClass) -> Any:
    def made(identifier: int, name: str) -> ua.ReferenceDescription:
        return ua.ReferenceDescription(
            ReferenceTypeId=node(ObjectIds.HasComponent),
            IsForward=True,
            NodeId=node(identifier, 2),
            BrowseName=ua.QualifiedName(name, 2),
            DisplayName=ua.LocalizedText(name),
            NodeClass=kind,
        )

    return made


_NOTHING: Final = ua.DataValue(
    StatusCode=ua.StatusCode(ua.UInt32(StatusCodes.BadAttributeIdInvalid))
)
_FACTS: Final = {
    int(AttributeIds.DataType): ua.DataValue(ua.Variant(node(ObjectIds.Double))),
    int(AttributeIds.ValueRank): ua.DataValue(ua.Variant(-1, ua.VariantType.Int32)),
    int(AttributeIds.UserAccessLevel): ua.DataValue(ua.Variant(1, ua.VariantType.Byte)),
    int(AttributeIds.Value): ua.DataValue(ua.Variant(71.3)),
}


@pytest.fixture
def huge(plc: Plc, monkeypatch: pytest.MonkeyPatch) -> Huge:
    inside = plc.server.iserver
    one = Huge(inside.attribute_service.read)
    monkeypatch.setattr(inside.view_service, "browse", one.browse)
    monkeypatch.setattr(inside.attribute_service, "read", one.read)

    processor: Any = UaProcessor
    before = processor._process_message
    browse_next = node(ObjectIds.BrowseNextRequest_Encoding_DefaultBinary)

    async def processed(it: Any, kind: Any, header: Any, sequence: Any, body: Any) -> Any:
        """asyncua's server knows no BrowseNext, so it is answered here."""
        if kind != browse_next:
            return await before(it, kind, header, sequence, body)
        answer = ua.BrowseNextResponse()
        answer.Parameters.Results = one.browse_next(
            struct_from_binary(ua.BrowseNextParameters, body)
        )
        it.send_response(header.RequestHandle, sequence, answer)
        return True

    monkeypatch.setattr(UaProcessor, "_process_message", processed)
    return one


async def test_50_000_nodes_are_browsed_in_pages_and_in_bounded_memory(
    plc: Plc, huge: Huge, tmp_path: Path
) -> None:
    given = {"url": plc.url, "insecure": True}
    settings = OpcUaSettings.model_validate({**given, "namespace_uri": ""})
    proposal, process, lines = Proposal("plc", given), psutil.Process(), Counter[bool]()
    bytes_at_start = bytes_most = 0
    async with browsing(settings, tmp_path) as browser:
        async for page in browser.variables():
            for line in (line for one in page for line in proposal.lines(one)):
                lines["source: " in line] += 1
            bytes_most = max(bytes_most, process.memory_info().rss)
            bytes_at_start = bytes_at_start or bytes_most
        assert browser.seen == FOLDERS * (VARIABLES + 1)
    assert lines[True] == FOLDERS * VARIABLES
    assert line.strip().startswith(f"folder{FOLDERS - 1}-value{VARIABLES}: ")
    assert huge.next_calls == FOLDERS * (VARIABLES // PAGE)
    assert (huge.open_max, huge.points) == (1, {})
    assert bytes_most - bytes_at_start < GROWTH_BYTES_MAX


async def test_a_foreign_server_pages_as_it_likes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def names(page: int) -> list[tuple[str, str]]:
        monkeypatch.setattr(browse_module, "REFERENCES_A_PAGE_MAX", page)
        async with browsing(settings, tmp_path) as browser:
            return [(v.place, v.node) async for page in browser.variables() for v in page]

    async with opcua_server(tmp_path) as server:
        url = f"opc.tcp://127.0.0.1:{server.port}"
        given = {"url": url, "insecure": True, "namespace_uri": ""}
        settings = OpcUaSettings.model_validate(given)
        whole = await names(500)
        assert len(whole) > 20
        assert await names(3) == whole
