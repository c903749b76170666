"""The objects that there are now, and the newest values of some: one look a request."""

from collections.abc import Iterable
from typing import Annotated

from fastapi import Depends, Request

from uns.api.context import Context, Given, Record
from uns.api.errors import Missing
from uns.api.i3x.space import Space, Spaces
from uns.api.i3x.values import nothing, said, vqt
from uns.api.i3x.wire import Vqt
from uns.historian import queries
from uns.historian.reader import Reader


class Look:
    """Objects, and what those show that were read."""

    def __init__(self, space: Space, now_ms: int) -> None:
        self.space = space
        self.now_ms = now_ms
        self._shown = dict[str, bytes]()

    def read(self, reader: Reader, ids: Iterable[str]) -> None:
        """Read the newest values of objects; of what is none there is nothing to read."""
        known = (id_ for id_ in ids if id_ in self.space.elements and self.space.is_topic(id_))
        unread = dict.fromkeys(id_ for id_ in known if id_ not in self._shown)
        self._shown |= queries.newest_of(reader, tuple(unread))

    def known(self, id_: str) -> str:
        """The id of an object, or Missing."""
        if id_ not in self.space.elements:
            raise Missing(f"no element {id_!r}")
        return id_

    def value(self, id_: str) -> Vqt:
        """The newest value of an object that was read: what its topic says, or what it is."""
        if not self.space.is_topic(id_):
            return vqt(self.space.value_of(id_), "good", self.now_ms)
        update = said(id_, self._shown[id_], self.now_ms) if id_ in self._shown else None
        return Vqt(**update.model_dump(exclude={"element_id"})) if update else nothing(self.now_ms)


def look(reader: Reader, context: Context, spaces: Spaces) -> Look:
    """Look at the record now."""
    return Look(spaces.with_states(queries.state_topics(reader)), context.clock())


def spaces_of(request: Request) -> Spaces:
    """The spaces of the application that was asked."""
    spaces: Spaces = request.app.state.spaces
    return spaces


TheSpaces = Annotated[Spaces, Depends(spaces_of)]


def _look(record: Record, context: Given, spaces: TheSpaces) -> Look:
    return look(record, context, spaces)


Looked = Annotated[Look, Depends(_look)]
