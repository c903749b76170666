"""How paho is set up for one connection: acks and the window are ours, reconnecting too.

Owns what is told to paho and to the broker at the beginning. Knows no topic and keeps no state.
"""

from typing import Final

from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from uns.mqtt.message import RECEIVE_WINDOW, Address, Will
from uns.mqtt.wire import PahoOnSocket

V311: Final = MQTTProtocolVersion.MQTTv311
V5: Final = MQTTProtocolVersion.MQTTv5
SESSION_EXPIRY_S: Final = 7 * 86_400


def paho_client(client_id: str, protocol: MQTTProtocolVersion, *, clean: bool) -> PahoOnSocket:
    """A client of paho, not yet configured."""
    paho = PahoOnSocket(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=None if protocol == V5 else clean,
        protocol=protocol,
        reconnect_on_failure=False,
        manual_ack=True,
    )
    paho.max_inflight_messages = 0  # the window is ours: paho's costs a scan for each PUBACK
    return paho


def configure(
    paho: PahoOnSocket, address: Address, will: Will | None, keepalive_s: int, *, clean: bool
) -> None:
    """Where, as whom, with which will; on MQTT 5 the session's expiry and our receive window."""
    paho.username_pw_set(address.username, address.password)
    if will:
        paho.will_set(will.topic, will.payload, will.qos, will.retain)
    if paho.protocol != V5:
        paho.connect_async(address.host, address.port, keepalive_s)
        return
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's gap
    properties.ReceiveMaximum = RECEIVE_WINDOW
    properties.SessionExpiryInterval = 0 if clean else SESSION_EXPIRY_S
    paho.connect_async(
        address.host, address.port, keepalive_s, clean_start=clean, properties=properties
    )
