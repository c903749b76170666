"""The folder DATA/pki: our own certificate, the trusted ones and those that were rejected.

Owns its files and their names. What a certificate is worth is decided in certificate.py; nothing
here opens a connection, so the command line uses it as the bridge does.

    own/certificate.der, own/key.pem   made once; the key is for its owner only
    trusted/*.der                      certificates of servers and of authorities
    rejected/THUMBPRINT.der            servers met and not trusted, the newest REJECTED_MAX
    crl/*.crl                          revocation lists of trusted authorities, DER or PEM
"""

import re
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Final, NamedTuple, TypeVar
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bridges.opcua.certificate import TrustList, application_uris, thumbprint, validity_fault
from bridges.opcua.errors import RefusedError

REJECTED_MAX: Final = 50
OWN_KEY_BITS: Final = 2048
"""What every server takes: small ones know no longer keys."""
OWN_VALIDITY: Final = timedelta(days=3_652)
CLOCK_TOLERANCE: Final = timedelta(days=1)
"""Devices whose clock is behind take a certificate that was made just now."""
PRIVATE_BITS: Final = 0o077
_PEM: Final = b"-----BEGIN"
T = TypeVar("T")


class Identity(NamedTuple):
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def application_uri(self) -> str:
        """The URI that the certificate gives the application."""
        return application_uris(self.certificate)[0]


@dataclass(frozen=True, slots=True)
class Pki:
    """Paths below DATA/pki."""

    root: Path

    @property
    def own(self) -> Path:
        """The folder of our own certificate and key."""
        return self.root / "own"

    @property
    def certificate(self) -> Path:
        """Our certificate: the file to upload to servers."""
        return self.own / "certificate.der"

    @property
    def trusted(self) -> Path:
        """What an administrator trusts."""
        return self.root / "trusted"

    @property
    def rejected(self) -> Path:
        """What was met and not trusted."""
        return self.root / "rejected"

    def trust_list(self) -> TrustList:
        """What is trusted now; RefusedError names a file that cannot be read."""
        certificates = tuple(map(read_certificate, sorted(self.trusted.glob("*.der"))))
        return TrustList(certificates, tuple(map(_read_crl, sorted(self.root.glob("crl/*.crl")))))

    def reject(self, certificate: x509.Certificate) -> None:
        """Keep a certificate to be looked at; the oldest give way."""
        path = self.rejected / f"{thumbprint(certificate)}.der"
        if not path.exists():
            _write(path, certificate)
            for old in self._rejected_files()[REJECTED_MAX:]:
                old.unlink(missing_ok=True)

    def list_rejected(self) -> list[x509.Certificate]:
        """What was rejected, the newest first."""
        return [read_certificate(path) for path in self._rejected_files()]

    def trust(self, certificate: x509.Certificate) -> Path:
        """Trust a certificate from now on; gives its file."""
        name = f"{thumbprint(certificate)}.der"
        _write(self.trusted / name, certificate)
        (self.rejected / name).unlink(missing_ok=True)
        return self.trusted / name

    def _rejected_files(self) -> list[Path]:
        found = sorted(self.rejected.glob("*.der"))
        return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def own_identity(pki: Pki, now: datetime) -> Identity:
    """Our certificate and key, made at the first call.

    RefusedError names the file and the fix when they are there and cannot be used.
    """
    if not pki.own.exists():
        _make_own(pki, now)
    fix = f"put it right, or remove {pki.own}, and upload the new certificate to each server"
    try:
        identity = read_identity(pki.certificate, pki.own / "key.pem")
    except RefusedError as error:
        raise RefusedError(f"{error}; {fix}") from None
    if fault := validity_fault(identity.certificate, now):
        raise RefusedError(f"own certificate {fault}: {pki.certificate}; {fix}")
    if not application_uris(identity.certificate):
        raise RefusedError(f"own certificate has no application URI: {pki.certificate}; {fix}")
    return identity


def read_identity(certificate_file: Path, key_file: Path) -> Identity:
    """A certificate and its key; RefusedError when they do not load or do not belong together."""
    certificate = read_certificate(certificate_file)
    key = _read_key(key_file)
    if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != certificate.public_key():
        raise RefusedError(f"{key_file} is not the RSA key of {certificate_file}")
    return Identity(certificate, key)


def read_certificate(path: Path) -> x509.Certificate:
    """A certificate in DER or PEM; RefusedError names the file."""
    return _parsed(path, x509.load_der_x509_certificate, x509.load_pem_x509_certificate)


def read_private(path: Path) -> bytes:
    """The content of a file that nobody but its owner can read; RefusedError otherwise."""
    try:
        if path.stat().st_mode & PRIVATE_BITS:
            raise RefusedError(f"others can read {path}: chmod 600 {path}")
        return path.read_bytes()
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}") from None


def read_password(path: Path) -> str:
    """The first line of a private file; RefusedError when it is no text."""
    try:
        return read_private(path).decode().partition("\n")[0].rstrip("\r")
    except UnicodeDecodeError:
        raise RefusedError(f"{path} is no UTF-8 text") from None


def _read_crl(path: Path) -> x509.CertificateRevocationList:
    return _parsed(path, x509.load_der_x509_crl, x509.load_pem_x509_crl)


def _read_key(path: Path) -> object:
    content = read_private(path)
    load = load_pem_private_key if content.startswith(_PEM) else load_der_private_key
    try:
        return load(content, password=None)
    except (ValueError, TypeError) as error:
        raise RefusedError(f"{path} holds no private key without a password: {error}") from None


def _parsed(path: Path, from_der: Callable[[bytes], T], from_pem: Callable[[bytes], T]) -> T:
    try:
        content = path.read_bytes()
        return (from_pem if content.startswith(_PEM) else from_der)(content)
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise RefusedError(f"{path} cannot be read: {error}") from None


def _write(path: Path, certificate: x509.Certificate) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{uuid4().hex}")
    new.write_bytes(certificate.public_bytes(Encoding.DER))
    new.replace(path)


def _make_own(pki: Pki, now: datetime) -> None:
    """Make the folder whole and rename it: of several bridges that begin at once, one wins."""
    pki.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = Path(mkdtemp(prefix=".own-", dir=pki.root))
    try:
        key = rsa.generate_private_key(public_exponent=65_537, key_size=OWN_KEY_BITS)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        key_file = new / "key.pem"
        key_file.touch(mode=0o600)
        key_file.write_bytes(pem)
        _write(new / "certificate.der", _self_signed(key, now))
        new.rename(pki.own)
    except OSError:
        if not pki.own.exists():
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _self_signed(key: rsa.RSAPrivateKey, now: datetime) -> x509.Certificate:
    """An application instance certificate (OPC 10000-6, 6.2.2)."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()) or "localhost"
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "uns-mes OPC UA bridge"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "uns-mes"),
            x509.NameAttribute(NameOID.DOMAIN_COMPONENT, host),
        ]
    )
    uri = x509.UniformResourceIdentifier(f"urn:{host}:uns-mes:opcua-bridge:{uuid4().hex[:8]}")
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_TOLERANCE)
        .not_valid_after(now + OWN_VALIDITY)
        .add_extension(x509.SubjectAlternativeName([uri, x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_KEY_USAGE, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


_KEY_USAGE: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=True,
    key_encipherment=True,
    data_encipherment=True,
    key_agreement=False,
    key_cert_sign=True,  # asked of a self-signed one: it signs itself
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
