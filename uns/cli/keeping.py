"""What the record says of the retained tree, as the hub's keeper asks it.

Wires reader, questions and plant together. A store is open only while it is asked: the historian
of a DuckDB file, which starts after the first look, finds it free.
"""

import asyncio
from collections.abc import Collection
from typing import Final

from uns.historian import queries
from uns.historian.answers import Question, Result
from uns.historian.cleared import cleared
from uns.historian.errors import HistorianError
from uns.historian.reader import Reader, open_reader
from uns.historian.store import locate
from uns.model.path import parse_topic
from uns.model.plant import Plant
from uns.runtime.errors import RecordAway
from uns.runtime.keeper import Remember
from uns.runtime.retained import Remembered

BEGUN: Final = "SELECT 1 FROM information_schema.tables WHERE table_name = 'tag_samples'"


class _Hurried:
    """A store that is given so many seconds for each answer."""

    def __init__(self, reader: Reader, timeout_s: float) -> None:
        self._reader = reader
        self._timeout_s = timeout_s

    def query(self, question: Question) -> Result:
        """See Source."""
        timeout_s = min(question.timeout_s, self._timeout_s)
        return self._reader.query(question.sql, question.params, question.limit, timeout_s)

    def close(self) -> None:
        """See Source."""
        self._reader.close()


def stored_tree(location: str, plant: Plant) -> Remember:
    """Asks the store at a location what should stand in a plant's tree.

    A store in which no historian has ever been holds nothing.
    """
    path, _ = locate(location)

    def ask(topics: Collection[str], patience_s: float) -> Remembered:
        if path and not path.exists():
            return Remembered({}, {})
        with Reader(_Hurried(open_reader(location), patience_s)) as reader:
            is_new = not reader.query(BEGUN).rows
            return Remembered({}, {}) if is_new else remembered(reader, plant, topics)

    async def remember(topics: Collection[str], patience_s: float) -> Remembered:
        try:
            return await asyncio.to_thread(ask, topics, patience_s)
        except HistorianError as error:
            raise RecordAway(str(error)) from error

    return remember


def remembered(reader: Reader, plant: Plant, topics: Collection[str]) -> Remembered:
    """What should stand: a plant's tags always, and every state that was not cleared.

    topics: where something stands now, that is perhaps a ghost.
    """
    tags = {f"{path}/_tag/{name}" for path, at in plant.cells.items() for name in at.cell.tags}
    places = {*plant.cells, *plant.lines}
    found = {
        topic: payload
        for topic, payload in queries.newest(reader).items()
        if topic in tags or ("/_state/" in topic and parse_topic(topic).path in places)
    }
    gone = cleared(reader, {*topics, *tags} - found.keys())
    kept = {topic: payload for topic, payload in gone.items() if topic in tags and payload}
    ghosts = {topic: payload for topic, payload in gone.items() if topic not in tags}
    return Remembered(found | kept, ghosts)
