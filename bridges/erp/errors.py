"""Everything that can go wrong between this bridge and the order folder, as one tree.

ErpError
└── FolderLost   the folder cannot be read or written: try again
"""


class ErpError(Exception):
    """The root of the tree."""


class FolderLost(ErpError):  # noqa: N818 - the name says what happened
    """The operating system refuses the folder; the message says why."""
