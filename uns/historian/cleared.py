"""What was cleared from the tree, by the record: the questions of whoever repairs a broker.

Owns the SQL for that, the same on every store. Topics are asked for by name, in bounded parts.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from uns.historian.answers import ROWS_MAX
from uns.historian.reader import Reader
from uns.historian.rows import TagRow
from uns.historian.samples import tag_payload

PART: Final = 5_000
"""Topics a question: their names fit a line of the query port."""
CLEARED: Final = "SELECT DISTINCT topic FROM cleared WHERE topic IN ({topics})"
LAST_TAGS: Final = f"""
SELECT DISTINCT ON (topic) {", ".join(TagRow._fields)}
FROM (SELECT * FROM tag_samples UNION ALL SELECT * FROM tag_samples_kept) AS t
WHERE topic IN ({{topics}})
ORDER BY topic, at_ms DESC, received_ms DESC, quality
"""  # noqa: S608 - names of ours
LAST_STATES: Final = """
SELECT DISTINCT ON (topic) topic, CAST(document AS TEXT)
FROM states WHERE topic IN ({topics})
ORDER BY topic, rev DESC
"""


def cleared(reader: Reader, topics: Collection[str]) -> dict[str, bytes]:
    """Those of some topics that were ever cleared, each with its last payload before or after.

    The payload is empty where none is on record. Raises what a Reader raises.
    """
    found = {topic: b"" for (topic,) in _ask(reader, CLEARED, sorted(topics))}
    tags = _ask(reader, LAST_TAGS, [topic for topic in found if "/_tag/" in topic])
    states = _ask(reader, LAST_STATES, [topic for topic in found if "/_state/" in topic])
    found |= {row[0]: tag_payload(TagRow(*row)) for row in tags}
    return found | {topic: document.encode() for topic, document in states}


def _ask(reader: Reader, sql: str, topics: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(topics), PART):
        part = topics[start : start + PART]
        places = ", ".join(f"${n + 1}" for n in range(len(part)))
        yield from reader.query(sql.format(topics=places), part, ROWS_MAX).rows
