"""PURE: what is wrong with the ERP bridges over HTTP of a plant, beyond the shape of settings.

Owns the findings, each with where it stands. Does not know what the words are used for.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from bridges.erp_rest.config import ErpRestSettings
from uns.model.checks import Finding, did_you_mean
from uns.model.plant import Plant

PROTOCOL: Final = "erp-rest"
JUDGE: Final = "erp"


def findings(plant: Plant) -> Iterator[Finding]:
    """Words for cells and items that the plant does not have; orders that nobody would judge."""
    cells = {path.rpartition("/")[2] for path in plant.cells}
    for name, bridge in plant.bridges.items():
        if bridge.protocol != PROTOCOL:
            continue
        settings = ErpRestSettings.model_validate(bridge.settings)
        yield from _unknown(name, "operations", "cell", settings.operations, cells)
        yield from _unknown(name, "items", "item", settings.items, plant.items)
        yield from _unjudged(name, settings, plant)


def _unknown(
    name: str, setting: str, kind: str, words: Iterable[str], known: Iterable[str]
) -> Iterator[Finding]:
    choices = list(known)
    for word in words:
        if word not in choices:
            hint = did_you_mean(word, choices)
            yield ("bridges", name, setting, word), f"unknown {kind} '{word}'{hint}"


def _unjudged(name: str, settings: ErpRestSettings, plant: Plant) -> Iterator[Finding]:
    taking = [key for key in ("poll_ms", "listen_port") if getattr(settings, key) is not None]
    if taking and all(bridge.protocol != JUDGE for bridge in plant.bridges.values()):
        where = ("bridges", name, taking[0])
        yield where, f"orders that come in are judged by a bridge of protocol {JUDGE}: add one"
