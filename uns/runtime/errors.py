"""Everything that can go wrong while running, as one tree.

RuntimeFault
├── OutboxFull      ours, retriable: the quota is reached; the source must wait
├── RecordAway      the store's, retriable: it cannot be asked now
├── Fenced          fatal: another owner of this partition took over; exit, do not flap
└── AlreadyRunning  the user's: another hub uses this data folder
"""


class RuntimeFault(Exception):  # noqa: N818 - the names say what happened
    """The root of the tree."""


class OutboxFull(RuntimeFault):
    """The outbox reached its quota: nothing is dropped, the source waits."""


class RecordAway(RuntimeFault):
    """The record does not answer; the message says why."""


class Fenced(RuntimeFault):
    """A newer owner of this (processor, line) was seen."""


class AlreadyRunning(RuntimeFault):
    """The data folder is in use by another hub."""
