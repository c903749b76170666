"""The bridges' clients as the tests start them, at a server on the loopback.

Owns the settings that tests share and the arguments of each `observe`. What is read comes from
whoever asks: the cells with their tags.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from bridges.modbus.client import observe as observe_modbus
from bridges.modbus.config import ModbusSettings
from bridges.opcua.client import observe as observe_opcua
from bridges.opcua.config import OpcUaSettings
from tests.watching import Batch, now_ms
from uns.model.observation import SetPoint
from uns.model.plant import Place

FOREIGN_URI: Final = "urn:foreign:plant"
Bridge = Callable[[Mapping[str, Place], asyncio.Queue[SetPoint]], AsyncGenerator[Batch, None]]


def opcua(
    port: int, pki: Path, known: Mapping[tuple[str, str], int] | None = None, **settings: Any
) -> Bridge:
    """An OPC UA client of node-opcua; without other settings it speaks without security.

    pki: the folder of its certificates. known: up to when tags are recorded, in ms.
    """
    secure = settings.keys() & {"security_policy", "security_mode"}
    given = {
        "url": f"opc.tcp://127.0.0.1:{port}",
        "namespace_uri": FOREIGN_URI,
        "insecure": not secure,
        "publishing_interval_ms": 50,
        "sampling_interval_ms": 50,
        **settings,
    }
    parsed = OpcUaSettings.model_validate(given)
    return lambda places, set_points: observe_opcua(
        parsed, places, now_ms, set_points, pki, known or {}
    )


def modbus(port: int, **settings: Any) -> Bridge:
    """A Modbus TCP client."""
    given = {"host": "127.0.0.1", "port": port, "poll_ms": 20, "timeout_ms": 1_000, **settings}
    parsed = ModbusSettings.model_validate(given)
    return lambda places, set_points: observe_modbus(parsed, places, now_ms, set_points)
