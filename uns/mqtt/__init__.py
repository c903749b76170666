"""The client port and the broker: everything that knows MQTT as a protocol.

Owns connections, acknowledgements, back-pressure, the broker's files. Does not know what a
message means: payloads are bytes here, and the kernel above decides when work is done.
"""
