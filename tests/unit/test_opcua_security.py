"""Which certificates, endpoints and settings the OPC UA bridge accepts."""

import stat
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bridges.opcua import trust as trust_module
from bridges.opcua.certificate import Peer, TrustList, believed, split_chain, thumbprint
from bridges.opcua.config import OpcUaSettings
from bridges.opcua.errors import OpcUaError, RefusedError, UntrustedError
from bridges.opcua.security import NONE_URI, POLICIES, SecureClient, chosen
from bridges.opcua.trust import Pki, own_identity, read_password
from tests.certificates import DAY, NOW, URI, Issued, authority, issued, revocations, rsa_key

PEER = Peer("127.0.0.1", URI)
PLC = issued()
CA = authority()
SIGNED = issued(issuer=CA)
URL = "opc.tcp://127.0.0.1:4840/plc"


def judged(
    *chain: Issued, trusted: Sequence[Issued] = (), peer: Peer = PEER, **more: Any
) -> list[str]:
    listed = TrustList(tuple(one.certificate for one in trusted), **more)
    return believed([one.certificate for one in chain], peer, listed, NOW)


def refused(kind: type[OpcUaError], *chain: Issued, **given_: Any) -> str:
    with pytest.raises(kind) as why:
        judged(*chain, **given_)
    assert type(why.value) is kind
    return str(why.value)


def test_a_trusted_certificate_is_believed_and_another_is_not() -> None:
    assert judged(PLC, trusted=[PLC]) == []
    said = refused(UntrustedError, PLC)
    assert said.startswith(
        f"untrusted certificate: uns opcua trust {thumbprint(PLC.certificate)[:12]};"
    )
    assert URI in said
    assert refused(UntrustedError, PLC, trusted=[issued(uri="urn:other")]).startswith("untrusted")


def test_what_to_type_is_among_the_characters_that_a_bad_tag_shows() -> None:
    command = f"uns opcua trust {thumbprint(PLC.certificate)[:12]}"
    assert command in refused(UntrustedError, PLC)[:60]
    assert command in refused(UntrustedError, PLC, trusted=[issued()])[:60]


def test_a_changed_certificate_is_told_as_one() -> None:
    before = issued(key=rsa_key(1))
    said = refused(UntrustedError, PLC, trusted=[before])
    assert said.startswith("changed certificate: uns opcua trust ")
    assert f"trusted until now: {thumbprint(before.certificate)}" in said


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"end": NOW - DAY}, f"expired on {NOW - DAY:%Y-%m-%d}"),
        ({"begin": NOW + DAY}, f"is not valid before {NOW + DAY:%Y-%m-%d}"),
        ({"key": rsa_key(0, 1024)}, "1024 bits"),
        ({"key": ec.generate_private_key(ec.SECP256R1())}, "no RSA key"),
        ({"usage": ExtendedKeyUsageOID.CLIENT_AUTH}, "not meant for servers"),
    ],
)
def test_what_no_trust_can_heal(given_: dict[str, Any], words: str) -> None:
    given_ = {"begin": NOW - 9 * DAY, **given_}
    unusable = issued(**given_)
    assert words in refused(RefusedError, unusable, trusted=[unusable])


def test_the_end_is_told_before_it_comes() -> None:
    for days, said in ((29, 1), (31, 0)):
        ending = issued(end=NOW + days * DAY)
        assert len(judged(ending, trusted=[ending])) == said


def test_names_that_differ_are_told_of_a_certificate_that_is_trusted_itself() -> None:
    host, uri = judged(PLC, trusted=[PLC], peer=Peer("plc-7", "urn:plant:plc-7"))
    assert host == "certificate is for 127.0.0.1, not plc-7"
    assert uri == f"certificate is for {URI}, not urn:plant:plc-7"
    named = issued(host="PLC-1.plant")
    assert judged(named, trusted=[named], peer=Peer("plc-1.PLANT", URI)) == []


def test_an_authority_vouches_for_the_names_it_signed_only() -> None:
    assert judged(SIGNED, trusted=[CA]) == []
    assert "not plc-7" in refused(UntrustedError, SIGNED, trusted=[CA], peer=Peer("plc-7", URI))
    assert "not urn:b" in refused(
        UntrustedError, SIGNED, trusted=[CA], peer=Peer(PEER.host, "urn:b")
    )
    namesake = authority(key=rsa_key(4))
    assert "no trusted authority" in refused(UntrustedError, SIGNED, trusted=[namesake])
    forged = issued(issuer=CA._replace(key=rsa_key(3)))
    assert "no trusted authority" in refused(UntrustedError, forged, trusted=[CA])


def test_a_chain_may_have_several_authorities() -> None:
    middle = authority("line-ca", issuer=CA, key=rsa_key(2))
    leaf = issued(issuer=middle)
    assert judged(leaf, middle, trusted=[CA]) == []
    assert judged(leaf, trusted=[CA, middle]) == []
    assert "no trusted authority" in refused(UntrustedError, leaf, trusted=[CA])


def test_a_server_is_no_authority() -> None:
    peer = Peer("127.0.0.1", "urn:plant:plc-2")
    server = issued(authority=True, key=rsa_key(2))
    other = issued("plc-2", uri=peer.application_uri, issuer=server)
    said = refused(UntrustedError, other, trusted=[server], peer=peer)
    assert said.endswith("; no trusted authority signed it")
    signed = issued(authority=True, key=rsa_key(2), issuer=CA)
    other = issued("plc-2", uri=peer.application_uri, issuer=signed)
    said = refused(UntrustedError, other, signed, trusted=[signed, CA], peer=peer)
    assert "the issuer is an application" in said
    plain = issued("plc-3", uri=None, key=rsa_key(2))
    assert "no trusted authority" in refused(UntrustedError, issued(issuer=plain), trusted=[plain])


def test_who_may_not_sign_is_no_authority() -> None:
    bits = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"), True
    )
    bits |= dict.fromkeys(("key_agreement", "crl_sign", "encipher_only", "decipher_only"), False)
    for may_sign in (False, True):
        usage = x509.KeyUsage(**bits, key_cert_sign=may_sign)
        ca = issued("ca", uri=None, authority=True, key=rsa_key(9), more=[usage])
        leaf = issued(issuer=ca)
        if may_sign:
            assert judged(leaf, trusted=[ca]) == []
        else:
            assert "no trusted authority" in refused(UntrustedError, leaf, trusted=[ca])


def test_what_a_stranger_writes_cannot_steer_a_terminal() -> None:
    shouting = issued("\x1b[31m" + "x" * 50, uri="urn:\x1b[2J")
    said = refused(UntrustedError, shouting, peer=Peer("h", "urn:\x07" + "y" * 5_000))
    assert said.isprintable()
    assert len(said) < 1_000


def test_what_its_authority_revoked_is_refused() -> None:
    lists = (revocations(CA, SIGNED),)
    assert refused(RefusedError, SIGNED, trusted=[CA], revocations=lists) == (
        "server certificate was revoked by CN=plant-ca"
    )
    other = authority(key=rsa_key(3))
    for harmless in (revocations(CA, PLC), revocations(other, SIGNED)):
        assert judged(SIGNED, trusted=[CA], revocations=(harmless,)) == []


def test_what_was_revoked_is_refused_also_where_it_is_trusted_itself() -> None:
    lists = (revocations(CA, SIGNED),)
    assert refused(RefusedError, SIGNED, trusted=[CA, SIGNED], revocations=lists) == (
        "server certificate was revoked by CN=plant-ca"
    )
    assert "revoked" in refused(RefusedError, SIGNED, CA, trusted=[SIGNED], revocations=lists)
    other = authority(key=rsa_key(3))
    for harmless in (revocations(CA, PLC), revocations(other, SIGNED)):
        assert judged(SIGNED, trusted=[CA, SIGNED], revocations=(harmless,)) == []


def test_a_list_counts_for_what_its_authority_signed_only() -> None:
    lists = (revocations(CA, PLC),)  # the same serial number, by chance or not
    assert judged(PLC, trusted=[CA, PLC], revocations=lists) == []


def test_a_chain_is_split_at_its_certificates() -> None:
    middle = authority("line-ca", issuer=CA)
    chain = [SIGNED.certificate, middle.certificate, CA.certificate]
    assert split_chain(SIGNED.der + middle.der + CA.der) == chain
    for bad in (b"", b"\x30", SIGNED.der[:-1], SIGNED.der + b"\0", SIGNED.der * 9):
        with pytest.raises(ValueError, match=r"."):
            split_chain(bad)


@given(st.binary(max_size=64))
def test_any_bytes_are_a_chain_or_a_value_error(blob: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        split_chain(blob)


def endpoint(policy: str, mode: str, url: str = URL) -> ua.EndpointDescription:
    uri = NONE_URI if policy == "None" else POLICIES[policy].URI
    return ua.EndpointDescription(
        EndpointUrl=url, SecurityPolicyUri=uri, SecurityMode=ua.MessageSecurityMode[mode]
    )


def settings(**given_: Any) -> OpcUaSettings:
    return OpcUaSettings.model_validate({"url": URL, "namespace_uri": "urn:x", **given_})


OFFERED = [endpoint("None", "None_"), endpoint("Basic256Sha256", "Sign")]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("mode", ["Sign", "SignAndEncrypt"])
def test_the_endpoint_is_the_one_asked_for_and_no_other(policy: str, mode: str) -> None:
    everything = [endpoint("None", "None_")]
    everything += [endpoint(p, m) for p in POLICIES for m in ("Sign", "SignAndEncrypt")]
    asked = settings(security_policy=policy, security_mode=mode)
    found = chosen(everything, asked)
    assert (found.SecurityPolicyUri, found.SecurityMode.name) == (POLICIES[policy].URI, mode)
    with pytest.raises(RefusedError, match=f"not {policy} {mode}"):
        chosen([one for one in everything if one is not found], asked)


def test_what_is_offered_instead_is_listed() -> None:
    with pytest.raises(RefusedError) as why:
        chosen(OFFERED, settings())
    assert str(why.value) == (
        "server offers Basic256Sha256 Sign, None; not Basic256Sha256 SignAndEncrypt: "
        "set security_policy and security_mode to one of these"
    )
    with pytest.raises(RefusedError, match=r"^server offers None; .*say 'insecure: true'"):
        chosen(OFFERED[:1], settings())
    with pytest.raises(
        RefusedError, match=r"^server offers Basic256Sha256 Sign; no None: leave out"
    ):
        chosen(OFFERED[1:], settings(insecure=True))
    with pytest.raises(RefusedError, match=r"^server offers nothing;"):
        chosen([endpoint("Basic256Sha256", "SignAndEncrypt", "https://h/x")], settings())


def test_of_two_endpoints_that_of_our_host_is_taken() -> None:
    other = endpoint("Basic256Sha256", "SignAndEncrypt", "opc.tcp://10.9.9.9:4840/plc")
    ours = endpoint("Basic256Sha256", "SignAndEncrypt")
    assert chosen([other, ours], settings()) is ours
    assert chosen([other], settings()) is other


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"insecure": True, "security_policy": "Basic256Sha256"}, "exclude each other"),
        ({"insecure": True, "security_mode": "Sign"}, "exclude each other"),
        ({"security_policy": "None"}, "Input should be"),
        ({"security_policy": "Basic128Rsa15"}, "Input should be"),
        ({"username": "mes", "password": "a", "password_file": "b"}, "not both"),
        ({"password": "a"}, "goes with"),
        ({"user_certificate": "a"}, "go together"),
        ({"user_key": "a"}, "go together"),
        ({"user_certificate": "a", "user_key": "b", "username": "mes"}, "not both"),
        ({"username": ""}, "at least 1"),
    ],
)
def test_settings_that_contradict_themselves_are_faults(given_: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings(**given_)


def token(kind: str, uri: str | None) -> ua.UserTokenPolicy:
    return ua.UserTokenPolicy(
        PolicyId=f"{kind}-{uri}", TokenType=ua.UserTokenType[kind], SecurityPolicyUri=uri
    )


def shown_by(tokens: list[ua.UserTokenPolicy], kind: str, mode: str | None) -> str | None:
    """The policy that an identity is shown by, on a channel of this mode."""
    asked = settings(**({"security_mode": mode} if mode else {"insecure": True}))
    client = SecureClient(asked, Pki(Path()))
    client._policy_ids = tokens
    if mode:
        client.security_policy = POLICIES["Basic256Sha256"](
            PLC.certificate, PLC.certificate, PLC.key, ua.MessageSecurityMode[mode]
        )
    uri: str | None = client.server_policy(ua.UserTokenType[kind]).SecurityPolicyUri
    return uri


BASIC256 = "http://opcfoundation.org/UA/SecurityPolicy#Basic256"
STRONG = POLICIES["Aes256Sha256RsaPss"].URI


@pytest.mark.parametrize(
    ("kind", "mode", "uris", "taken"),
    [
        ("UserName", "Sign", [NONE_URI, STRONG], STRONG),
        ("UserName", "Sign", [None], POLICIES["Basic256Sha256"].URI),
        ("UserName", "SignAndEncrypt", [NONE_URI], NONE_URI),
        ("UserName", "SignAndEncrypt", ["urn:unknown", BASIC256], BASIC256),
        ("UserName", None, [NONE_URI, STRONG], STRONG),
        ("UserName", None, [None], NONE_URI),
        ("Certificate", "Sign", [None], POLICIES["Basic256Sha256"].URI),
        ("Certificate", None, [STRONG], STRONG),
        ("Anonymous", "Sign", [NONE_URI], NONE_URI),
    ],
)
def test_an_identity_is_shown_by_a_way_that_keeps_it_secret(
    kind: str, mode: str | None, uris: list[str | None], taken: str
) -> None:
    assert shown_by([token(kind, uri) for uri in uris], kind, mode) == taken


@pytest.mark.parametrize(
    ("kind", "mode", "tokens", "words"),
    [
        ("UserName", "Sign", [token("UserName", NONE_URI)], "unprotected: set security_mode"),
        ("UserName", "Sign", [token("UserName", BASIC256)], "unprotected"),
        ("UserName", "SignAndEncrypt", [token("UserName", "urn:unknown")], "unprotected"),
        ("Certificate", None, [token("Certificate", None)], "unprotected"),
        ("UserName", "Sign", [token("Anonymous", None)], "no `username`: it takes anonymous users"),
        ("Anonymous", "Sign", [], "no anonymous users: it takes nobody"),
    ],
)
def test_an_identity_is_kept_where_it_would_be_given_away(
    kind: str, mode: str | None, tokens: list[ua.UserTokenPolicy], words: str
) -> None:
    with pytest.raises(RefusedError, match=words):
        shown_by(tokens, kind, mode)


def test_our_certificate_is_made_once_as_the_standard_wants_it(tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki")
    own = own_identity(pki, NOW)
    assert own_identity(pki, NOW).certificate == own.certificate
    assert stat.S_IMODE((pki.own / "key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(pki.own.stat().st_mode) == 0o700
    assert [path.name for path in pki.root.iterdir()] == ["own"]
    certificate = own.certificate
    certificate.verify_directly_issued_by(certificate)
    assert certificate.not_valid_after_utc - NOW > timedelta(days=3_650)
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [own.application_uri]
    assert names.get_values_for_type(x509.DNSName)
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.content_commitment) == (True, True)
    assert (usage.key_encipherment, usage.data_encipherment) == (True, True)
    assert (usage.key_cert_sign, usage.crl_sign) == (True, False)
    extended = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_of_two_that_make_our_certificate_at_once_one_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pki = Pki(tmp_path / "pki")
    self_signed = trust_module._self_signed

    def meanwhile(key: Any, now: Any) -> x509.Certificate:
        monkeypatch.setattr(trust_module, "_self_signed", self_signed)
        own_identity(pki, NOW)
        return self_signed(key, now)

    monkeypatch.setattr(trust_module, "_self_signed", meanwhile)
    first = own_identity(pki, NOW)
    assert first.certificate == own_identity(pki, NOW).certificate
    assert [path.name for path in pki.root.iterdir()] == ["own"]


def _expired(own: Path) -> None:
    old = issued(begin=NOW - 9 * DAY, end=NOW - DAY)
    (own / "certificate.der").write_bytes(old.der)
    (own / "key.pem").write_bytes(old.key_pem)


BREAKAGES = {
    "expired": (_expired, f"own certificate expired on {NOW - DAY:%Y-%m-%d}: "),
    "garbled": (lambda own: (own / "certificate.der").write_bytes(b"x"), "certificate.der cannot"),
    "gone": (lambda own: (own / "key.pem").unlink(), "key.pem: No such file"),
    "open": (lambda own: (own / "key.pem").chmod(0o644), "chmod 600 "),
    "no key": (lambda own: (own / "key.pem").write_bytes(b"x"), "holds no private key"),
    "other": (lambda own: (own / "key.pem").write_bytes(PLC.key_pem), "is not the RSA key of"),
}


@pytest.mark.parametrize(("breaking", "words"), BREAKAGES.values(), ids=BREAKAGES)
def test_a_broken_own_certificate_is_named_with_the_fix(
    tmp_path: Path, breaking: Any, words: str
) -> None:
    pki = Pki(tmp_path / "pki")
    own_identity(pki, NOW)
    breaking(pki.own)
    with pytest.raises(RefusedError) as why:
        own_identity(pki, NOW)
    assert words in str(why.value)
    assert f"remove {pki.own}, and upload the new certificate" in str(why.value)


def test_trusting_moves_a_certificate(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    assert (pki.list_rejected(), pki.trust_list()) == ([], TrustList())
    pki.reject(PLC.certificate)
    pki.reject(PLC.certificate)
    assert pki.list_rejected() == [PLC.certificate]
    assert pki.trust(PLC.certificate) == pki.trusted / f"{thumbprint(PLC.certificate)}.der"
    assert pki.list_rejected() == []
    assert pki.trust_list().certificates == (PLC.certificate,)
    (pki.root / "crl").mkdir()
    lists = [revocations(CA), revocations(CA, PLC)]
    for name, crl, encoding in zip("ab", lists, (Encoding.DER, Encoding.PEM), strict=True):
        (pki.root / "crl" / f"{name}.crl").write_bytes(crl.public_bytes(encoding))
    assert list(pki.trust_list().revocations) == lists


def test_rejected_certificates_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust_module, "REJECTED_MAX", 2)
    pki = Pki(tmp_path)
    ones = [issued(uri=f"urn:{n}").certificate for n in range(3)]
    for one in ones:
        pki.reject(one)
    assert pki.list_rejected() == [ones[2], ones[1]]


def test_a_trusted_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    pki.trusted.mkdir()
    (pki.trusted / "plc.der").write_bytes(b"garbage")
    with pytest.raises(RefusedError, match=r"trusted/plc\.der cannot be read"):
        pki.trust_list()


def test_a_password_file_is_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "password"
    with pytest.raises(RefusedError, match="No such file"):
        read_password(file)
    file.write_text("s3cret\nnote\n")
    file.chmod(0o640)
    with pytest.raises(RefusedError, match=f"others can read {file}: chmod 600 {file}"):
        read_password(file)
    file.chmod(0o600)
    assert read_password(file) == "s3cret"
    file.write_bytes(b"\xff")
    with pytest.raises(RefusedError, match="no UTF-8"):
        read_password(file)
