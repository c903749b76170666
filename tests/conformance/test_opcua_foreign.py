"""The OPC UA bridge against npm node-opcua-server: what it publishes and what we write into it."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from bridges.opcua.certificate import thumbprint
from bridges.opcua.trust import Pki, own_identity, read_certificate
from tests.bridged import opcua
from tests.foreign import ForeignServer, opcua_server
from tests.watching import Watch, now_ms, places, watching

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="module")]

AT_MS: Final = 1_765_432_100_123
SCALARS: Final[dict[str, list[Any]]] = {
    "Boolean": [True, False],
    "SByte": [-128, 127],
    "Byte": [0, 255],
    "Int16": [-(2**15), 2**15 - 1],
    "UInt16": [0, 2**16 - 1],
    "Int32": [-(2**31), 2**31 - 1],
    "UInt32": [0, 2**32 - 1],
    "Int64": [-(2**63), 2**63 - 1],
    "UInt64": [0, 2**64 - 1],
    "Float": [71.3, -1e-30],
    "Double": [0.1, -1.7976931348623157e308],
    "String": ["Größe ✓", "a\nb"],
}
Follow = AbstractAsyncContextManager[Watch]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plc")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plc(folder: Path) -> AsyncIterator[ForeignServer]:
    async with opcua_server(folder / "plc") as server:
        yield server


@pytest.fixture(scope="module")
def pki(folder: Path, plc: ForeignServer) -> Pki:
    """Certificates of a hub that trusts the server."""
    pki = Pki(folder / "hub" / "pki")
    pki.trust(read_certificate(Path(plc.told["certificate"])))
    return pki


def following(plc: ForeignServer, tags: Mapping[str, Mapping[str, Any]]) -> Follow:
    """A client without security, so without certificates."""
    return watching(opcua(plc.port, Path("no-such-folder")), places(tags))


def nodes(*names: str) -> dict[str, dict[str, Any]]:
    return {name.lower(): {"node": f"s={name}"} for name in names}


# --- values, times, quality


async def test_every_scalar_type_keeps_its_value_and_its_source_time(plc: ForeignServer) -> None:
    await hold(plc, 0)
    async with following(plc, nodes(*SCALARS)) as watch:
        for place in range(2):
            await hold(plc, place)
            for name, values in SCALARS.items():
                reading = await watch.value(name.lower(), values[place])
                assert type(reading.value) is type(values[place])
                assert (reading.at_ms, reading.quality) == (AT_MS + place, "good")
                assert reading.reason is None


async def hold(plc: ForeignServer, place: int) -> None:
    """Let every node have its value of that place, at a time of its own."""
    for name, values in SCALARS.items():
        value = str(values[place]) if name.endswith("Int64") else values[place]
        await plc.ask(set=name, value=value, at_ms=AT_MS + place)


@pytest.mark.parametrize(
    ("status", "quality", "value", "reason"),
    [
        ("GoodLocalOverride", "good", 7.5, None),
        ("UncertainLastUsableValue", "uncertain", 7.5, "UncertainLastUsableValue"),
        ("UncertainSubstituteValue", "uncertain", 7.5, "UncertainSubstituteValue"),
        ("BadSensorFailure", "bad", None, "BadSensorFailure"),
        ("BadNotConnected", "bad", None, "BadNotConnected"),
    ],
)
async def test_a_status_code_is_a_quality_with_its_reason(
    plc: ForeignServer, status: str, quality: str, value: float | None, reason: str | None
) -> None:
    await plc.ask(set="Double", value=1.5)
    async with following(plc, nodes("Double")) as watch:
        await watch.value("double", 1.5)
        await plc.ask(set="Double", value=7.5, status=status, at_ms=AT_MS)
        reading = await watch.until(lambda: (r := watch.last("double")) and r.value != 1.5 and r)
        assert (reading.quality, reading.value, reading.reason) == (quality, value, reason)
        assert reading.at_ms == AT_MS


async def test_a_counter_is_seen_in_order_at_the_times_it_counted(plc: ForeignServer) -> None:
    async with following(plc, nodes("Counter")) as watch:
        await watch.until(lambda: watch.readings("counter"))
        await plc.ask(count=100)
        await watch.until(lambda: len(watch.readings("counter")) >= 12)
        await plc.ask(count=0)
        counted = dict((await plc.ask(counted=True))["counted"])
        seen, values = watch.readings("counter")[1:], watch.values("counter")[1:]
        assert values == sorted(set(values))
        assert all(counted[reading.value] == reading.at_ms for reading in seen)


async def test_a_node_the_server_has_not_is_bad_and_no_neighbour_is(plc: ForeignServer) -> None:
    async with following(plc, nodes("Missing", "Int16")) as watch:
        reading = await watch.until(lambda: watch.last("missing"))
        assert reading.quality == "bad"
        assert "BadNodeIdUnknown" in reading.reason
        await watch.until(lambda: (last := watch.last("int16")) and last.quality == "good")


# --- write-back


WRITES: Final[list[tuple[str, str, Callable[[int], Any]]]] = [
    ("SetPoint", "Double", lambda turn: 58.5 + turn),
    ("Recipe", "String", lambda turn: f"Größe {turn}"),
    ("Pieces", "Int32", lambda turn: -turn),
]


@pytest.mark.parametrize(("node", "kind", "value"), WRITES)
async def test_a_value_is_written_read_back_and_published(
    plc: ForeignServer, node: str, kind: str, value: Callable[[int], Any]
) -> None:
    tag = node.lower()
    async with following(plc, nodes(node)) as watch:
        await watch.until(lambda: watch.last(tag))
        for turn in (1, 2):
            answer = await watch.written(tag, value(turn))
            assert (answer.reason, answer.value) == (None, value(turn))
            held = await plc.ask(get=node)
            assert held == {"value": value(turn), "type": kind, "status": "Good"}
            assert abs((await watch.value(tag, value(turn))).at_ms - now_ms()) < 5_000


async def test_a_refusal_is_told_in_the_servers_words(plc: ForeignServer) -> None:
    async with following(plc, nodes("Locked")) as watch:
        await watch.value("locked", 1.0)
        answer = await watch.written("locked", 2.0)
        assert "BadNotWritable" in str(answer.reason)
        assert (await plc.ask(get="Locked"))["value"] == 1


# --- arrays and structures

PARTS: Final[list[tuple[str, str, Any]]] = [
    ("Array", "[1]", -2.5),
    ("Weld", "Current", 8.5),
    ("Weld", "Passed", True),
    ("Weld", "Lot", "LOT-1"),
    ("Weld", "Codes[1]", -4),
    ("Weld", "Limits.High", 9.0),
]


async def test_a_part_of_an_array_or_a_structure_is_read(plc: ForeignServer) -> None:
    tags = {f"part-{i}": {"node": f"s={n}", "path": p} for i, (n, p, _) in enumerate(PARTS)}
    async with following(plc, tags) as watch:
        for place, (_, _, value) in enumerate(PARTS):
            assert (await watch.value(f"part-{place}", value)).quality == "good"


# --- security

POLICIES: Final = ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
ENGINEER: Final = {"username": "engineer", "password": "b3nch"}
SERVERS_NAMES: Final = {
    "Aes128Sha256RsaOaep": "Aes128_Sha256_RsaOaep",
    "Aes256Sha256RsaPss": "Aes256_Sha256_RsaPss",
}


async def session_of(plc: ForeignServer, pki: Pki, **settings: Any) -> dict[str, Any]:
    """What the server says about the session of a client that reads and writes."""
    bridge = opcua(plc.port, pki.root, **settings)
    async with watching(bridge, places(nodes("Writable"))) as watch:
        await watch.until(lambda: watch.last("writable"))
        value = now_ms() / 1000
        assert (await watch.written("writable", value)).reason is None
        await watch.value("writable", value)
        (session,) = (await plc.ask(sessions=True))["sessions"]
        return dict(session)


@pytest.mark.parametrize("mode", ["Sign", "SignAndEncrypt"])
@pytest.mark.parametrize("policy", POLICIES)
async def test_each_policy_and_mode_reads_and_writes(
    plc: ForeignServer, pki: Pki, policy: str, mode: str
) -> None:
    session = await session_of(plc, pki, security_policy=policy, security_mode=mode)
    assert session["policy"] == SERVERS_NAMES.get(policy, policy)
    assert (session["mode"], session["identity"]) == (mode, "AnonymousIdentityToken")


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_user_shows_his_name(plc: ForeignServer, pki: Pki, policy: str) -> None:
    session = await session_of(plc, pki, security_policy=policy, **ENGINEER)
    assert (session["identity"], session["user"]) == ("UserNameIdentityToken", "engineer")


async def test_a_user_shows_his_certificate(plc: ForeignServer, pki: Pki) -> None:
    user = Pki(pki.root.parent / "user")
    own_identity(user, datetime.now(UTC))
    session = await session_of(
        plc,
        pki,
        security_policy="Basic256Sha256",
        user_certificate="user/own/certificate.der",
        user_key="user/own/key.pem",
    )
    assert session["identity"] == "X509IdentityToken"


async def test_a_wrong_password_lets_nobody_in(plc: ForeignServer, pki: Pki) -> None:
    wrong: dict[str, Any] = {**ENGINEER, "password": "wrong"}
    bridge = opcua(plc.port, pki.root, security_policy="Basic256Sha256", **wrong)
    async with watching(bridge, places(nodes("Double"))) as watch:
        (link,) = await watch.until(watch.links)
        assert not link.up
        assert "engineer" in link.reason
        assert not watch.readings("double")


async def test_a_server_is_trusted_when_an_administrator_says_so(
    plc: ForeignServer, tmp_path: Path
) -> None:
    pki = Pki(tmp_path / "pki")
    bridge = opcua(plc.port, pki.root, security_policy="Basic256Sha256")
    async with watching(bridge, places(nodes("Double"))) as watch:
        (link,) = await watch.until(watch.links)
        (met,) = pki.list_rejected()
        assert not link.up
        assert f"uns opcua trust {thumbprint(met)[:8]}" in link.reason
        assert not watch.readings("double")
        pki.trust(met)
        await watch.until(lambda: watch.last("double"))
        assert watch.links()[-1].up
