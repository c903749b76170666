"""Everything that can go wrong between this bridge and its folder, as one tree.

EpcisError
└── FolderLost   the folder cannot be read or written: try again
"""


class EpcisError(Exception):
    """The root of the tree."""


class FolderLost(EpcisError):  # noqa: N818 - the name says what happened
    """The operating system refuses the folder; the message says why."""
