"""PURE: what a reader chooses, and the links between boards that carry it.

Owns the uid of every board and the chain enterprise -> site -> area -> line -> cell, which each
board begins with. A chosen place is its whole path; an empty choice selects nothing.
"""

from typing import Final

from dashboards.model import Variable

OVERVIEW: Final = "uns-plant-overview"
LINE: Final = "uns-line"
DOWNTIME: Final = "uns-downtime"
QUALITY: Final = "uns-quality"
GENEALOGY: Final = "uns-genealogy"
LOSSES: Final = "uns-losses"
HANDOVER: Final = "uns-handover"
HEALTH: Final = "uns-health"

ENTERPRISES: Final = """
SELECT DISTINCT split_part(topic, '/', 1) AS __value, split_part(topic, '/', 1) AS __text
FROM processor_states
ORDER BY 1"""

SITES: Final = """
SELECT DISTINCT site AS __value, split_part(site, '/', 2) AS __text
FROM processor_states, substring(topic FROM '^[^/]+/[^/]+') AS site
WHERE split_part(topic, '/', 1) = ANY (ARRAY[${enterprise:sqlstring}]::text[])
ORDER BY 1"""

AREAS: Final = """
SELECT DISTINCT area AS __value, substring(area FROM '[^/]+/[^/]+$') AS __text
FROM processor_states, substring(topic FROM '^[^/]+/[^/]+/[^/]+') AS area
WHERE substring(topic FROM '^[^/]+/[^/]+') = ANY (ARRAY[${site:sqlstring}]::text[])
ORDER BY 1"""

LINES: Final = """
SELECT DISTINCT line AS __value, substring(line FROM '[^/]+/[^/]+$') AS __text
FROM processor_states, split_part(topic, '/_hub/', 1) AS line
WHERE substring(topic FROM '^[^/]+/[^/]+/[^/]+') = ANY (ARRAY[${area:sqlstring}]::text[])
ORDER BY 1"""

CELLS: Final = """
SELECT cell AS __value, substring(cell FROM '[^/]+/[^/]+$') AS __text
FROM unnest(ARRAY[${line:sqlstring}]::text[]) AS line
CROSS JOIN LATERAL (
    SELECT document -> 'cells' AS cells FROM states
    WHERE topic = line || '/_state/oee' ORDER BY rev DESC LIMIT 1
) AS newest
CROSS JOIN json_object_keys(CASE json_typeof(cells) WHEN 'object' THEN cells END) AS word
CROSS JOIN LATERAL (SELECT line || '/' || replace(word, '_', '-') AS cell) AS place
ORDER BY 1"""
"""A document key has `_` where a cell's name has `-`."""

CHAIN: Final = (
    Variable("enterprise", "Enterprise", ENTERPRISES),
    Variable("site", "Site", SITES),
    Variable("area", "Area", AREAS),
    Variable("line", "Line", LINES),
    Variable("cell", "Cell", CELLS),
)
EVERY: Final = "$__all"


def link(uid: str, **given: str) -> str:
    """The address of a board with the chosen time and places; `given`: other choices by variable.

    A line that is given is shown with all of its cells, unless one is given, too.
    """
    choices = {variable.name: f"${{{variable.name}:queryparam}}" for variable in CHAIN}
    if "line" in given:
        choices["cell"] = f"var-cell={EVERY}"
    choices |= {name: f"var-{name}={value}" for name, value in given.items()}
    return f"/d/{uid}?${{__url_time_range}}&" + "&".join(choices.values())


def of_row(column: str) -> str:
    """The value of another column in the row that was clicked."""
    return f"${{__data.fields.{column}:percentencode}}"


ONE_LINE: Final = link(LINE, line=of_row("line"))
ONE_CELL: Final = link(LINE, cell="${__field.labels.cell:percentencode}")
