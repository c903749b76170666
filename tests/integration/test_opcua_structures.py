"""Parts of arrays and structures, read from a server in its own process.

In its own, because asyncua keeps one list of types for a process: a client beside the server would
know the server's types without asking.
"""

import asyncio
import json
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from bridges.opcua import learning as learning_module
from bridges.opcua import structure as structure_module
from bridges.opcua.client import observe
from bridges.opcua.config import OpcUaSettings
from bridges.opcua.structure import Structures
from tests.fault_proxy import proxied
from tests.foreign import opcua_server
from tests.watching import Watch, now_ms, places, watching
from uns.model.observation import Reading

URI: Final = "urn:acme:recipes"
PKI: Final = Path(tempfile.mkdtemp())

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROGRAM: Final = """
import asyncio, json, sys
from asyncua import ua
from asyncua.common.structures104 import new_enum, new_struct, new_struct_field as field
from asyncua.server.server import Server

async def main(port):
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/plc")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace("urn:acme:recipes")
    kinds = ua.VariantType
    mode = await new_enum(server, index, "Mode", ["Idle", "Run", "Hold"])
    step, _ = await new_struct(server, index, "Step", [
        field("Temperature", kinds.Float), field("Name", kinds.String),
    ])
    choice, _ = await new_struct(server, index, "Choice", [
        field("Lot", kinds.String), field("Serial", kinds.UInt32),
    ], is_union=True)
    recipe, _ = await new_struct(server, index, "Recipe", [
        field("Title", kinds.LocalizedText), field("Mode", mode), field("Steps", step, array=True),
        field("Speeds", kinds.Double, array=True), field("Made", kinds.DateTime),
        field("Input", choice), field("Any", kinds.Variant),
        field("Note", kinds.String, optional=True), field("Rate", kinds.Int16, optional=True),
    ])
    await server.load_data_type_definitions()
    serial = ua.Choice()
    serial.Serial = 4711
    made = ua.DateTime(2025, 12, 10, 6)
    value = ua.Recipe(
        Title=ua.LocalizedText("wash"), Mode=ua.Mode.Hold, Speeds=[1.5, 2.5], Made=made,
        Steps=[ua.Step(Temperature=71.3, Name="soak"), ua.Step(Temperature=20.0, Name=None)],
        Input=serial, Any=ua.Variant(7, kinds.Int64), Rate=-3,
    )
    # The server's own idea of a type may be wrong: here the body is not what it says.
    lie, (lie_encoding,) = await new_struct(server, index, "Lie", [field("Long", kinds.Int64)])
    lying = ua.ExtensionObject(TypeId=lie_encoding.nodeid, Body=b"\\x01\\x02")
    longer = ua.ExtensionObject(TypeId=lie_encoding.nodeid, Body=b"\\x01" * 9)
    secret = ua.ExtensionObject(TypeId=ua.NodeId("Secret", index), Body=b"\\x01\\x02")
    values = {
        "Recipe": (value, None), "Recipes": ([value, value], None),
        "Lie": (lying, kinds.ExtensionObject), "Longer": (longer, kinds.ExtensionObject),
        "Secret": (secret, kinds.ExtensionObject),
        "Speeds": ([1, 2, 3], kinds.Int32), "Matrix": ([[1, 2], [3, 4]], kinds.Int16),
        "Singles": ([71.3, 0.1], kinds.Float), "Mode": (ua.Mode.Hold, None),
        "Guid": (__import__("uuid").UUID(int=1), None), "Range": (ua.Range(1.0, 2.0), None),
        "Status": (ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown), kinds.StatusCode),
    }
    for name, (value, kind) in values.items():
        node = await server.get_objects_node().add_variable(
            ua.NodeId(name, index), name, value, kind,
            datatype=ua.NodeId(22) if kind == kinds.ExtensionObject else None)
        await node.set_writable()
    async with server:
        print(json.dumps({"index": index}), flush=True)
        await asyncio.Event().wait()

asyncio.run(main(int(sys.argv[1])))
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url() -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(port),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            assert json.loads(await process.stdout.readline())["index"]
        yield f"opc.tcp://127.0.0.1:{port}/plc"
    finally:
        process.kill()
        await process.wait()


def following(
    url: str, tags: Mapping[str, Mapping[str, Any]], **more: Any
) -> AbstractAsyncContextManager[Watch]:
    settings = OpcUaSettings.model_validate(
        {"url": url, "namespace_uri": URI, "insecure": True, "publishing_interval_ms": 50, **more}
    )
    return watching(
        lambda read, set_points: observe(settings, read, now_ms, set_points, PKI), places(tags)
    )


async def first_values(url: str, tags: dict[str, dict[str, Any]]) -> dict[str, Reading]:
    async with following(url, tags) as watch:
        await watch.until(lambda: all(map(watch.readings, tags)))
        return {tag: watch.readings(tag)[0] for tag in tags}


def part(node: str, path: str | None = None) -> dict[str, Any]:
    return {"node": f"s={node}", "path": path} if path else {"node": f"s={node}"}


async def test_the_parts_of_a_structure_are_tags(url: str) -> None:
    paths = {
        "Title": "wash",
        "Mode": 2,
        "Steps[0].Temperature": 71.3,
        "Steps[0].Name": "soak",
        "Steps[1].Temperature": 20.0,
        "Steps[1].Name": "",
        "Speeds[1]": 2.5,
        "Made": "2025-12-10T06:00:00Z",
        "Input.Serial": 4711,
        "Any": 7,
        "Rate": -3,
    }
    seen = await first_values(url, {path: part("Recipe", path) for path in paths})
    assert {path: read.value for path, read in seen.items()} == paths
    assert {read.quality for read in seen.values()} == {"good"}
    assert len({read.at_ms for read in seen.values()}) == 1


async def test_other_values_do_not_wait_while_types_are_learnt(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning_module, "LEARNING_S_MAX", 0.01)
    learn, may_learn = Structures.learn, asyncio.Event()

    async def late(self: Structures) -> None:
        await may_learn.wait()
        await learn(self)

    monkeypatch.setattr(Structures, "learn", late)
    async with following(url, {"Mode": part("Mode"), "Rate": part("Recipe", "Rate")}) as watch:
        await watch.value("Mode", 2)
        assert watch.readings("Rate") == []
        may_learn.set()
        await watch.value("Rate", -3)
    assert [link.up for link in watch.links()] == [True]


async def test_a_slow_link_is_no_loss_however_many_questions_a_type_takes(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(structure_module, "CALL_TIMEOUT_S", 0.35)
    port = urlsplit(url).port
    assert port
    async with proxied("127.0.0.1", port) as proxy:
        proxy.latency_s = 0.05
        slow = url.replace(str(port), str(proxy.port))
        async with following(slow, {"Rate": part("Recipe", "Rate")}) as watch:
            await watch.value("Rate", -3)
        assert [link.up for link in watch.links()] == [True]


async def test_elements_of_arrays_are_tags(url: str) -> None:
    sources = {
        ("Recipes", "[1].Steps[0].Name"): "soak",
        ("Speeds", "[2]"): 3,
        ("Matrix", "[1][0]"): 3,
        ("Singles", "[0]"): 71.3,
        ("Range", "High"): 2.0,
    }
    seen = await first_values(url, {node + path: part(node, path) for node, path in sources})
    assert {name: read.value for name, read in seen.items()} == {
        node + path: value for (node, path), value in sources.items()
    }


async def test_other_types_are_shown_as_documented(url: str) -> None:
    shown = {
        "Mode": 2,
        "Guid": "00000000-0000-0000-0000-000000000001",
        "Status": "BadNodeIdUnknown",
    }
    seen = await first_values(url, {name: part(name) for name in shown})
    assert {name: read.value for name, read in seen.items()} == shown


async def test_what_cannot_be_decoded_turns_only_its_own_tags_bad(url: str) -> None:
    tags = {
        "gone": part("Recipe", "Note"),
        "other-switch": part("Recipe", "Input.Lot"),
        "lie": part("Lie", "Long"),
        "longer": part("Longer", "Long"),
        "secret": part("Secret", "A"),
        "good": part("Recipe", "Rate"),
    }
    seen = await first_values(url, tags)
    assert (seen["good"].value, seen["good"].quality) == (-3, "good")
    reasons = {name: str(read.reason) for name, read in seen.items() if read.quality == "bad"}
    assert reasons.keys() == tags.keys() - {"good"}
    assert reasons["gone"].startswith("no field Note among Title, Mode")
    assert reasons["other-switch"] == "no field Lot among Serial"
    assert "does not follow its definition" in reasons["lie"]
    assert "is longer than its definition" in reasons["longer"]
    assert "s=Secret" in reasons["secret"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (part("Recipe", "Rate"), "only an element of an array is written"),
        (part("Recipes", "[0].Rate"), "only an element of an array is written"),
        (part("Speeds", "[3]"), "[3]: the array has 3 elements"),
        (part("Speeds", "[1]"), "the server takes no index range"),
    ],
)
async def test_a_part_is_not_written_where_it_could_harm_the_others(
    url: str, source: dict[str, Any], reason: str
) -> None:
    """asyncua's server takes no notice of an index range: it would replace the whole array."""
    before = (await first_values(url, {"one": part("Speeds", "[0]")}))["one"]
    async with following(url, {"part": source}) as watch:
        await watch.until(lambda: watch.readings("part"))
        answer = await watch.written("part", 9)
    assert str(answer.reason).startswith(reason)
    after = (await first_values(url, {"one": part("Speeds", "[0]")}))["one"]
    assert (after.value, after.at_ms) == (before.value, before.at_ms)


@pytest.mark.node
async def test_an_element_is_written_alone_where_the_server_can(tmp_path: Path) -> None:
    async with opcua_server(tmp_path) as server:
        url = f"opc.tcp://127.0.0.1:{server.port}"
        tags = {"one": part("Array", "[1]"), "other": part("Array", "[2]")}
        async with following(url, tags, namespace_uri="urn:foreign:plant") as watch:
            await watch.value("one", -2.5)
            answer = await watch.written("one", 42.25)
            assert (answer.reason, answer.value) == (None, 42.25)
            await watch.value("one", 42.25)
            assert watch.values("other")[-1] == 3.5


@pytest.mark.node
async def test_structures_of_a_foreign_server_are_read(tmp_path: Path) -> None:
    async with opcua_server(tmp_path) as server:
        url = f"opc.tcp://127.0.0.1:{server.port}"
        paths = {"Current": 8.5, "Lot": "LOT-1", "Codes[1]": -4, "Limits.High": 9}
        tags = {name: part("Weld", name) for name in paths}
        async with following(url, tags, namespace_uri="urn:foreign:plant") as watch:
            await watch.until(lambda: all(map(watch.readings, paths)))
            seen = {name: watch.readings(name)[0] for name in paths}
    assert {name: (r.value, r.reason) for name, r in seen.items()} == {
        name: (value, None) for name, value in paths.items()
    }
