"""Everything that can go wrong between this bridge and its devices, as one tree.

    ModbusError
    ├── LostError         the connection's, opened in vain or ended: no unit can be reached
    ├── AbsentError       one unit's: no answer, an unfitting one, or its gateway cannot reach it
    │   └── UnaskedError  the same, before anything went out
    ├── UnreadableError   the registers' content: no value of the tag's type, that tag turns bad
    └── UnwritableError   a value that the registers cannot hold, or that the device did not take

An exception reply is no error here: it is an answer, and turns the tags it is about bad.
"""


class ModbusError(Exception):
    """The root of the tree; the message is the reason a person reads beside a bad tag."""


class LostError(ModbusError):
    """No connection, or no longer."""


class AbsentError(ModbusError):
    """A unit that did not answer in time, or not what it was asked, while others may."""


class UnaskedError(AbsentError):
    """A unit that could not be asked: it has heard nothing."""


class UnreadableError(ModbusError):
    """Registers that hold no value of the type namespace.yaml gives them."""


class UnwritableError(ModbusError):
    """A set-point that does not fit its registers or is not there afterwards."""
