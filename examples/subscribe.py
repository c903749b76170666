"""Prints the progress of every order, live: `python examples/subscribe.py DATA_FOLDER`."""

import json
import sys
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

hub = json.loads((Path(sys.argv[1]) / "connection.json").read_text())


def subscribe(client: mqtt.Client, *_: Any) -> None:
    """Ask for the orders of all lines; again after every reconnect."""
    client.subscribe(f"{hub['enterprise']}/+/+/+/_state/order/#", qos=1)


def show(_client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
    """Print an order; an empty payload says that it is finished and left the tree."""
    if message.payload:
        order = json.loads(message.payload)
        made = f"{order['good']} of {order['quantity']} {order['item']}"
        print(order["order_id"], order["dispatch_status"], made, flush=True)


client = mqtt.Client(CallbackAPIVersion.VERSION2)
client.username_pw_set(hub["username"], hub["password"])
client.on_connect = subscribe
client.on_message = show
client.connect(hub["host"], hub["port"])
client.loop_forever()
