"""Everything that can go wrong between this bridge and a device, as one tree.

    ModbusError
    ├── LostError         the network's or the device's: connect again
    ├── UnreadableError   the registers' content: no value of the tag's type, that tag turns bad
    └── UnwritableError   a value that the registers cannot hold, or that the device did not take

An exception reply is no error here: it is an answer, and turns the tags it is about bad.
"""


class ModbusError(Exception):
    """The root of the tree; the message is the reason a person reads beside a bad tag."""


class LostError(ModbusError):
    """No connection, no answer in time, or an answer that does not fit the question."""


class UnreadableError(ModbusError):
    """Registers that hold no value of the type namespace.yaml gives them."""


class UnwritableError(ModbusError):
    """A set-point that does not fit its registers or is not there afterwards."""
