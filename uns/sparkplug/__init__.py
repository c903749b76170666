"""Sparkplug B 3.0 without I/O: bytes and times go in, values and messages come out.

Law: nothing here opens a socket, reads a clock, draws a random number or writes a log.
Times are UTC milliseconds since 1970 and enter as arguments; what is to be sent leaves as data.

    errors     the one error tree
    topic      spBv1.0/<group>/<type>/<edge_node>[/<device>], spBv1.0/STATE/<host_id>
    schema     the protobuf messages, built from a field table
    datatype   each data type to and from its protobuf field
    values     what a payload means: Payload, Metric, DataSet, Template, Property
    reading    protobuf message -> values
    writing    values -> protobuf message
    payload    bytes <-> Payload, with the bounds
    state      the STATE messages of a host application
    outputs    what the sessions return
    catalogue  what a birth declares, and DATA read by it
    node       what a host application knows of one edge node
    host       a host application's view of all edge nodes
    edge       one edge node's MQTT session
"""
