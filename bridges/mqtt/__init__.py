"""MQTT bridge: the namespace of somebody else, read by mapping only."""
