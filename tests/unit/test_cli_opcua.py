"""`uns opcua`: our certificate, the rejected ones, trusting."""

import stat
from pathlib import Path

import pytest

from bridges.opcua.certificate import thumbprint
from bridges.opcua.trust import Pki, read_certificate
from tests.certificates import URI, authority, issued
from tests.terminal import Cli
from uns.cli import opcua_certificates

PLC = issued()
THUMBPRINT = thumbprint(PLC.certificate)


def test_our_certificate_is_made_once_and_shown(uns: Cli, tmp_path: Path) -> None:
    first = uns("opcua", "certificate", "--data", tmp_path, "--json").json
    assert first["file"] == str(tmp_path / "pki" / "own" / "certificate.der")
    assert first["thumbprint"] == thumbprint(read_certificate(Path(first["file"])))
    shown = uns("opcua", "certificate", "--data", tmp_path)
    assert shown.code == 0
    for value in first.values():
        assert value in shown.out
    assert stat.S_IMODE((tmp_path / "pki" / "own" / "key.pem").stat().st_mode) == 0o600


def test_our_certificate_that_does_not_load_is_named(uns: Cli, tmp_path: Path) -> None:
    own = tmp_path / "pki" / "own"
    own.mkdir(parents=True)
    said = uns.fails(1, "opcua", "certificate", "--data", tmp_path)
    assert f"{own / 'certificate.der'}: No such file" in said


def test_rejected_certificates_are_listed(uns: Cli, tmp_path: Path) -> None:
    assert uns("opcua", "trust", "--data", tmp_path).out == "no certificate was rejected\n"
    assert uns("opcua", "trust", "--data", tmp_path, "--json").json == []
    Pki(tmp_path / "pki").reject(PLC.certificate)
    (row,) = uns("opcua", "trust", "--data", tmp_path, "--json").json
    assert (row["thumbprint"], row["subject"], row["application_uri"]) == (
        THUMBPRINT, "CN=plc-1", URI,
    )  # fmt: skip
    shown = uns("opcua", "trust", "--data", tmp_path).out
    assert all(value in shown for value in row.values())


def test_a_thumbprint_or_its_begin_is_trusted(uns: Cli, tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki")
    colons = ":".join(THUMBPRINT.lower()[at : at + 2] for at in range(0, 40, 2))
    for typed in (THUMBPRINT, THUMBPRINT[:12], colons):
        pki.reject(PLC.certificate)
        answer = uns("opcua", "trust", typed, "--data", tmp_path, "--json").json
        assert answer["file"] == str(pki.trusted / f"{THUMBPRINT}.der")
        assert pki.list_rejected() == []
        assert pki.trust_list().certificates == (PLC.certificate,)
        Path(answer["file"]).unlink()


def test_a_file_is_trusted(uns: Cli, tmp_path: Path) -> None:
    ca = authority()
    for name, content in {"ca.der": ca.der, "ca.pem": ca.pem}.items():
        (tmp_path / name).write_bytes(content)
        answer = uns("opcua", "trust", tmp_path / name, "--data", tmp_path)
        assert "CN=plant-ca" in answer.out
        assert Pki(tmp_path / "pki").trust_list().certificates == (ca.certificate,)


def test_what_cannot_be_trusted_is_said(uns: Cli, tmp_path: Path) -> None:
    where = ("--data", tmp_path)
    assert "neither a file nor" in uns.fails(2, "opcua", "trust", "plc.der", *where)
    assert "uns opcua trust" in uns.fails(1, "opcua", "trust", "ABCD", *where)
    (tmp_path / "x.der").write_bytes(b"x")
    assert "cannot be read" in uns.fails(2, "opcua", "trust", tmp_path / "x.der", *where)
    assert "holds no hub" in uns.fails(1, "opcua", "trust", "--data", tmp_path / "none")


def test_a_begin_that_two_share_is_not_enough(
    uns: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pki = Pki(tmp_path / "pki")
    for uri in ("urn:a", "urn:b"):
        pki.reject(issued(uri=uri).certificate)
    monkeypatch.setattr(opcua_certificates, "thumbprint", lambda _: "ABCDEF")
    said = uns.fails(2, "opcua", "trust", "ABCD", "--data", tmp_path)
    assert said == "uns: 2 rejected certificates begin with ABCD: give more"
    assert len(pki.list_rejected()) == 2
