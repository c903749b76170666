"""Bridges: one folder a protocol. They meet on the broker, never in code.

PROTOCOLS is the one table of what namespace.yaml may name: settings and tag addresses.
"""

from typing import Final

from bridges.desk.config import DeskSettings
from bridges.epcis.config import EpcisSettings
from bridges.epcis.mapping import findings as epcis_findings
from bridges.erp.config import ErpSettings
from bridges.erp_rest.checks import findings as erp_rest_findings
from bridges.erp_rest.config import ErpRestSettings
from bridges.modbus.checks import findings as modbus_findings
from bridges.modbus.config import ModbusSettings, ModbusSource
from bridges.mqtt.checks import findings as mqtt_findings
from bridges.mqtt.config import MqttSettings, MqttSource
from bridges.opcua.config import OpcUaSettings, OpcUaSource
from bridges.sparkplug.config import SparkplugSettings, SparkplugSource
from bridges.sparkplug.directory import findings as sparkplug_findings
from bridges.sparkplug_edge.config import SparkplugEdgeSettings
from bridges.sparkplug_edge.mapping import findings as sparkplug_edge_findings
from uns.model.checks import Protocol

PROTOCOLS: Final[dict[str, Protocol]] = {
    "opcua": Protocol(OpcUaSettings, OpcUaSource),
    "modbus": Protocol(ModbusSettings, ModbusSource, modbus_findings),
    "sparkplug": Protocol(SparkplugSettings, SparkplugSource, sparkplug_findings),
    "mqtt": Protocol(MqttSettings, MqttSource, mqtt_findings),
    "sparkplug-edge": Protocol(SparkplugEdgeSettings, None, sparkplug_edge_findings),
    "erp": Protocol(ErpSettings, None),
    "desk": Protocol(DeskSettings, None),
    "epcis": Protocol(EpcisSettings, None, epcis_findings),
    "erp-rest": Protocol(ErpRestSettings, None, erp_rest_findings),
}
