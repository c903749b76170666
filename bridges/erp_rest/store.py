"""The bridge's file: accounts of orders, the outbox of confirmations, the inbox of orders.

SQLite with a write-ahead log and synchronous=FULL: an account and the confirmations told from it
change in one transaction. The bridge writes it, `uns erp` reads it and sets dead letters free; two
processes may do so at a time. Knows neither HTTP nor MQTT.

A post is `waiting` to be sent, `unsure` from the moment it is sent until its answer, then `sent`;
`dead` until somebody sets it free, or `skipped` by somebody or because the counterpart is told
nothing of it. What comes later of an order waits for it.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from bridges.erp_rest.confirmation import Account, Confirmation, account_id, has_news

State = Literal["waiting", "unsure", "sent", "dead", "skipped"]
Arrival = Literal["waiting", "accepted", "refused"]
FOLDER: Final = "erp-rest"
DONE_MAX: Final = 10_000
"""Posts, and orders that came in, that are settled: the newest are kept."""
BUSY_MS: Final = 10_000
LIST_MAX: Final = 1_000
_SCHEMA: Final = """
create table if not exists account (
    id text primary key, order_id text not null, may_go integer not null,
    has_news integer not null, heard_ms integer not null, body text not null);
create index if not exists account_order on account (order_id);
create index if not exists account_news on account (id) where has_news;
create table if not exists heard (id text primary key, account text not null);
create index if not exists heard_account on heard (account);
create table if not exists post (
    id integer primary key autoincrement, key text not null unique, order_id text not null,
    body text not null, state text not null default 'waiting', attempts integer not null default 0,
    due_ms integer not null, entered_ms integer not null, done_ms integer,
    reason text not null default '');
create index if not exists post_open on post (order_id, id) where state not in ('sent', 'skipped');
create table if not exists arrival (
    position integer primary key autoincrement, digest text not null unique, order_id text not null,
    body text not null, state text not null default 'waiting', entered_ms integer not null,
    reason text not null default '');
create index if not exists arrival_order on arrival (order_id, position);
create index if not exists arrival_open on arrival (position) where state = 'waiting';
create table if not exists memory (key text primary key, value text not null);
"""
_POST: Final = "id, key, order_id, body, state, attempts, due_ms, entered_ms, done_ms, reason"
_HEADS: Final = (
    f"select {_POST} from post where id in (select min(id) from post"  # noqa: S608 - our own names
    " where state not in ('sent', 'skipped') group by order_id)"
    " and state in ('waiting', 'unsure') and due_ms <= ? order by due_ms, id limit ?"
)


def store_path(root: Path, bridge: str) -> Path:
    """Where a bridge of the hub's data folder keeps its file."""
    return root / FOLDER / f"{bridge}.sqlite"


class Post(NamedTuple):
    """A confirmation on its way; times in ms of wall time."""

    id: int
    key: str
    order_id: str
    body: str
    state: State
    attempts: int
    due_ms: int
    entered_ms: int
    done_ms: int | None
    reason: str

    @property
    def confirmation(self) -> Confirmation:
        """What is told."""
        return Confirmation.model_validate_json(self.body)


class Arrived(NamedTuple):
    """An order that came in, by the digest of its content."""

    position: int
    digest: str
    order_id: str
    body: str
    state: Arrival
    entered_ms: int
    reason: str

    @property
    def order(self) -> dict[str, Any]:
        """The order as our document."""
        document: dict[str, Any] = json.loads(self.body)
        return document


class Store:
    """One file. Every method is one transaction, unless it is called within `together`."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute(f"pragma busy_timeout={BUSY_MS}")
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=full")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is done within is one transaction."""
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    def account(self, line: str, order_id: str) -> Account:
        """An order's account; an empty one for an order that nobody has heard of."""
        known = self.account_of(account_id(line, order_id))
        return known or Account(order_id=order_id, line=line)

    def account_of(self, key: str) -> Account | None:
        """The account of a key, if there is one."""
        row = self._db.execute("select body from account where id = ?", (key,)).fetchone()
        return Account.model_validate_json(row[0]) if row else None

    def keep(self, account: Account, now_ms: int) -> None:
        """Store an account; `now_ms` is the wall's."""
        self._db.execute(
            "insert or replace into account values (?, ?, ?, ?, ?, ?)",
            (
                account_id(account.line, account.order_id),
                account.whole,
                account.final or account.item is None,
                has_news(account),
                now_ms,
                account.model_dump_json(),
            ),
        )

    def open_ids(self) -> set[str]:
        """The ids of accounts whose order has not ended, as far as is known."""
        rows = self._db.execute("select id from account where not may_go")
        return {row[0] for row in rows}

    def is_new(self, event_id: str, account: Account) -> bool:
        """Whether an event of an order is heard for the first time; from now on it is not."""
        named = (event_id, account_id(account.line, account.order_id))
        return bool(self._db.execute("insert or ignore into heard values (?, ?)", named).rowcount)

    def with_news(self, *, own: bool = False) -> list[str]:
        """Keys of accounts with something to tell whose orders have no open post.

        own: only those of orders that came in here.
        """
        rows = self._db.execute(
            "select id from account where has_news and order_id not in"
            " (select order_id from post where state not in ('sent', 'skipped'))"
            " and (not ? or order_id in (select order_id from arrival))",
            (own,),
        )
        return [key for (key,) in rows]

    def others(self, account: Account) -> list[Account]:
        """The other parts of the order that an account is of."""
        rows = self._db.execute(
            "select body from account where order_id = ? and id != ?",
            (account.whole, account_id(account.line, account.order_id)),
        )
        return [Account.model_validate_json(body) for (body,) in rows]

    def forget(self, before_ms: int, *, own: bool = False) -> None:
        """Drop accounts that ended before (wall time), and what was settled beyond DONE_MAX.

        So do those that no document was ever seen of, and with `own` those of foreign orders.
        """
        silent = "heard_ms < ? and (may_go or ? and order_id not in (select order_id from arrival))"
        with self.together():
            self._db.execute(
                f"delete from heard where account in (select id from account where {silent})",  # noqa: S608 - ours
                (before_ms, own),
            )
            self._db.execute(f"delete from account where {silent}", (before_ms, own))  # noqa: S608 - ours
            self._db.execute(
                "delete from post where state in ('sent', 'skipped') and id <="
                " (select max(id) - ? from post)",
                (DONE_MAX,),
            )
            self._db.execute(
                "delete from arrival where state != 'waiting' and position <="
                " (select max(position) - ? from arrival)",
                (DONE_MAX,),
            )

    def post(self, confirmations: Iterable[Confirmation], now_ms: int) -> None:
        """Put confirmations into the outbox, within `together`; a known key changes nothing."""
        self._db.executemany(
            "insert or ignore into post (key, order_id, body, due_ms, entered_ms)"
            " values (?, ?, ?, ?, ?)",
            [(c.key, c.order_id, c.model_dump_json(), now_ms, now_ms) for c in confirmations],
        )

    def due(self, now_ms: int, limit: int) -> list[Post]:
        """The first open post of each order, if it may be sent now."""
        return [Post(*row) for row in self._db.execute(_HEADS, (now_ms, limit))]

    def sending(self, post: Post, due_ms: int) -> None:
        """It is about to be sent: from now on it may have been taken.

        due_ms: until then the request may be at work there, also if we are killed meanwhile.
        """
        self._db.execute(
            "update post set state = 'unsure', due_ms = ? where id = ?", (due_ms, post.id)
        )

    def settled(self, post: Post, state: State, now_ms: int, reason: str = "") -> None:
        """It was taken, is dead or is not told."""
        self._db.execute(
            "update post set state = ?, done_ms = ?, reason = ?, attempts = attempts + 1"
            " where id = ?",
            (state, now_ms, reason, post.id),
        )

    def again(self, post: Post, state: State, due_ms: int, reason: str, attempts: int) -> None:
        """It is to be sent, or asked for, later; so many more attempts were made."""
        self._db.execute(
            "update post set state = ?, due_ms = ?, reason = ?, attempts = attempts + ?"
            " where id = ?",
            (state, due_ms, reason, attempts, post.id),
        )

    def set_free(self, post_id: int, state: Literal["unsure", "skipped"]) -> bool:
        """Let a dead letter be sent again, or skip it; whether there was such a dead letter.

        `unsure`: the counterpart is asked first whether it has it.
        """
        changed = self._db.execute(
            "update post set state = ?, attempts = 0, due_ms = 0 where id = ? and state = 'dead'",
            (state, post_id),
        )
        return bool(changed.rowcount)

    def posts(self, states: Iterable[str], limit: int = LIST_MAX) -> list[Post]:
        """The oldest posts in some states."""
        wanted = json.dumps(list(states))
        rows = self._db.execute(
            f"select {_POST} from post where state in (select value from json_each(?))"  # noqa: S608 - ours
            " order by id limit ?",
            (wanted, limit),
        )
        return [Post(*row) for row in rows]

    def post_of(self, post_id: int) -> Post | None:
        """One post."""
        row = self._db.execute(f"select {_POST} from post where id = ?", (post_id,)).fetchone()  # noqa: S608 - ours
        return Post(*row) if row else None

    def counts(self) -> Mapping[str, int]:
        """Posts by state."""
        rows = self._db.execute("select state, count(*) from post group by state")
        return dict(rows.fetchall())

    def oldest_ms(self) -> int | None:
        """Since when the oldest open post waits (wall time)."""
        row = self._db.execute(
            "select min(entered_ms) from post where state not in ('sent', 'skipped')"
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def arrive(self, digest: str, order: Mapping[str, Any], now_ms: int, reason: str = "") -> bool:
        """Take an order in, refused at once if there is a reason; whether it is new."""
        state = "refused" if reason else "waiting"
        changed = self._db.execute(
            "insert or ignore into arrival (digest, order_id, body, state, entered_ms, reason)"
            " values (?, ?, ?, ?, ?, ?)",
            (digest, str(order.get("order_id", "")), json.dumps(order), state, now_ms, reason),
        )
        return bool(changed.rowcount)

    def judge_again(self, digest: str) -> bool:
        """An order that was refused is to be judged once more; whether there was such an order."""
        changed = self._db.execute(
            "update arrival set state = 'waiting', reason = '' where digest = ?"
            " and state = 'refused'",
            (digest,),
        )
        return bool(changed.rowcount)

    def arrivals(self, state: Arrival, limit: int = LIST_MAX) -> list[Arrived]:
        """The oldest orders in a state."""
        rows = self._db.execute(
            "select * from arrival where state = ? order by position limit ?", (state, limit)
        )
        return [Arrived(*row) for row in rows]

    def arrived(self, digest: str) -> Arrived | None:
        """One order that came in."""
        row = self._db.execute("select * from arrival where digest = ?", (digest,)).fetchone()
        return Arrived(*row) if row else None

    def newest(self, order_id: str) -> Arrived | None:
        """What came in last of an order."""
        row = self._db.execute(
            "select * from arrival where order_id = ? order by position desc limit 1", (order_id,)
        ).fetchone()
        return Arrived(*row) if row else None

    def answer(self, digest: str, state: Arrival, reason: str) -> bool:
        """What became of an order; whether that is news."""
        changed = self._db.execute(
            "update arrival set state = ?, reason = ? where digest = ? and state = 'waiting'",
            (state, reason, digest),
        )
        return bool(changed.rowcount)

    def arrival_counts(self) -> Mapping[str, int]:
        """Orders that came in, by state."""
        rows = self._db.execute("select state, count(*) from arrival group by state")
        return dict(rows.fetchall())

    def recall(self, key: str) -> str:
        """What was remembered under a key; empty if nothing was."""
        row = self._db.execute("select value from memory where key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def remember(self, key: str, value: str) -> None:
        """Remember a text under a key."""
        self._db.execute("insert or replace into memory values (?, ?)", (key, value))
