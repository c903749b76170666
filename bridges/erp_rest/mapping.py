"""PURE: the table of counterparts, and what of an order means something to us.

A further counterpart is a module like generic.py and a row here.
"""

import hashlib
import json
from typing import Final

from bridges.erp_rest.config import ErpRestSettings
from bridges.erp_rest.contract import Adapter, Document, Terms
from bridges.erp_rest.erpnext import ERPNEXT
from bridges.erp_rest.generic import GENERIC
from bridges.erp_rest.odoo import ODOO
from bridges.erp_rest.sap import SAP
from bridges.erp_rest.tryton import TRYTON
from uns.model.plant import Plant

ADAPTERS: Final[dict[str, Adapter]] = {
    "generic": GENERIC,
    "sap-odata": SAP,
    "odoo": ODOO,
    "erpnext": ERPNEXT,
    "tryton": TRYTON,
}
DIGEST_LENGTH: Final = 24


def terms_of(settings: ErpRestSettings, plant: Plant) -> Terms:
    """The counterpart's words; times without an offset are those of the first site."""
    zone = next(iter(plant.sites.values())).time_zone
    return Terms(settings.operations, settings.items, settings.units, settings.constants, zone)


def digest_of(order: Document) -> str:
    """What makes an order the same one again: its content."""
    said = {key: value for key, value in order.items() if value is not None}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:DIGEST_LENGTH]


def is_same(order: Document, other: Document) -> bool:
    """Whether two orders differ in their revision at most.

    Counterparts count a change of an order for each confirmation that we tell of it.
    """
    return digest_of({**order, "revision": None}) == digest_of({**other, "revision": None})


def site_of(order: Document, plant: Plant) -> str:
    """Where an order is released: at the site whose line makes the item, else at the first."""
    line = plant.line_of_item(str(order.get("item")))
    site = line.split("/")[1] if line else next(iter(plant.sites))
    return f"{plant.enterprise}/{site}"


def routing_of(item: str, line: str, plant: Plant) -> list[str]:
    """The names of the cells that an item passes at a line; all of them for a foreign item."""
    paths = [path for path in plant.operations(item) if path.startswith(f"{line}/")]
    places = paths or [place.path for place in plant.lines.get(line, ())]
    return [path.rpartition("/")[2] for path in places]
