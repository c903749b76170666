"""Bridges: one folder a protocol. They meet on the broker, never in code.

PROTOCOLS is the one table of what namespace.yaml may name: settings and tag addresses.
"""

from typing import Final

from bridges.erp.config import ErpSettings
from bridges.modbus.config import ModbusSettings, ModbusSource
from bridges.opcua.config import OpcUaSettings, OpcUaSource
from bridges.sparkplug.config import SparkplugSettings, SparkplugSource
from uns.model.namespace import Protocol

PROTOCOLS: Final[dict[str, Protocol]] = {
    "opcua": Protocol(OpcUaSettings, OpcUaSource),
    "modbus": Protocol(ModbusSettings, ModbusSource),
    "sparkplug": Protocol(SparkplugSettings, SparkplugSource),
    "erp": Protocol(ErpSettings, None),
}
