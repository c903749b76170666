"""What the commands of `uns opcua` do with the certificates of a data folder.

Owns which certificate is meant and how it is shown. The files are bridges.opcua.trust's.
"""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.x509 import Certificate

from bridges.opcua.certificate import application_uris, subject, thumbprint
from bridges.opcua.errors import RefusedError, printable
from bridges.opcua.trust import Pki, own_identity, read_certificate
from uns.cli.errors import CommandError, UsageError
from uns.cli.folder import find_folder
from uns.cli.output import print_json, print_table, say

_THUMBPRINT: Final = re.compile(r"[0-9A-F]{4,40}")


def show_own(data: Path | None, *, as_json: bool) -> None:
    """Print where our certificate is and what it says; make it if there is none."""
    pki = _pki(data)
    try:
        own = own_identity(pki, datetime.now(UTC)).certificate
    except RefusedError as error:
        raise CommandError(str(error)) from None
    _show(pki.certificate, own, as_json=as_json)


def list_rejected(data: Path | None, *, as_json: bool) -> None:
    """Print what may be trusted, the newest first."""
    rows = [_facts(one) for one in _rejected(_pki(data))]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(tuple(rows[0]), [tuple(row.values()) for row in rows])
    else:
        say("no certificate was rejected")


def trust(which: str, data: Path | None, *, as_json: bool) -> None:
    """Trust the certificate that a thumbprint, its begin or a file names."""
    pki = _pki(data)
    chosen = _from_file(Path(which)) if Path(which).is_file() else _from_rejected(which, pki)
    _show(pki.trust(chosen), chosen, as_json=as_json)


def _pki(data: Path | None) -> Pki:
    """The certificates of a data folder, which may be there before a hub runs on it."""
    root = data.resolve() if data and data.is_dir() else find_folder(data).root
    return Pki(root / "pki")


def _rejected(pki: Pki) -> list[Certificate]:
    try:
        return pki.list_rejected()
    except RefusedError as error:
        raise CommandError(str(error)) from None


def _from_file(file: Path) -> Certificate:
    try:
        return read_certificate(file)
    except RefusedError as error:
        raise UsageError(str(error)) from None


def _from_rejected(which: str, pki: Pki) -> Certificate:
    digits = re.sub(r"[:\s]", "", which).upper()
    if not _THUMBPRINT.fullmatch(digits):
        raise UsageError(f"{which!r} is neither a file nor a thumbprint of 4 to 40 digits")
    fitting = [one for one in _rejected(pki) if thumbprint(one).startswith(digits)]
    if not fitting:
        raise CommandError(f"no rejected certificate {digits}: `uns opcua trust` lists them")
    if len(fitting) > 1:
        raise UsageError(f"{len(fitting)} rejected certificates begin with {digits}: give more")
    return fitting[0]


def _show(file: Path, one: Certificate, *, as_json: bool) -> None:
    shown = {"file": str(file), **_facts(one)}
    if as_json:
        print_json(shown)
    else:
        for name, value in shown.items():
            say(f"{name:<16} {value or '-'}")


def _facts(one: Certificate) -> dict[str, str | None]:
    return {
        "thumbprint": thumbprint(one),
        "subject": subject(one),
        "application_uri": printable(", ".join(application_uris(one))) or None,
        "valid_from": f"{one.not_valid_before_utc:%Y-%m-%d}",
        "valid_to": f"{one.not_valid_after_utc:%Y-%m-%d}",
    }
