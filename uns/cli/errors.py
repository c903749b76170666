"""What the command line tells a user: one line on standard error and an exit code.

CommandError       exit 1: it could not be done now; the message says what to do
└── UsageError     exit 2: it was asked for in a wrong way, or the file checked has faults
"""


class CommandError(Exception):
    """The message is one line: what is wrong, and the fix."""


class UsageError(CommandError):
    """The call or the checked file is at fault."""
