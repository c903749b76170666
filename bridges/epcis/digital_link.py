"""PURE: a GS1 identifier in any of its URI forms -> its one canonical GS1 Digital Link URI.

Owns EPC URNs (EPC Tag Data Standard 1.13, 6.3) and Digital Link URIs (URI Syntax 1.2, 4.11), cut to
the finest level that CBV 2.0, 8.9.2 leaves. Knows no event.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

DOMAIN: Final = "https://id.gs1.org"
ANY: Final = "*"
_URN: Final = re.compile(r"urn:epc:(id|class|idpat):([a-z]+):(\d{6,12})\.([^\s/]+)")
_SERIAL: Final = r"[!-~]{1,30}"
_ESCAPED: Final = str.maketrans({char: f"%{ord(char):02X}" for char in "!()*+,:"})


def check_digit(digits: str) -> str:
    """The check digit of a GS1 key (General Specifications, 7.9.1)."""
    weighted = sum(int(d) * (3 if n % 2 == 0 else 1) for n, d in enumerate(reversed(digits)))
    return str(-weighted % 10)


class _Scheme(NamedTuple):
    """How an EPC of a scheme is cut: `prefix` and reference have `digits` together (None: free)."""

    digits: int | None
    build: Callable[[str, str, Sequence[str]], str | None]


def _keyed(digits: str) -> str:
    return digits + check_digit(digits)


def _gtin(prefix: str, reference: str) -> str:
    """The indicator digit stands before the company prefix."""
    return _keyed(reference[0] + prefix + reference[1:])


def _of_gtin(qualifier: str) -> Callable[[str, str, Sequence[str]], str | None]:
    def build(prefix: str, reference: str, rest: Sequence[str]) -> str:
        return f"/01/{_gtin(prefix, reference)}{_qualified(qualifier, rest)}"

    return build


def _itip(prefix: str, reference: str, rest: Sequence[str]) -> str | None:
    if len(rest) < 3 or not re.fullmatch(r"\d\d\d\d", rest[0] + rest[1]):  # noqa: PLR2004 - piece, total, serial
        return None
    return f"/8006/{_gtin(prefix, reference)}{rest[0]}{rest[1]}{_qualified('21', rest[2:])}"


def _sgln(prefix: str, reference: str, rest: Sequence[str]) -> str:
    """An extension of 0 means that there is none."""
    extension = "" if rest == ["0"] else _qualified("254", rest)
    return f"/414/{_keyed(prefix + reference)}{extension}"


def _appended(ai: str, lead: str = "") -> Callable[[str, str, Sequence[str]], str | None]:
    """A key whose serial follows its check digit at once."""

    def build(prefix: str, reference: str, rest: Sequence[str]) -> str:
        return f"/{ai}/{lead}{_keyed(prefix + reference)}{_serial(rest)}"

    return build


def _plain(ai: str) -> Callable[[str, str, Sequence[str]], str | None]:
    """A key that is digits only."""

    def build(prefix: str, reference: str, rest: Sequence[str]) -> str | None:
        return None if rest else f"/{ai}/{_keyed(prefix + reference)}"

    return build


def _sscc(prefix: str, reference: str, rest: Sequence[str]) -> str | None:
    return None if rest else f"/00/{_keyed(reference[0] + prefix + reference[1:])}"


def _unchecked(ai: str) -> Callable[[str, str, Sequence[str]], str | None]:
    """A key without check digit: all behind the prefix is its reference."""

    def build(prefix: str, reference: str, rest: Sequence[str]) -> str:
        return f"/{ai}/{prefix}{_escaped('.'.join((reference, *rest)))}"

    return build


def _cpi(prefix: str, reference: str, rest: Sequence[str]) -> str:
    return f"/8010/{prefix}{_escaped(reference)}{_qualified('8011', rest)}"


def _qualified(ai: str, rest: Sequence[str]) -> str:
    return f"/{ai}/{serial}" if (serial := _serial(rest)) else ""


def _serial(rest: Sequence[str]) -> str:
    return "" if list(rest) == [ANY] else _escaped(".".join(rest))


def _escaped(text: str) -> str:
    return text.translate(_ESCAPED)


_SCHEMES: Final[dict[str, _Scheme]] = {
    "sgtin": _Scheme(13, _of_gtin("21")),
    "lgtin": _Scheme(13, _of_gtin("10")),
    "upui": _Scheme(13, _of_gtin("235")),
    "itip": _Scheme(13, _itip),
    "sscc": _Scheme(17, _sscc),
    "sgln": _Scheme(12, _sgln),
    "pgln": _Scheme(12, _plain("417")),
    "grai": _Scheme(12, _appended("8003", "0")),
    "gdti": _Scheme(12, _appended("253")),
    "sgcn": _Scheme(12, _appended("255")),
    "gsrn": _Scheme(17, _plain("8018")),
    "gsrnp": _Scheme(17, _plain("8017")),
    "gsin": _Scheme(16, _plain("402")),
    "giai": _Scheme(None, _unchecked("8004")),
    "ginc": _Scheme(None, _unchecked("401")),
    "cpi": _Scheme(None, _cpi),
}


class _Key(NamedTuple):
    """A primary key of a Digital Link: its form, and its qualifiers from the finest on."""

    form: str
    qualifiers: tuple[str, ...] = ()


_KEYS: Final[dict[str, _Key]] = {
    "00": _Key(r"\d{18}"),
    "01": _Key(r"\d{8}|\d{12,14}", ("21", "235", "10")),
    "253": _Key(rf"\d{{13}}({_SERIAL})?"),
    "255": _Key(r"\d{13,25}"),
    "401": _Key(_SERIAL),
    "402": _Key(r"\d{17}"),
    "414": _Key(r"\d{13}", ("254",)),
    "417": _Key(r"\d{13}"),
    "8003": _Key(rf"\d{{14}}({_SERIAL})?"),
    "8004": _Key(rf"\d{{4}}{_SERIAL}"),
    "8006": _Key(r"\d{18}", ("21", "10")),
    "8010": _Key(rf"\d{{4}}{_SERIAL}", ("8011",)),
    "8017": _Key(r"\d{18}"),
    "8018": _Key(r"\d{18}"),
}
_NAMES: Final[dict[str, str]] = {
    "sscc": "00", "gtin": "01", "gdti": "253", "gcn": "255", "ginc": "401", "gsin": "402",
    "gln": "414", "party": "417", "grai": "8003", "giai": "8004", "itip": "8006", "cpid": "8010",
    "gsrnp": "8017", "gsrn": "8018", "cpv": "22", "lot": "10", "ser": "21",
}  # fmt: skip
"""The short names that were allowed until Digital Link 1.1."""


def canonical(uri: str) -> str | None:
    """The canonical Digital Link of a GS1 identifier; None for any other text.

    `urn:epc:id:sgln:0614141.00777.0` and `https://shop.example/gln/0614141007776?a=b` are both
    `https://id.gs1.org/414/0614141007776`.
    """
    if uri.startswith("urn:epc:"):
        return _of_urn(uri)
    return _of_link(uri) if uri.startswith(("http://", "https://")) else None


def _of_urn(uri: str) -> str | None:
    found = _URN.fullmatch(uri)
    scheme = _SCHEMES.get(found[2]) if found else None
    if not found or not scheme:
        return None
    prefix, (reference, *rest) = found[3], found[4].split(".")
    if scheme.digits is None:
        return DOMAIN + (scheme.build(prefix, reference, rest) or "") if reference else None
    whole = prefix + reference
    if not whole.isdigit() or len(whole) != scheme.digits:
        return None
    if not reference and scheme.digits != 12:  # noqa: PLR2004 - only a GLN's may be all prefix
        return None
    path = scheme.build(prefix, reference, rest)
    return DOMAIN + path if path else None


def _of_link(uri: str) -> str | None:
    try:
        segments = urlsplit(uri).path.split("/")
    except ValueError:
        return None
    named = [_NAMES.get(segment, segment) for segment in segments]
    for place, ai in enumerate(named[:-1]):
        key, value = _KEYS.get(ai), segments[place + 1]
        if key and re.fullmatch(key.form, value):
            number = value.zfill(14) if ai == "01" else value
            return (
                f"{DOMAIN}/{ai}/{number}{_finest(key, named[place + 2 :], segments[place + 2 :])}"
            )
    return None


def _finest(key: _Key, named: Sequence[str], values: Sequence[str]) -> str:
    """Of what qualifies a key, the finest level only: a serial number makes its lot superfluous."""
    given = dict(zip(named[::2], values[1::2], strict=False))
    return next((f"/{ai}/{given[ai]}" for ai in key.qualifiers if given.get(ai)), "")
