"""What X.509 certificates say, and whether a server's may be believed. Pure.

Owns the checks of OPC 10000-4, 6.1.3, and their words. Knows no file, no clock and no connection:
what is trusted and what time it is are arguments.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address
from itertools import pairwise
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy

from bridges.opcua.errors import RefusedError, UntrustedError, printable

KEY_BITS_MIN: Final = 2048
KEY_BITS_MAX: Final = 4096
"""Of the three policies spoken (OPC 10000-7: Basic256Sha256 and its successors)."""
EXPIRY_NOTICE: Final = timedelta(days=30)
CHAIN_LENGTH_MAX: Final = 8
SHOWN_THUMBPRINT_LENGTH: Final = 12
"""Hexadecimal digits that are typed to trust a certificate."""
_SEQUENCE: Final = 0x30
_LONG_LENGTH: Final = 0x80


class TrustList(NamedTuple):
    """Trusted certificates, of servers and of authorities, and the authorities' revocations."""

    certificates: tuple[x509.Certificate, ...] = ()
    revocations: tuple[x509.CertificateRevocationList, ...] = ()


class Peer(NamedTuple):
    """A server: the host it was addressed by, and the application URI it says it has."""

    host: str
    application_uri: str


def believed(
    chain: Sequence[x509.Certificate], peer: Peer, trusted: TrustList, now: datetime
) -> list[str]:
    """What is to be said of a certificate that may be used: names that differ, an end in sight.

    chain: the server's certificate, then what it sent along to be verified with.
    A certificate that is trusted itself may name another host or URI, as the standard lets an
    administrator suppress that check (OPC 10000-6, E.6); one that an authority signed may not.
    RefusedError when it cannot be used, UntrustedError when somebody has to trust it first.
    """
    leaf = chain[0]
    if fault := _unusable(leaf, now):
        raise RefusedError(f"server certificate {fault}")
    for issuer in (*trusted.certificates, *chain[1:]):
        _check_revocation(leaf, issuer, trusted)
    differing = _differing_names(leaf, peer)
    if leaf in trusted.certificates:
        return [*differing, *expiry_notice("server", leaf, now)]
    if doubts := [*_doubts(chain, trusted, now), *differing]:
        raise UntrustedError(_ask_for_trust(leaf, trusted, doubts))
    return expiry_notice("server", leaf, now)


def expiry_notice(whose: str, certificate: x509.Certificate, now: datetime) -> list[str]:
    """One sentence when the end of validity is near, else nothing."""
    end = certificate.not_valid_after_utc
    return [f"{whose} certificate expires on {end:%Y-%m-%d}"] if end - now < EXPIRY_NOTICE else []


def validity_fault(certificate: x509.Certificate, now: datetime) -> str | None:
    """Why the certificate does not hold at this time."""
    if now > certificate.not_valid_after_utc:
        return f"expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if now < certificate.not_valid_before_utc:
        return f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}: check the clocks"
    return None


def thumbprint(certificate: x509.Certificate) -> str:
    """SHA-1 of the encoded certificate (OPC 10000-6, 6.7.2): 40 upper-case hexadecimal digits."""
    return certificate.fingerprint(SHA1()).hex().upper()  # noqa: S303 - the standard's name for it


def subject(certificate: x509.Certificate) -> str:
    """Whose certificate it is, in one line."""
    return printable(certificate.subject.rfc4514_string())


def described(certificate: x509.Certificate) -> str:
    """A certificate in one line."""
    uris = printable(", ".join(application_uris(certificate))) or "no application URI"
    end = certificate.not_valid_after_utc
    return f"{subject(certificate)}, {uris}, valid to {end:%Y-%m-%d}"


def application_uris(certificate: x509.Certificate) -> list[str]:
    """The URIs among its names; an application has one (OPC 10000-6, 6.2.2)."""
    names = _names(certificate)
    return names.get_values_for_type(x509.UniformResourceIdentifier) if names else []


def hosts(certificate: x509.Certificate) -> list[str]:
    """The host names and addresses among its names."""
    names = _names(certificate)
    if not names:
        return []
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    return [*names.get_values_for_type(x509.DNSName), *addresses]


def split_chain(blob: bytes) -> list[x509.Certificate]:
    """The certificates of a byte string, in which a server may concatenate several.

    ValueError when there is none, too many, or something else.
    """
    certificates = list[x509.Certificate]()
    while blob:
        if len(certificates) == CHAIN_LENGTH_MAX:
            raise ValueError(f"more than {CHAIN_LENGTH_MAX} certificates")
        size = _der_size(blob)
        certificates.append(x509.load_der_x509_certificate(blob[:size]))
        blob = blob[size:]
    if not certificates:
        raise ValueError("no certificate")
    return certificates


def _der_size(blob: bytes) -> int:
    """How many bytes the value at the front takes (X.690, 8.1.3)."""
    if len(blob) < 2 or blob[0] != _SEQUENCE:  # noqa: PLR2004 - a tag and a length
        raise ValueError("no certificate")
    if blob[1] < _LONG_LENGTH:
        return 2 + blob[1]
    digits = blob[1] - _LONG_LENGTH
    return 2 + digits + int.from_bytes(blob[2 : 2 + digits], "big")


def _names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return None
    return found.value


def _unusable(leaf: x509.Certificate, now: datetime) -> str | None:
    """What no trust can heal."""
    if fault := validity_fault(leaf, now):
        return fault
    key = leaf.public_key()
    if not isinstance(key, RSAPublicKey):
        return "has no RSA key"
    if not KEY_BITS_MIN <= key.key_size <= KEY_BITS_MAX:
        return f"has a key of {key.key_size} bits: {KEY_BITS_MIN} to {KEY_BITS_MAX} are needed"
    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None
    except ValueError as error:
        return f"cannot be read: {error}"
    return None if ExtendedKeyUsageOID.SERVER_AUTH in usage else "is not meant for servers"


def _differing_names(leaf: x509.Certificate, peer: Peer) -> list[str]:
    named, uris = hosts(leaf), application_uris(leaf)
    differing = []
    if not any(_same_host(peer.host, name) for name in named):
        said = printable(" and ".join(named)) or "no host"
        differing.append(f"certificate is for {said}, not {peer.host}")
    if peer.application_uri not in uris:
        said = printable(" and ".join(uris)) or "no application"
        differing.append(f"certificate is for {said}, not {printable(peer.application_uri)}")
    return differing


def _same_host(asked: str, named: str) -> bool:
    try:
        return ip_address(asked) == ip_address(named)
    except ValueError:
        return asked.casefold() == named.casefold()


def _ask_for_trust(leaf: x509.Certificate, trusted: TrustList, doubts: Sequence[str]) -> str:
    uris = set(application_uris(leaf))
    known = [one for one in trusted.certificates if uris & set(application_uris(one))]
    what = "changed" if known else "untrusted"
    instead = [f"trusted until now: {thumbprint(one)}" for one in known]
    typed = thumbprint(leaf)[:SHOWN_THUMBPRINT_LENGTH]
    said = "; ".join([*doubts, *instead])
    return f"{what} certificate: uns opcua trust {typed}; {described(leaf)}; {said}"


def _doubts(chain: Sequence[x509.Certificate], trusted: TrustList, now: datetime) -> list[str]:
    """Why no trusted authority vouches for the first of the chain; RefusedError if one revoked it.

    An application's own certificate vouches for itself only, even if it could sign others.
    """
    authorities = [one for one in trusted.certificates if not application_uris(one)]
    if not authorities:
        return ["no trusted authority signed it"]
    store = verification.Store(authorities)
    verifier = _POLICY.store(store).time(now).build_client_verifier()
    try:
        verified = verifier.verify(chain[0], list(chain[1:])).chain
    except verification.VerificationError as error:
        return [f"no trusted authority signed it ({error})"]
    for certificate, issuer in pairwise(verified):
        _check_revocation(certificate, issuer, trusted)
    return []


def _check_revocation(
    certificate: x509.Certificate, issuer: x509.Certificate, trusted: TrustList
) -> None:
    if any(_revokes(crl, certificate, issuer) for crl in trusted.revocations):
        raise RefusedError(f"server certificate was revoked by {subject(issuer)}")


def _revokes(
    crl: x509.CertificateRevocationList, certificate: x509.Certificate, issuer: x509.Certificate
) -> bool:
    key = issuer.public_key()
    return (
        crl.issuer == issuer.subject == certificate.issuer
        and isinstance(key, RSAPublicKey | EllipticCurvePublicKey)
        and crl.is_signature_valid(key)
        and crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
    )


def _names_no_application(
    _policy: Policy, certificate: x509.Certificate, _constraints: x509.BasicConstraints
) -> None:
    if application_uris(certificate):
        raise ValueError("the issuer is an application, no authority")


def _may_sign(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage and not usage.key_cert_sign:
        raise ValueError("the issuer may not sign certificates")


_POLICY: Final = (
    verification.PolicyBuilder()
    .max_chain_depth(CHAIN_LENGTH_MAX)
    .extension_policies(
        ca_policy=ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _names_no_application)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign),
        ee_policy=ExtensionPolicy.permit_all(),
    )
)
