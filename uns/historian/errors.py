# ruff: noqa: N818 - the names say what happened; a suffix would say it twice
"""Everything that can go wrong with the record, as one tree.

HistorianError
├── StoreUnavailable   the store's, retriable: away, locked, full, without permission
├── Unstorable         a row's: the store refuses a value in it; the row is put aside
├── SchemaTooNew       fatal: a newer version of the hub wrote this store
├── ExportRefused      the asker's: another store's folder, one in use, a read model that is none
├── ExtraMissing       the asker's: an optional library is not installed
├── OrderLost          the record's: it does not (yet) tell how a state came about
├── QueryRefused       the asker's: not one reading statement, or out of bounds
│   └── TooMuchMemory  what it takes to answer is more than the store may use
├── QueryFailed        the asker's: the SQL does not run
└── QueryTimeout       the bound's: it took too long and was stopped
"""

from typing import Final


class HistorianError(Exception):
    """The root of the tree. The message is one line, for the person who asked."""


class StoreUnavailable(HistorianError):
    """The store cannot be used now; the same call may succeed later."""


class NoHistorian(StoreUnavailable):
    """No historian answers for a data folder."""


class Unstorable(HistorianError):
    """The store refuses a value; nothing of the batch was written."""


class SchemaTooNew(HistorianError):
    """The store's schema is of a later version of the hub."""


class OrderLost(HistorianError):
    """A base, or a part of the order in which events were folded, is not on record."""


class ExportRefused(HistorianError):
    """An export cannot be written there or so."""


class ExtraMissing(HistorianError):
    """What was asked for needs `pip install 'uns-mes[analytics]'`."""


class QueryRefused(HistorianError):
    """Only one statement that reads is taken."""


class TooMuchMemory(QueryRefused):
    """The statement takes more memory than there is for one."""


class QueryFailed(HistorianError):
    """The statement does not run: a name, a type, the syntax."""


class QueryTimeout(HistorianError):
    """The statement ran longer than it may."""


QUERY_ERRORS: Final = {
    error.__name__: error
    for error in (StoreUnavailable, QueryRefused, TooMuchMemory, QueryFailed, QueryTimeout)
}
"""The errors of a query by name, as they travel through the query port."""


def one_line(error: BaseException) -> str:
    """The first telling line of a library's message, at most 300 characters."""
    text = " ".join(str(error).split("\n", maxsplit=1)[0].split())
    return (text or type(error).__name__)[:300]
