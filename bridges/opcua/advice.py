"""What to do about tags that an OPC UA server did not tell well, in an engineer's words.

Owns the fixes by reason. Looks at the server again where only it knows the answer: which node
comes nearest to one that it does not have. Only reads.
"""

import asyncio
import re
from collections.abc import Mapping
from contextlib import aclosing, suppress
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path
from typing import Final, NamedTuple

from bridges.opcua.browse import browsing
from bridges.opcua.config import OpcUaSettings, OpcUaSource
from bridges.opcua.errors import OpcUaError
from uns.model.observation import Reading
from uns.model.plant import Place

Key = tuple[str, str]
LOOKED_AT_MAX: Final = 20_000
LOOK_S_MAX: Final = 10.0
NEAR_ENOUGH: Final = 0.5
NEAREST_ASKED_MAX: Final = 20
_UNKNOWN_NODE: Final = re.compile(r"BadNodeId(Unknown|Invalid)")
_UNKNOWN_NAMESPACE: Final = re.compile(r"no namespace (?P<uri>\S*) among (?P<known>.*)")
_FIXES: Final = (
    (r"certificate: (?P<typed>uns opcua trust \w+)",
     "compare the thumbprint with the one the server shows, then type `{typed}`"),
    (r"does not trust (our certificate|\S+)",
     "trust our certificate on the server: `uns opcua certificate` shows its file and thumbprint"),
    (r"server offers .*; (?P<fix>.*)", "{fix}"),
    (r"server does not let", "check user, password and the user's rights on the server"),
    (r"connection refused", "nothing listens at {url}: is the server up, is the port right?"),
    (r"unknown host", "no such name: check the host of {url}, or use its address"),
    (r"no answer in time|connection lost",
     "{url} was tried and did not answer: is it on, is a firewall between?"),
    (r"BadUserAccessDenied|BadNotReadable", "let our user read the node, on the server"),
    (r"an array of|a structure of", "add `path` to the source: `uns discover opcua` shows a first"),
    (r"no field|no array|no structure|the array has", "check `path` of the source"),
    (r"BadWaitingForInitialData|no value within",
     "the server has no value yet: does its program run, is its device connected?"),
)  # fmt: skip


class Nearest(NamedTuple):
    """The node that comes nearest to the one asked for, so far."""

    score: float = NEAR_ENOUGH
    node: str = ""
    namespace_uri: str = ""


async def fixes(
    settings: OpcUaSettings, places: Mapping[str, Place], pki: Path, failed: Mapping[Key, Reading]
) -> dict[Key, str]:
    """What to do about each failed tag; a tag is left out where only its reason helps."""
    reasons = {key: reading.reason or "" for key, reading in failed.items()}
    found = {key: fix for key, why in reasons.items() if (fix := fix_of(why, settings.url))}
    unknown = {
        key: _source(places, key) for key, why in reasons.items() if _UNKNOWN_NODE.search(why)
    }
    return found | await _nearest_nodes(settings, pki, unknown)


def fix_of(reason: str, url: str) -> str | None:
    """The fix for a reason, where the reason alone tells it."""
    if unknown := _UNKNOWN_NAMESPACE.search(reason):
        near = get_close_matches(unknown["uri"], unknown["known"].split(", "), n=1, cutoff=0)
        return f"set namespace_uri to one that the server has, as '{near[0]}'" if near else None
    for pattern, fix in _FIXES:
        if match := re.search(pattern, reason):
            return fix.format(url=url, **match.groupdict())
    return None


def _source(places: Mapping[str, Place], key: Key) -> OpcUaSource:
    return OpcUaSource.model_validate(places[key[0]].cell.tags[key[1]].source)


async def _nearest_nodes(
    settings: OpcUaSettings, pki: Path, unknown: Mapping[Key, OpcUaSource]
) -> dict[Key, str]:
    asked = dict(list(unknown.items())[:NEAREST_ASKED_MAX])
    best = dict.fromkeys(asked, Nearest())
    if asked:
        with suppress(OpcUaError, TimeoutError):
            async with asyncio.timeout(LOOK_S_MAX):
                await _look(settings, pki, asked, best)
    return {
        key: _meant(near, asked[key].namespace_uri or settings.namespace_uri)
        for key, near in best.items()
    }


async def _look(
    settings: OpcUaSettings,
    pki: Path,
    asked: Mapping[Key, OpcUaSource],
    best: dict[Key, Nearest],
) -> None:
    """Go over the server's nodes; `best` has the nearest of those seen so far."""
    async with browsing(settings, pki) as browser, aclosing(browser.variables()) as pages:
        async for page in pages:
            for key, source in asked.items():
                matcher = SequenceMatcher(b=source.node.lower())
                for variable in page:
                    matcher.set_seq1(variable.node.lower())
                    if matcher.quick_ratio() > best[key].score:
                        score = matcher.ratio()
                        near = Nearest(score, variable.node, variable.namespace_uri)
                        best[key] = max(best[key], near)
            if browser.seen > LOOKED_AT_MAX:
                return


def _meant(near: Nearest, namespace_uri: str) -> str:
    if not near.node:
        return "the server has no such node: `uns discover opcua` lists what it has"
    where = "" if near.namespace_uri == namespace_uri else f" in namespace {near.namespace_uri}"
    return f"the server has no such node: did you mean '{near.node}'{where}?"
