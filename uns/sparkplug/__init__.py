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
    compression  the compressed envelope
    payload    bytes <-> Payload, with the bounds
    state      the STATE messages of a host application
    outputs    what the sessions return
    catalogue  what a birth declares, and DATA read by it
    node       what a host application knows of one edge node
    applying   what births, deaths and data do to that
    host       a host application's view of all edge nodes
    edge       one edge node's MQTT session
    edge_metrics    what an edge node shows: values, types, presence
    edge_queue      what it could not say yet
    edge_session    an edge node over all its sessions: births, servers, history
    edge_settings   who an edge node is, and what it needs to connect
    primary         what it believes of its primary host
    naming          how a line is called as an edge node
    spectator  any message for a person who looks on
"""
