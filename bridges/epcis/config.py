"""The settings of the EPCIS bridge, as namespace.yaml states them."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr

from bridges.epcis.digital_link import check_digit

_KEY: Final = re.compile(r"\d{8}|\d{12,14}")
_DOMAIN: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?")


def _is_key(digits: str) -> str:
    if not _KEY.fullmatch(digits) or check_digit(digits[:-1]) != digits[-1]:
        raise ValueError("no GS1 key: 8, 12, 13 or 14 digits, the last one being the check digit")
    return digits


def _is_domain(text: str) -> str:
    if not _DOMAIN.fullmatch(text):
        raise ValueError("no domain name: write it as id.acme.example")
    return text


Gtin = Annotated[StrictStr, AfterValidator(_is_key)]
Gln = Annotated[StrictStr, Field(pattern=r"^\d{13}$"), AfterValidator(_is_key)]


class EpcisSettings(BaseModel):
    """A folder of EPCIS documents, and what our things are called outside."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    folder: str = "epcis"
    """Where `in`, `done` and `error` are: relative to the hub's data folder unless absolute."""
    site: str | None = None
    """The site at which what partners tell goes on record; without it, the first one."""
    domain: Annotated[StrictStr, AfterValidator(_is_domain)] | None = None
    """A domain of yours, for what has no GS1 key; without it `<enterprise>.invalid`."""
    items: dict[str, Gtin] = {}
    """The GTIN of an item, in quotes: its lots and units are named by it."""
    places: dict[str, Gln] = {}
    """The GLN of a site, area, line or cell by its path, in quotes."""
    poll_ms: Annotated[int, Field(ge=50, le=600_000)] = 1_000
    """How often `in` is looked at."""
    settle_ms: Annotated[int, Field(ge=0, le=60_000)] = 500
    """A file is read once its size and time have not changed for this long."""
    file_bytes_max: Annotated[int, Field(ge=100, le=2_000_000_000)] = 500_000_000
    """A larger file is refused; it is read piece by piece."""
