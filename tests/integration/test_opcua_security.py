"""The OPC UA bridge before servers with certificates: right, wrong, changed, forged."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
from asyncua.server.server import Server
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.status_codes import StatusCodes

from bridges.opcua.certificate import thumbprint
from bridges.opcua.client import observe
from bridges.opcua.config import OpcUaSettings
from bridges.opcua.errors import DeniedError, RefusedError
from bridges.opcua.security import POLICIES, SecureClient
from bridges.opcua.trust import Pki
from tests.certificates import DAY, NOW, URI, Issued, authority, issued, rsa_key
from tests.example import plant
from uns.model.observation import Link, Observation, Reading
from uns.model.plant import Place, TagSpec

CELL: Final = "acme/berlin/machining/housing/saw"
SPACE: Final = "urn:acme:machining"
SECONDS_MAX: Final = 20.0
MODES: Final = ("Sign", "SignAndEncrypt")
PLC: Final = issued()
USER: Final = issued("anna", uri="urn:anna", key=rsa_key(5), usage=None)
IDENTITIES: Final[dict[str, dict[str, Any]]] = {
    "anonymous": {},
    "mes": {"username": "mes", "password": "s3cret"},
    "anna": {"user_certificate": "anna.der", "user_key": "anna.pem"},
}

KNOWN: Final = {(name, given.get("password")) for name, given in IDENTITIES.items()}
WRONG: Final = {"username": "mes", "password": "wrong"}

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Users:
    """Lets the three identities in and remembers who asked, with which password."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []

    def get_user(
        self, _server: Any, username: str | None, password: str | None, certificate: Any
    ) -> User | None:
        name = username or ("anna" if certificate == USER.der else "anonymous")
        self.asked.append((name, password))
        return User(role=UserRole.User, name=name) if (name, password) in KNOWN else None


class Plc(NamedTuple):
    """A server whose only node is `Good`, with the value 7."""

    server: Any  # asyncua types little of its inside
    users: Users
    url: str

    def policies(self) -> list[tuple[str, str]]:
        """The security of every open connection that has a session."""
        connections = [one.processor for one in self.server.bserver.clients]
        channels = [one._connection.security_policy for one in connections if one.session]
        return [(channel.URI, channel.Mode.name) for channel in channels]

    @contextmanager
    def answering(self, **changes: Any) -> Iterator[None]:
        """Forge the answer to GetEndpoints."""
        internal = self.server.iserver
        before = internal.endpoints
        internal.endpoints = [replace(endpoint, **changes) for endpoint in before]
        try:
            yield
        finally:
            internal.endpoints = before


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def secure_types() -> list[ua.SecurityPolicyType]:
    return [ua.SecurityPolicyType[f"{policy}_{mode}"] for policy in POLICIES for mode in MODES]


@asynccontextmanager
async def served(
    certificate: Issued | None = PLC,
    types: Sequence[ua.SecurityPolicyType] = (ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,),
    port: int | None = None,
    named: str | None = None,
) -> AsyncIterator[Plc]:
    """A server; `named` is the host it says it has."""
    port, users = port or free_port(), Users()
    server = Server(user_manager=users)  # type: ignore[arg-type] # asyncua asks for no base class
    await server.init()
    await server.set_application_uri(URI)
    server.set_endpoint(f"opc.tcp://{named or '127.0.0.1'}:{port}/plc")
    server.socket_address = ("127.0.0.1", port)
    server.set_match_discovery_endpoint_url(named is None)
    server.set_match_discovery_client_ip(named is None)
    server.set_security_policy(list(types))
    server.set_identity_tokens(
        [ua.AnonymousIdentityToken, ua.UserNameIdentityToken, ua.X509IdentityToken]
    )
    if certificate:
        await server.load_certificate(certificate.der)
        await server.load_private_key(certificate.key_pem, format="pem")
    index = await server.register_namespace(SPACE)
    await server.get_objects_node().add_variable(
        ua.NodeId.from_string(f"ns={index};s=Good"), "Good", 7
    )
    async with server:
        yield Plc(server, users, f"opc.tcp://127.0.0.1:{port}/plc")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plc() -> AsyncIterator[Plc]:
    async with served(types=secure_types()) as one:
        options = CertificateValidatorOptions
        one.server.set_certificate_validator(
            CertificateValidator(options.EXT_VALIDATION | options.PEER_CLIENT)
        )
        yield one


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """A data folder in which the server PLC is trusted, with the user certificate of anna."""
    (tmp_path / "anna.der").write_bytes(USER.der)
    (tmp_path / "anna.pem").touch(mode=0o600)
    (tmp_path / "anna.pem").write_bytes(USER.key_pem)
    pki = Pki(tmp_path / "pki")
    pki.trust(PLC.certificate)
    return pki


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (RefusedError, DeniedError):
        monkeypatch.setattr(error, "retry_s_min", 0.0)


def bridge(url: str, pki: Pki, **settings: Any) -> AsyncGenerator[list[Observation], None]:
    given = {"namespace_uri": SPACE, "publishing_interval_ms": 50, **settings}
    parsed = OpcUaSettings.model_validate({"url": url, "sampling_interval_ms": 10, **given})
    place = plant().cells[CELL]
    cell = place.cell.model_copy(update={"tags": {"good": TagSpec(source={"node": "s=Good"})}})
    places: dict[str, Place] = {CELL: place.model_copy(update={"cell": cell})}
    return observe(parsed, places, lambda: 1_000, asyncio.Queue(), pki.root)


async def seen(stream: AsyncIterator[list[Observation]], wanted: Callable[[Any], bool]) -> Any:
    """The first observation that is as wanted."""
    async with asyncio.timeout(SECONDS_MAX):
        async for batch in stream:
            for observation in batch:
                if wanted(observation):
                    return observation
    raise AssertionError("the bridge ended by itself")


def up(seen_: Observation) -> bool:
    return isinstance(seen_, Link) and seen_.up


def down(seen_: Observation) -> bool:
    return isinstance(seen_, Link) and not seen_.up


def value(seen_: Observation) -> bool:
    return isinstance(seen_, Reading) and seen_.value == 7


async def refusal(url: str, pki: Pki, **settings: Any) -> str:
    """The first thing that the bridge tells, which is why it does not connect."""
    async with aclosing(bridge(url, pki, **settings)) as stream:
        link = await seen(stream, lambda _: True)
    assert down(link), link
    return str(link.reason)


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("policy", POLICIES)
async def test_every_policy_mode_and_identity(
    plc: Plc, pki: Pki, policy: str, mode: str, identity: str
) -> None:
    plc.users.asked.clear()
    given = {"security_policy": policy, "security_mode": mode, **IDENTITIES[identity]}
    async with aclosing(bridge(plc.url, pki, **given)) as stream:
        link = await seen(stream, lambda _: True)
        assert (link.up, link.reason) == (True, None), link
        await seen(stream, value)
        assert plc.policies()[-1:] == [(POLICIES[policy].URI, mode)]
    assert plc.users.asked == [(identity, IDENTITIES[identity].get("password"))]


@pytest.mark.parametrize("mode", MODES)
async def test_the_channel_gets_new_keys_in_time(plc: Plc, pki: Pki, mode: str) -> None:
    asked = OpcUaSettings.model_validate(
        {"url": plc.url, "namespace_uri": SPACE, "security_mode": mode}
    )
    client = SecureClient(asked, pki)
    client.secure_channel_timeout = 800
    await client.join()
    try:
        (connection,) = [one.processor._connection for one in plc.server.bserver.clients]
        first = connection.security_token.TokenId
        async with asyncio.timeout(SECONDS_MAX):
            while connection.security_token.TokenId < first + 3:
                await client.get_namespace_array()
    finally:
        await client.disconnect()


async def test_a_wrong_password_is_told_and_not_tried_at_once_again(
    plc: Plc, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeniedError, "retry_s_min", 60.0)
    plc.users.asked.clear()
    async with aclosing(bridge(plc.url, pki, **WRONG)) as stream:
        link = await seen(stream, down)
        assert link.reason == "server does not let mes in: BadUserAccessDenied"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await anext(stream)
    assert plc.users.asked == [("mes", "wrong")]


async def test_the_password_may_be_in_a_file(plc: Plc, pki: Pki) -> None:
    file = pki.root.parent / "password"
    file.touch(mode=0o600)
    file.write_text("s3cret\n")
    given = {"username": "mes", "password_file": "password"}
    async with aclosing(bridge(plc.url, pki, **given)) as stream:
        assert up(await seen(stream, lambda _: True))
    file.chmod(0o644)
    assert (await refusal(plc.url, pki, **given)) == f"others can read {file}: chmod 600 {file}"


async def test_an_untrusted_server_is_refused_until_it_is_trusted(plc: Plc, pki: Pki) -> None:
    next(pki.trusted.iterdir()).unlink()
    plc.users.asked.clear()
    async with aclosing(bridge(plc.url, pki, **IDENTITIES["mes"])) as stream:
        link = await seen(stream, down)
        typed = thumbprint(PLC.certificate)[:12]
        assert link.reason.startswith(f"untrusted certificate: uns opcua trust {typed}")
        (rejected,) = pki.list_rejected()
        assert rejected == PLC.certificate
        assert plc.users.asked == []
        pki.trust(rejected)
        await seen(stream, value)


async def test_a_certificate_of_a_trusted_authority_is_believed(pki: Pki) -> None:
    root = authority()
    pki.trust(root.certificate)
    signed = issued(issuer=root, key=rsa_key(1))
    async with served(signed) as plc, aclosing(bridge(plc.url, pki)) as stream:
        assert (await seen(stream, up)).reason is None
        await seen(stream, value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"begin": NOW - 9 * DAY, "end": NOW - DAY},
            f"certificate expired on {NOW - DAY:%Y-%m-%d}",
        ),
        ({"key": rsa_key(0, 1024)}, "certificate has a key of 1024 bits"),
    ],
)
async def test_a_certificate_that_does_not_hold_is_refused(
    plc: Plc, pki: Pki, given: dict[str, Any], words: str
) -> None:
    unfit = issued(**given)
    pki.trust(unfit.certificate)
    with plc.answering(ServerCertificate=unfit.der):
        assert words in await refusal(plc.url, pki)


async def test_the_end_of_a_certificate_and_a_wrong_name_are_told_while_connected(pki: Pki) -> None:
    ending = issued(end=NOW + 5 * DAY, host="plc-7")
    pki.trust(ending.certificate)
    async with served(ending) as plc, aclosing(bridge(plc.url, pki)) as stream:
        said = (await seen(stream, up)).reason
    assert said == (
        "certificate is for plc-7, not 127.0.0.1; "
        f"server certificate expires on {NOW + 5 * DAY:%Y-%m-%d}"
    )


async def test_a_changed_certificate_is_refused_until_it_is_trusted(pki: Pki) -> None:
    port, new = free_port(), issued(key=rsa_key(1))
    async with served(port=port) as plc:
        stream = bridge(plc.url, pki)
        await seen(stream, value)
    async with aclosing(stream), served(new, port=port) as plc:
        link = await seen(stream, lambda one: down(one) and "certificate" in one.reason)
        typed = thumbprint(new.certificate)[:12]
        assert link.reason.startswith(f"changed certificate: uns opcua trust {typed}")
        assert plc.users.asked == []
        pki.trust(new.certificate)
        await seen(stream, value)


async def test_a_server_without_security_is_refused(pki: Pki) -> None:
    async with served(None, [ua.SecurityPolicyType.NoSecurity]) as plc:
        assert await refusal(plc.url, pki, **IDENTITIES["mes"]) == (
            "server offers None; not Basic256Sha256 SignAndEncrypt: "
            "switch security on there, or say 'insecure: true'"
        )
        assert plc.users.asked == []


@pytest.mark.parametrize("mode", ["None_", "Sign"])
async def test_an_answer_that_lists_less_than_was_asked_for_changes_nothing(
    plc: Plc, pki: Pki, mode: str
) -> None:
    plc.users.asked.clear()
    with plc.answering(SecurityMode=ua.MessageSecurityMode[mode]):
        said = await refusal(plc.url, pki, **IDENTITIES["mes"])
    assert said.startswith("server offers Aes128Sha256RsaOaep ")
    assert "not Basic256Sha256 SignAndEncrypt" in said
    assert plc.users.asked == []


async def test_who_shows_a_trusted_certificate_without_its_key_learns_nothing(
    plc: Plc, pki: Pki
) -> None:
    copied = issued(key=rsa_key(1))
    pki.trust(copied.certificate)
    plc.users.asked.clear()
    with plc.answering(ServerCertificate=copied.der):
        said = await refusal(plc.url, pki, silence_ms_max=1_000, **IDENTITIES["mes"])
    assert said.startswith("no session: perhaps the server does not trust ")
    assert plc.users.asked == []


async def test_a_server_that_does_not_trust_us_is_told_with_the_fix(
    plc: Plc, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(*_: Any) -> None:
        raise ServiceError(StatusCodes.BadCertificateUntrusted)

    monkeypatch.setattr(plc.server.iserver, "certificate_validator", nobody)
    assert await refusal(plc.url, pki) == (
        f"server does not trust our certificate: upload {pki.certificate} to it "
        "(BadCertificateUntrusted; see `uns opcua certificate`)"
    )


async def test_a_server_that_answers_the_secure_channel_with_a_fault_is_told(
    plc: Plc, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening: Any = UaProcessor.open_secure_channel

    def refusing(processor: Any, header: Any, sequence: Any, body: Any) -> None:
        if not header.SenderCertificate:
            opening(processor, header, sequence, body)
            return
        fault = ua.ServiceFault()
        refused = ua.UInt32(StatusCodes.BadSecurityChecksFailed)
        fault.ResponseHeader.ServiceResult = ua.StatusCode(refused)
        processor.send_response(1, sequence, fault, ua.MessageType.SecureOpen)

    monkeypatch.setattr(UaProcessor, "open_secure_channel", refusing)
    said = await refusal(plc.url, pki)
    assert said.startswith(f"no session: perhaps the server does not trust {pki.certificate}")


async def test_the_configured_host_is_used_whatever_the_server_calls_itself(pki: Pki) -> None:
    async with served(named="plc-7.invalid") as plc:
        (endpoint,) = await plc.server.get_endpoints()
        assert "plc-7.invalid" in endpoint.EndpointUrl
        async with aclosing(bridge(plc.url, pki)) as stream:
            await seen(stream, value)


async def test_without_security_it_says_what_others_can_read(pki: Pki) -> None:
    async with served(None, [ua.SecurityPolicyType.NoSecurity]) as plc:
        given = {"insecure": True, **IDENTITIES["mes"]}
        async with aclosing(bridge(plc.url, pki, **given)) as stream:
            link = await seen(stream, lambda _: True)
            assert (link.up, link.reason) == (
                True,
                "no security: others can read user name and password",
            )
        assert plc.users.asked == [("mes", "s3cret")]
        async with aclosing(bridge(plc.url, pki, insecure=True)) as stream:
            assert (await seen(stream, up)).reason is None
    assert not pki.own.exists()


async def test_a_server_that_offers_security_only_is_told_when_none_was_asked_for(
    plc: Plc, pki: Pki
) -> None:
    plc.users.asked.clear()
    said = await refusal(plc.url, pki, insecure=True, **IDENTITIES["mes"])
    assert said.startswith("server offers Aes128Sha256RsaOaep Sign,")
    assert said.endswith("no None: leave out 'insecure: true' and name one of these")
    assert plc.users.asked == []


async def test_a_broken_own_certificate_is_told(plc: Plc, pki: Pki) -> None:
    pki.own.mkdir(parents=True)
    assert f"remove {pki.own}" in await refusal(plc.url, pki)
