"""Modbus TCP bridge: blocks of registers polled, tags and events in the tree."""
