"""An edge node over all its MQTT sessions: values and messages in, the next message to send out.

Owns when to be born, which server and bd_seq come next, what is live and what became history.
Knows no MQTT client, no clock and no disk: a shell connects, sends, and stores bd_seq and backlog.

    connecting() -> where to connect, with which will; subscribe to its filters
    connected()  -> the session stands
    next()       -> the message to send now, or None; then accepted() or refused()
    leaves()     -> whether to publish death(), disconnect, and call ended(); so too on a loss

Order of what `next` gives: NBIRTH, every DBIRTH, DDEATHs, history oldest first, live values. A
message is made only when it is its turn, so a seq is never used for what the client did not take.
What was sent within `doubt_ms` before a loss may not have arrived: it is sent again, as history.
"""

from __future__ import annotations

from collections import deque
from itertools import takewhile
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from uns.sparkplug.edge import Change, Command, EdgeNode, Write, next_bd_seq
from uns.sparkplug.edge_metrics import Shown, fitted, holds
from uns.sparkplug.edge_queue import Backlog, Entry, Kept
from uns.sparkplug.edge_settings import Connecting, EdgeSettings, filters
from uns.sparkplug.outputs import Ignored
from uns.sparkplug.primary import PrimaryHost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uns.sparkplug.outputs import Publish
    from uns.sparkplug.values import Metric, PropertySet

METRICS_A_MESSAGE: Final = 100
LIVE_MAX: Final = 10_000
DOUBTS_MAX: Final = 1_000
_NO_BD_SEQ: Final = 255


class _Doubt(NamedTuple):
    """What was sent lately: live values, or history up to a place in the backlog."""

    at_ms: int
    live: tuple[Entry, ...] = ()
    position: int | None = None


_Births: TypeAlias = "tuple[str | None, list[Metric]]"


class _Made(NamedTuple):
    """What the message made last takes with it: births, live values, history up to a place."""

    births: _Births | None = None
    live: tuple[Entry, ...] = ()
    position: int | None = None


EdgeOutput: TypeAlias = Write | Ignored


class EdgeSession:
    """One edge node, from the first connection to the last.

    bd_seq: that of the last CONNECT ever made, None before the first.
    `unsendable` counts history that no birth declares any more; `bd_seq` is that of the
    connection now, or of the next one.
    """

    def __init__(self, settings: EdgeSettings, backlog: Backlog, bd_seq: int | None = None) -> None:
        self.unsendable = 0
        self.bd_seq = next_bd_seq(_NO_BD_SEQ if bd_seq is None else bd_seq)
        self._settings = settings
        self._backlog = backlog
        self._hosts = _hosts(settings)
        self._server = 0
        self._shown: dict[str | None, Shown] = {None: Shown()}
        self._edge = EdgeNode(settings.group, settings.edge_node, self.bd_seq)
        self._connected_at_ms: int | None = None
        self._births_wanted = True
        self._births_from_ms = 0
        self._said: dict[tuple[str | None, str], Metric] = {}
        self._live: deque[Entry] = deque()
        self._doubts: deque[_Doubt] = deque()
        self._sent_to = 0
        self._made: _Made | None = None

    @property
    def is_born(self) -> bool:
        """Whether this connection has seen the NBIRTH."""
        return self._edge.is_born()

    # --- what is shown

    def describe(self, device: str | None, name: str, properties: PropertySet) -> None:
        """Have the births of a metric state more than its quality: a unit, a range."""
        self._shown.setdefault(device, Shown()).described[name] = properties

    def update(self, entry: Entry, now_ms: int) -> None:
        """Take a new value of a metric; it is sent as soon as may be, or kept as history."""
        shown = self._shown.setdefault(entry.device, Shown())
        shown.show(entry, now_ms)
        if not shown.is_present or entry.name not in shown.metrics:
            return
        if not self._edge.is_born():
            self._backlog.append([entry])
            return
        self._live.append(entry)
        if len(self._live) > LIVE_MAX:
            self._live_to_history()

    def presence(self, device: str, *, is_present: bool, now_ms: int) -> None:
        """Say that a device has gone, or is back: its DDEATH or DBIRTH is due.

        Values that a device has while it is gone are shown by its next birth, and not sent.
        """
        shown = self._shown.setdefault(device, Shown())
        if is_present and not shown.is_present:
            shown.new_at_ms = now_ms
        shown.is_present = is_present

    # --- connections

    def connecting(self) -> Connecting:
        """Say where to connect next; the same until `ended` was said."""
        if self._hosts:
            self._hosts[self._server].forget()
        self._edge = EdgeNode(self._settings.group, self._settings.edge_node, self.bd_seq)
        wanted = filters(self._settings)
        return Connecting(self._server, self.bd_seq, self._edge.will(), wanted)

    def connected(self, now_ms: int) -> None:
        """Take note that the CONNECT was answered and the subscriptions stand."""
        self._connected_at_ms = now_ms
        self._births_wanted, self._births_from_ms = True, now_ms

    def leaves(self, now_ms: int) -> bool:
        """Tell whether to leave this server, because the primary host is not there.

        With a single server that is left only by a node that was born: an unborn one waits on it.
        """
        if self._connected_at_ms is None or not self._hosts:
            return False
        has_others = self._settings.servers > 1
        match self._hosts[self._server].is_online:
            case True:
                return False
            case False:
                return has_others or self._edge.is_born()
            case None:
                waited_ms = now_ms - self._connected_at_ms
                return has_others and waited_ms >= self._settings.host_wait_ms

    def death(self) -> Publish:
        """Make the NDEATH to publish before a wanted DISCONNECT."""
        return self._edge.death()

    def ended(self, *, was_asked: bool = True, was_heard: bool = False) -> None:
        """Take note that the connection is over, or was not made: the next server's turn.

        was_asked: the CONNECT may have left, so its bd_seq is used up, whatever became of it.
        was_heard: all that was sent has arrived, for the server has closed after our DISCONNECT.
        """
        if was_asked:
            self.bd_seq = next_bd_seq(self.bd_seq)
        self._connected_at_ms = None
        self._server = (self._server + 1) % self._settings.servers
        self._edge = EdgeNode(self._settings.group, self._settings.edge_node, self.bd_seq)
        if was_heard:
            self._believe(len(self._doubts))
        self._doubtful_to_history()
        self._live_to_history()
        self._sent_to = 0

    def receive(self, topic: str, raw: bytes, now_ms: int) -> list[EdgeOutput]:
        """Take a message: what the primary host says of itself, or a command."""
        host = self._hosts[self._server] if self._hosts else None
        if host and topic == host.topic:
            reason = host.hear(raw)
            return [Ignored(reason, topic)] if reason else []
        command = self._edge.command(topic, raw)
        if not isinstance(command, Command):
            return [Ignored(command.reason, topic)]
        if command.rebirth and not self._births_wanted:
            self._births_wanted = True
            earliest_ms = self._births_from_ms + self._settings.rebirth_interval_ms
            self._births_from_ms = max(now_ms, earliest_ms)
        return list(command.writes)

    # --- speaking

    def next(self, now_ms: int) -> Publish | None:
        """Make the message whose turn it is; it must be accepted or refused before the next."""
        self._believe_older(now_ms - self._settings.doubt_ms)
        if not self._may_speak:
            return None
        if self._births_wanted or self._shown[None].is_due(now_ms, self._settings.settle_ms):
            return self._node_birth(now_ms)
        if waiting := self._unfinished():
            return self._device_step(waiting, now_ms)
        return self._history(now_ms) or self._news(now_ms) or self._farewell(now_ms)

    def accepted(self, now_ms: int) -> None:
        """Take note that the client took the message made last."""
        made, self._made = self._made, None
        if made is None:
            return
        if made.births is not None:
            self._was_born_with(made.births, now_ms)
        if made.live or made.position is not None:
            self._doubts.append(_Doubt(now_ms, made.live, made.position))
            self._believe(len(self._doubts) - DOUBTS_MAX)
        if made.position is not None:
            self._sent_to = made.position

    def refused(self) -> None:
        """Take back the message made last, which the client did not take."""
        made, self._made = self._made, None
        if made is not None:
            self._edge.refused()
            self._live.extendleft(reversed(made.live))

    @property
    def _may_speak(self) -> bool:
        if self._connected_at_ms is None:
            return False
        return not self._hosts or self._hosts[self._server].is_online is True

    # --- births and deaths

    def _node_birth(self, now_ms: int) -> Publish | None:
        settle_ms = self._settings.settle_ms
        unsettled = any(
            shown.is_new and not shown.is_due(now_ms, settle_ms) for shown in self._shown.values()
        )
        if unsettled or now_ms < self._births_from_ms:
            return None
        metrics = self._shown[None].births()
        self._made = _Made(births=(None, metrics))
        return self._edge.node_birth(metrics, now_ms)

    def _unfinished(self) -> list[str]:
        """Find the present devices whose birth does not stand or lacks something."""
        return [
            name
            for name, shown in self._shown.items()
            if name is not None
            and shown.is_present
            and shown.metrics
            and (shown.is_new or not self._edge.is_born(name))
        ]

    def _device_step(self, devices: list[str], now_ms: int) -> Publish | None:
        """Make the birth of the first device that has settled, or the death before it."""
        for name in devices:
            shown = self._shown[name]
            if shown.is_new and not shown.is_due(now_ms, self._settings.settle_ms):
                continue
            if not self._edge.is_born(name):
                return self._device_birth(name, now_ms)
            self._made = _Made()
            return self._edge.device_death(name, now_ms)
        return None

    def _device_birth(self, name: str, now_ms: int) -> Publish:
        metrics = self._shown[name].births()
        self._made = _Made(births=(name, metrics))
        return self._edge.device_birth(name, metrics, now_ms)

    def _farewell(self, now_ms: int) -> Publish | None:
        """Make the death of a device that has gone, after all that it had to say."""
        for name, shown in self._shown.items():
            if name is not None and not shown.is_present and self._edge.is_born(name):
                self._made = _Made()
                return self._edge.device_death(name, now_ms)
        return None

    def _was_born_with(self, births: _Births, now_ms: int) -> None:
        """Remember what a birth said; what waited behind it is older, and becomes history."""
        device, metrics = births
        if device is None:
            self._births_wanted, self._births_from_ms = False, now_ms
        self._shown[device].new_at_ms = None
        self._said.update({(device, metric.name or ""): metric for metric in metrics})
        self._live_to_history()

    # --- data

    def _history(self, now_ms: int) -> Publish | None:
        """Make the next message of history; what a birth has said or none declares is left out."""
        while kept := self._backlog.after(self._sent_to, METRICS_A_MESSAGE, now_ms):
            device = kept[0].entry.device
            run = _of_one_device(kept)
            if device is not None and not self._edge.is_born(device) and device in self._shown:
                return self._device_birth(device, now_ms)
            changes = [
                change for one in run if (change := self._change(one.entry, is_history=True))
            ]
            self._made = _Made(position=run[-1].position)
            if changes:
                return self._edge.data(changes, now_ms, device)
            self.accepted(now_ms)
        return None

    def _news(self, now_ms: int) -> Publish | None:
        """Make a message of live values of one device, in order of time."""
        if not self._live:
            return None
        device = self._live[0].device
        run = list[Entry]()
        while self._live and self._live[0].device == device and len(run) < METRICS_A_MESSAGE:
            run.append(self._live.popleft())
        run.sort(key=lambda entry: entry.at_ms)
        changes = [change for entry in run if (change := self._change(entry, is_history=False))]
        if not changes:
            return self._news(now_ms)
        self._made = _Made(live=tuple(run))
        return self._edge.data(changes, now_ms, device)

    def _change(self, entry: Entry, *, is_history: bool) -> Change | None:
        datatype = self._edge.datatype(entry.device, entry.name)
        if datatype is None or not holds(datatype, entry.value):
            self.unsendable += 1
            return None
        value = fitted(entry.value, datatype)
        said = self._said.get((entry.device, entry.name))
        if is_history and said and (said.timestamp_ms, said.value) == (entry.at_ms, value):
            return None
        return Change(entry.name, value, entry.at_ms, is_history, entry.quality)

    # --- what is not certain yet

    def _live_to_history(self) -> None:
        self._backlog.append(self._live)
        self._live.clear()

    def _doubtful_to_history(self) -> None:
        """Put live values that may not have arrived among the history, in the order of sending."""
        doubts, self._doubts = self._doubts, deque()
        if not any(doubt.live for doubt in doubts):
            return
        told = takewhile(lambda doubt: not doubt.live, doubts)
        begin = max((doubt.position or 0 for doubt in told), default=0)
        waiting = deque(self._backlog.after(begin, len(self._backlog), 0))
        ordered = list[Entry]()
        for doubt in doubts:
            while waiting and waiting[0].position <= (doubt.position or 0):
                ordered.append(waiting.popleft().entry)
            ordered += doubt.live
        self._backlog.replace(begin, [*ordered, *(kept.entry for kept in waiting)])

    def _believe_older(self, than_ms: int) -> None:
        """Believe that what was sent so long ago has arrived."""
        self._believe(sum(1 for _ in takewhile(lambda doubt: doubt.at_ms <= than_ms, self._doubts)))

    def _believe(self, count: int) -> None:
        for _ in range(count):
            position = self._doubts.popleft().position
            if position is not None:
                self._backlog.forget(position)


def _hosts(settings: EdgeSettings) -> list[PrimaryHost]:
    """Give what is believed of the primary host at each server; nothing where there is none."""
    host = settings.primary_host
    return [PrimaryHost(host) for _ in range(settings.servers)] if host else []


def _of_one_device(kept: Sequence[Kept]) -> list[Kept]:
    """Take the beginning that concerns one device."""
    device = kept[0].entry.device
    return list(takewhile(lambda one: one.entry.device == device, kept))
