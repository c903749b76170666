"""Everything that can go wrong between this bridge and its counterpart, as one tree.

ErpRestError
├── SettingsError    ours: a token file that cannot be read; the message names the fix
├── MappingError     it cannot be said in the counterpart's words, or read in ours
└── ExchangeError    the network's or the counterpart's: retriable
    ├── NotSent      not a byte of the request has left: it was not taken
    └── Unsure       the request left and no answer came: it may have been taken
"""


class ErpRestError(Exception):
    """The root of the tree; the message is the reason a person reads."""


class SettingsError(ErpRestError):
    """The settings lead nowhere."""


class MappingError(ErpRestError):
    """A document that has no meaning on the other side; it names the field."""


class ExchangeError(ErpRestError):
    """No answer."""


class NotSent(ExchangeError):  # noqa: N818 - the name says what happened
    """The counterpart was not reached."""


class Unsure(ExchangeError):  # noqa: N818 - the name says what happened
    """The counterpart was reached, and said nothing that can be understood."""
