"""PURE: what a payload of any kind says: JSON or bare text, a value in it, its time.

Owns the reading of bytes. Does not know topics, tags or what a value is for.
"""

import json
from datetime import datetime
from math import isfinite
from typing import Any, Final, NamedTuple

from bridges.mqtt.config import Value, Word
from uns.model.observation import Scalar

BYTES_MAX: Final = 65_536
INTEGER_MAX: Final = 2**63 - 1
SHOWN_LENGTH_MAX: Final = 40
_PER_MS: Final = ((1e14, 1e-3), (1e11, 1.0), (0.0, 1e3))
"""From this number on a time is in us, in ms, in s since 1970; and what makes ms of it."""


class Unfit(NamedTuple):
    """Why there is no value; `is_absent`: its source says that there is none."""

    reason: str
    is_absent: bool = False


def parsed(payload: bytes) -> Any | Unfit:
    """A JSON value; what is no JSON is a text."""
    if not payload:
        return Unfit("deleted at its source", is_absent=True)
    if len(payload) > BYTES_MAX:
        return Unfit(f"{len(payload)} bytes: at most {BYTES_MAX}")
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        return Unfit(f"not UTF-8 at byte {error.start}")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text.strip()


def found(document: Any | Unfit, pointer: str) -> Any | Unfit:
    """What stands at a JSON pointer (RFC 6901)."""
    if isinstance(document, Unfit) or not pointer:
        return document
    at = document
    for raw in pointer[1:].split("/"):
        key = raw.replace("~1", "/").replace("~0", "~")
        if isinstance(at, dict) and key in at:
            at = at[key]
        elif isinstance(at, list) and key.isdecimal() and int(key) < len(at):
            at = at[int(key)]
        else:
            return Unfit(f"nothing at {pointer}")
    return at


def value_of(document: Any | Unfit, rule: Value, pointer: str, kind: str) -> Scalar | Unfit:
    """The value that a rule reads; `kind` is the rule's type, or what the reader needs."""
    value = found(document, rule.value if rule.value is not None else pointer)
    if isinstance(value, Unfit):
        return value
    if value is None:
        return Unfit("null", is_absent=True)
    if isinstance(value, dict | list):
        return Unfit("an object: say with `value` what of it")
    word = word_of(value)
    if word in map(word_of, rule.absent):
        return Unfit(f"{shown(value)} stands for none", is_absent=True)
    if rule.values:
        listed = rule.values.get(word)
        return Unfit(f"no value stands for {shown(value)}") if listed is None else listed
    return _typed(value, kind, rule.scale)


def word_of(value: Word) -> str:
    """A value as a table names it: true, 7 (also for 7.0), Running."""
    if isinstance(value, bool):
        return str(value).lower()
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if is_whole else str(value)


def shown(value: Any) -> str:
    """A foreign value in a sentence."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_LENGTH_MAX else f"{text[: SHOWN_LENGTH_MAX - 1]}…"


def _typed(value: Word, kind: str, scale: float) -> Scalar | Unfit:
    if kind == "text":
        return word_of(value)
    if isinstance(value, str) and kind == "number":
        number = _number(value)
        return Unfit(f"{shown(value)} is no number") if number is None else _scaled(number, scale)
    return value if isinstance(value, bool | str) else _scaled(value, scale)


def _number(text: str) -> float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None


def _scaled(number: float, scale: float) -> Scalar | Unfit:
    scaled = number if scale == 1 or not isfinite(number) else number * scale
    if not isfinite(scaled) or abs(scaled) > INTEGER_MAX:
        return Unfit(f"{shown(number)} is out of range")
    return scaled


def time_ms(value: Any | Unfit) -> int | None:
    """A time in ms since 1970; None for what is none."""
    if isinstance(value, str) and not isinstance(_number(value), int):
        return _iso_ms(value)
    number = _number(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    if not 0 <= number < INTEGER_MAX:
        return None
    factor = next(factor for least, factor in _PER_MS if number >= least)
    return round(number * factor)


def _iso_ms(text: str) -> int | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if at.utcoffset() is None else round(at.timestamp() * 1_000)
