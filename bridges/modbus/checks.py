"""What must hold across the Modbus tags of a plant, beyond the shape of each source.

Owns the findings, each with where it stands. Pure: knows no device.
"""

from collections.abc import Iterator
from typing import Final

from bridges.modbus.config import EVERY_DEVICE, ModbusSettings, ModbusSource, Table
from uns.model.checks import Finding, where_of
from uns.model.plant import Plant, TagSpec

PROTOCOL: Final = "modbus"
_WRITABLE_INSTEAD: Final[dict[Table, Table]] = {"input": "holding", "discrete": "coil"}
"""The tables that can only be read (Modbus Application Protocol V1.1b3, 4.3), and the others."""


def findings(plant: Plant) -> Iterator[Finding]:
    """Every tag that no device answers for, or that none lets be written."""
    for place in plant.cells.values():
        for name, tag in place.cell.tags.items():
            bridge = plant.bridges[place.bridge_of(name)]
            if bridge.protocol == PROTOCOL:
                settings = ModbusSettings.model_validate(bridge.settings)
                for key, why in _of(tag, settings):
                    yield (*where_of(place.path), "tags", name, *key), why


def _of(tag: TagSpec, settings: ModbusSettings) -> Iterator[Finding]:
    source = ModbusSource.model_validate(tag.source)
    if source.unit == 0 and not settings.has_transaction_ids:
        yield ("source", "unit"), f"{EVERY_DEVICE}: say which one"
    if tag.writable is not None and (instead := _WRITABLE_INSTEAD.get(source.table)):
        why = f"the table '{source.table}' of a device can only be read"
        yield ("writable",), f"{why}: leave 'writable' out, or read the tag from table '{instead}'"
