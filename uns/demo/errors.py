# ruff: noqa: N818 - the names say what happened; a suffix would say it twice
"""What can go wrong in the simulated plant, as one tree.

PlantError
├── StateUnreadable   the folder's state file is damaged: remove the folder to begin anew
├── PortTaken         another program listens where a PLC should
└── WriteRefused      ours: a server does not take a value that its own table promised
"""


class PlantError(Exception):
    """The root of the tree."""


class StateUnreadable(PlantError):
    """The state of an earlier run cannot be read; counters must not start again by themselves."""


class PortTaken(PlantError):
    """A PLC's port is in use."""


class WriteRefused(PlantError):
    """A server refused a value."""
