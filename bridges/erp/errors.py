"""Everything that can go wrong between this bridge and the order folder, as one tree.

ErpError
├── FolderLost   the folder cannot be read or written: try again
├── BadMapping   the mapping file has faults: correct it, files wait meanwhile
└── BadSchema    the XML Schema cannot be used: correct it, files wait meanwhile
"""


class ErpError(Exception):
    """The root of the tree."""


class FolderLost(ErpError):  # noqa: N818 - the name says what happened
    """The operating system refuses the folder; the message says why."""


class BadMapping(ErpError):  # noqa: N818 - the name says what happened
    """The mapping file cannot be used; the message is each fault with its line and column."""


class BadSchema(ErpError):  # noqa: N818 - the name says what happened
    """The XML Schema cannot be used; the message says in which file, and why."""
