"""PURE: input that a bridge refused, as a fact with its original."""

import base64
import hashlib
from typing import Final

from uns.fold import Draft
from uns.model.events import Rejected
from uns.model.observation import BadInput

ORIGINAL_BYTES_MAX: Final = 64_000


def rejected(home: str, bad: BadInput, now_ms: int) -> Draft:
    """Said at `home`, at the time of the input or else now; at most ORIGINAL_BYTES_MAX of it."""
    body = {
        "reject_class": bad.reject_class,
        "origin": bad.origin,
        "reason": bad.reason,
        "original_base64": base64.b64encode(bad.original[:ORIGINAL_BYTES_MAX]).decode(),
        "original_sha256": hashlib.sha256(bad.original).hexdigest(),
    }
    return Draft(home, Rejected.type_name, bad.at_ms or now_ms, body)
