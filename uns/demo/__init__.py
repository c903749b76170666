"""The simulated plant: machines, lines and an ERP behind real protocol servers.

Law: it publishes nothing to the hub's tree. What the hub knows of it, it reads over OPC UA,
Modbus TCP, Sparkplug B and from a folder, as it would from a real plant.

    state      what the plant remembers (plain values, JSON)
    pace       how plant time and wall time relate
    fate       what becomes of piece n of a cell: a function of the seed
    machine    one cell's PackML machine
    line       orders, flow of pieces and lots over the cells of a line
    simulation all lines on one time grid
    readout    what a cell's tags show
    journal    the PLC's own log, and the state that a restart continues from
    opcua_plc, modbus_plc, sparkplug_edge   the protocol servers
    erp        order files
    plant      all of it in one asyncio process

Everything above `journal` does no I/O and asks no clock.
"""
