"""A client that connects the way the settings ask for, or not at all.

Owns the choice of the endpoint, the trust in the server and our identity. What a certificate is
worth is certificate.py's, the files are trust.py's; what is done with the connection, session.py's.

The server is asked for its endpoints without security first, as the standard has it (OPC 10000-4,
5.5.4). That answer may be forged; so its certificate counts only when it is trusted, and the secure
channel is opened for the holder of that certificate's key. The host is the configured one always.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.crypto import security_policies
from asyncua.ua import uaerrors

from bridges.opcua.certificate import Peer, believed, expiry_notice, split_chain
from bridges.opcua.config import OpcUaSettings
from bridges.opcua.errors import DeniedError, LostError, RefusedError, UntrustedError, printable
from bridges.opcua.limits import LimitedClient
from bridges.opcua.trust import Identity, Pki, own_identity, read_identity, read_password

ANONYMOUS_URI: Final = "urn:uns-mes:opcua-bridge"
"""Our application URI where no certificate says it."""
OFFERS_SHOWN_MAX: Final = 12
SESSION_TIMEOUT_MS: Final = 10_000
"""A cut or a crash leaves a session behind, which holds one of the server's few places so long."""
NONE_URI: Final = security_policies.SecurityPolicyNone.URI
POLICIES: Final[dict[str, Any]] = {
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128Sha256RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256Sha256RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}
_POLICY_NAMES: Final[dict[str, str]] = {
    NONE_URI: "None",
    **{policy.URI: name for name, policy in POLICIES.items()},
}
_STRONG: Final = frozenset(policy.URI for policy in POLICIES.values())
_OLD: Final = frozenset(
    policy.URI
    for policy in (
        security_policies.SecurityPolicyNone,
        security_policies.SecurityPolicyBasic256,
        security_policies.SecurityPolicyBasic128Rsa15,
    )
)
"""Good enough for a password inside of an encrypted channel, and there only."""
_SETTING: Final[dict[ua.UserTokenType, str]] = {
    ua.UserTokenType.Anonymous: "anonymous users",
    ua.UserTokenType.UserName: "`username`",
    ua.UserTokenType.Certificate: "`user_certificate`",
}
_DENIALS: Final = (
    uaerrors.BadUserAccessDenied,
    uaerrors.BadIdentityTokenInvalid,
    uaerrors.BadIdentityTokenRejected,
    uaerrors.BadUserSignatureInvalid,
)
_DISTRUST: Final = ("BadCertificate", "BadSecurityChecksFailed", "BadApplicationSignature")


class SecureClient(LimitedClient):
    """asyncua's client for one connection. `warnings` are told while it is up."""

    def __init__(self, settings: OpcUaSettings, pki: Pki) -> None:
        super().__init__(settings.url, settings.silence_ms_max / 1000)
        self.application_uri = ANONYMOUS_URI
        self.session_timeout = max(SESSION_TIMEOUT_MS, 4 * settings.silence_ms_max)
        self.warnings: list[str] = []
        self._settings = settings
        self._pki = pki

    async def join(self) -> None:
        """Connect, with security and as the user that the settings name.

        RefusedError, UntrustedError or DeniedError when that may not or cannot be; what the
        network does is raised as asyncua raises it.
        """
        self._take_identity()
        if self._settings.insecure:
            await self.connect()
            return
        own = await asyncio.to_thread(own_identity, self._pki, datetime.now(UTC))
        endpoint = chosen(await self._offered(), self._settings)
        self._secure(endpoint, own)
        with self._blaming_our_certificate():
            await self.connect()

    async def open_secure_channel(self, renew: bool = False) -> None:  # noqa: FBT001, FBT002 - theirs
        """ConnectionError when the server answers with a fault, over which asyncua stumbles."""
        try:
            await super().open_secure_channel(renew)
        except (AssertionError, AttributeError) as error:
            raise ConnectionError("the server refuses the secure channel") from error

    async def create_session(self) -> ua.CreateSessionResult:
        """Refuse a server without SecurityPolicy None in words, before anything is said."""
        if self._settings.insecure:
            chosen(await self.get_endpoints(), self._settings)
        return await super().create_session()

    async def activate_session(self, *args: Any, **given: Any) -> ua.ActivateSessionResult:
        """DeniedError when the server refuses our user."""
        try:
            return await super().activate_session(*args, **given)
        except _DENIALS as error:
            who = self._settings.username or self._settings.user_certificate or "anonymous users"
            raise DeniedError(f"server does not let {who} in: {type(error).__name__}") from error

    def server_policy(self, token_type: ua.UserTokenType) -> ua.UserTokenPolicy:
        """The way to show who we are: the first that the server offers and that keeps secrets.

        A policy without a URI means that of the channel (OPC 10000-4, 7.41).
        """
        offered = [policy for policy in self._policy_ids if policy.TokenType == token_type]
        if not offered:
            others = sorted({_SETTING.get(p.TokenType, p.TokenType.name) for p in self._policy_ids})
            refused = f"server takes no {_SETTING[token_type]}"
            raise RefusedError(f"{refused}: it takes {', '.join(others) or 'nobody'}")
        for policy in sorted(offered, key=lambda one: self._token_uri(one) not in _STRONG):
            uri = self._token_uri(policy)
            if self._keeps_secret(token_type, uri):
                policy.SecurityPolicyUri = uri
                return policy
        raise RefusedError(
            f"server wants {_SETTING[token_type]} unprotected: set security_mode SignAndEncrypt, "
            "or a user token policy with encryption on the server"
        )

    def _token_uri(self, policy: ua.UserTokenPolicy) -> str:
        return str(policy.SecurityPolicyUri or self.security_policy.URI)

    def _keeps_secret(self, token_type: ua.UserTokenType, uri: str) -> bool:
        encrypted = self.security_policy.Mode == ua.MessageSecurityMode.SignAndEncrypt
        match token_type:
            case ua.UserTokenType.Anonymous:
                return True
            case ua.UserTokenType.UserName:
                inside = encrypted or self._settings.insecure
                return uri in _STRONG or (inside and uri in _OLD)
            case _:
                return uri in _STRONG

    def _take_identity(self) -> None:
        settings, folder = self._settings, self._pki.root.parent
        if settings.username is not None:
            self.set_user(settings.username)
            file = settings.password_file
            self.set_password(read_password(folder / file) if file else settings.password or "")
            if settings.insecure:
                self.warnings.append("no security: others can read user name and password")
        if settings.user_certificate and settings.user_key:
            user = read_identity(folder / settings.user_certificate, folder / settings.user_key)
            self.user_certificate, self.user_private_key = user

    async def _offered(self) -> list[ua.EndpointDescription]:
        """What the server offers; asked by another client, whose end must not look like ours."""
        client = LimitedClient(self._settings.url, self._settings.silence_ms_max / 1000)
        return await client.connect_and_get_server_endpoints()

    def _secure(self, endpoint: ua.EndpointDescription, own: Identity) -> None:
        now = datetime.now(UTC)
        try:
            chain = split_chain(endpoint.ServerCertificate or b"")
        except ValueError as error:
            raise RefusedError(f"server certificate cannot be read: {error}") from error
        peer = Peer(self._settings.host, endpoint.Server.ApplicationUri or "")
        try:
            self.warnings += believed(chain, peer, self._pki.trust_list(), now)
        except UntrustedError:
            self._pki.reject(chain[0])
            raise
        self.warnings += expiry_notice("our own", own.certificate, now)
        self.application_uri = own.application_uri
        mode = ua.MessageSecurityMode[self._settings.security_mode]
        policy = POLICIES[self._settings.security_policy]
        self.security_policy = policy(chain[0], own.certificate, own.key, mode)
        self.uaclient.set_security(self.security_policy)

    @contextmanager
    def _blaming_our_certificate(self) -> Iterator[None]:
        """Most first connections fail as the server does not know us, and few servers say so."""
        try:
            yield
        except uaerrors.UaStatusCodeError as error:
            name = type(error).__name__
            if not name.startswith(_DISTRUST):
                raise
            raise RefusedError(
                f"server does not trust our certificate: upload {self._pki.certificate} to it "
                f"({name}; see `uns opcua certificate`)"
            ) from error
        except ConnectionRefusedError:
            raise
        except (ConnectionError, TimeoutError) as error:
            raise LostError(
                f"no session: perhaps the server does not trust {self._pki.certificate} "
                "(see `uns opcua certificate`): it refused, hung up or kept silent"
            ) from error


def chosen(
    endpoints: Sequence[ua.EndpointDescription], settings: OpcUaSettings
) -> ua.EndpointDescription:
    """The endpoint with exactly the policy and mode asked for; rather one of the configured host.

    RefusedError lists what the server offers instead.
    """
    uri, mode = NONE_URI, ua.MessageSecurityMode.None_
    if not settings.insecure:
        uri = POLICIES[settings.security_policy].URI
        mode = ua.MessageSecurityMode[settings.security_mode]
    spoken = [one for one in endpoints if (one.EndpointUrl or "").startswith(ua.OPC_TCP_SCHEME)]
    fitting = [o for o in spoken if (o.SecurityPolicyUri, o.SecurityMode) == (uri, mode)]
    if fitting:
        return max(fitting, key=lambda one: urlsplit(one.EndpointUrl).hostname == settings.host)
    offers = sorted({_offer(one) for one in spoken})[:OFFERS_SHOWN_MAX]
    raise RefusedError(f"server offers {', '.join(offers) or 'nothing'}; {_fix(settings, offers)}")


def _offer(endpoint: ua.EndpointDescription) -> str:
    uri = endpoint.SecurityPolicyUri or ""
    name = _POLICY_NAMES.get(uri, printable(uri.rpartition("#")[2]))
    return name if name == "None" else f"{name} {endpoint.SecurityMode.name}"


def _fix(settings: OpcUaSettings, offers: Sequence[str]) -> str:
    if settings.insecure:
        return "no None: leave out 'insecure: true' and name one of these"
    asked = f"not {settings.security_policy} {settings.security_mode}"
    if set(offers) <= {"None"}:
        return f"{asked}: switch security on there, or say 'insecure: true'"
    return f"{asked}: set security_policy and security_mode to one of these"
