"""PURE: what Grafana watches in the record, and whom it tells: the rules and the contact point.

Owns the rules' SQL, thresholds and names. Must not know how they get into Grafana. A rule's query
gives one number a row; its texts become labels, so every line or source is an alert of its own. No
row means nothing to tell. Alert queries run without a board: they know macros, and no variables.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

from dashboards.model import DATA_SOURCE, TAG, Json

GROUP: Final = "uns"
FOLDER_UID: Final = "uns-alerts"
FOLDER: Final = "UNS alerts"
LABEL: Final = "hub"
CONTACT: Final = "UNS"
CONTACT_UID: Final = "uns-mes"
NOBODY: Final = "plant@example.invalid"
"""Whom the contact point tells until somebody is named: an address that cannot exist."""
EXPRESSION: Final[Json] = {"type": "__expr__", "uid": "__expr__"}

NOW_MS: Final = "$__unixEpochTo()::bigint * 1000"
SINCE_MS: Final = "$__unixEpochFrom()::bigint * 1000"
LINE: Final = "substring(topic FROM '^[^/]+/[^/]+/[^/]+/[^/_][^/]*')"

STALE: Final = f"""
SELECT line, ({NOW_MS} - MAX(at_ms))::float8 / 60000 AS minutes
FROM newest_tags, {LINE} AS line
WHERE line IS NOT NULL
GROUP BY line
ORDER BY line"""  # noqa: S608 - constants of ours

BEHIND: Final = f"""
SELECT line, order_id, 100 * (planned - good::float8 / quantity) AS per_cent
FROM (
    SELECT line, order_id, good, quantity,
        CASE WHEN due_ms <= {NOW_MS} THEN 1
            WHEN started_ms < due_ms
                THEN GREATEST(0, ({NOW_MS} - started_ms)::float8 / (due_ms - started_ms))
            ELSE 0 END AS planned
    FROM orders
    WHERE quantity > 0 AND due_ms IS NOT NULL
        AND dispatch_status IN ('waiting', 'ready', 'running', 'held', 'suspended')
) AS open
ORDER BY line, order_id
LIMIT 200"""  # noqa: S608 - constants of ours
"""Plan: pieces grow evenly from the start of the order to its due time."""

GAPS: Final = f"""
SELECT source, SUM(to_seq - from_seq + 1)::float8 AS events
FROM gaps
WHERE at_ms > {SINCE_MS}
GROUP BY source
ORDER BY source
LIMIT 200"""  # noqa: S608 - constants of ours

REJECTS: Final = f"""
SELECT reject_class, COUNT(*)::float8 AS messages
FROM rejects
WHERE at_ms > {SINCE_MS}
GROUP BY reject_class
ORDER BY reject_class"""  # noqa: S608 - constants of ours

BRIDGE: Final = f"""
SELECT line, 100 * AVG(CASE quality WHEN 'bad' THEN 1 ELSE 0 END)::float8 AS per_cent
FROM newest_tags, {LINE} AS line
WHERE line IS NOT NULL
GROUP BY line
ORDER BY line"""  # noqa: S608 - constants of ours
"""A dead source turns its tags bad."""


@dataclass(frozen=True)
class Rule:
    """Fires for a row whose number is above `above` for `for_` (Grafana's duration).

    `back_s`: how far the query looks back; `summary`: a Go template over the row's texts.
    """

    uid: str
    title: str
    sql: str
    above: float
    summary: str
    for_: str = "5m"
    back_s: int = 3_600
    severity: Literal["warning", "critical"] = "warning"

    def to_json(self) -> Json:
        """What the provisioning API and a provisioning file have in common."""
        return {
            "uid": self.uid,
            "title": self.title,
            "condition": "B",
            "data": [self._query(), self._threshold()],
            "noDataState": "OK",
            "execErrState": "Error",
            "for": self.for_,
            "annotations": {"summary": self.summary},
            "labels": {LABEL: TAG, "severity": self.severity},
            "isPaused": False,
            "notification_settings": {"receiver": CONTACT},
        }

    def _query(self) -> Json:
        return {
            "refId": "A",
            "relativeTimeRange": {"from": self.back_s, "to": 0},
            "datasourceUid": DATA_SOURCE["uid"],
            "model": {
                "refId": "A",
                "datasource": DATA_SOURCE,
                "editorMode": "code",
                "format": "table",
                "rawQuery": True,
                "rawSql": self.sql,
            },
        }

    def _threshold(self) -> Json:
        return {
            "refId": "B",
            "relativeTimeRange": {"from": self.back_s, "to": 0},
            "datasourceUid": EXPRESSION["uid"],
            "model": {
                "refId": "B",
                "datasource": EXPRESSION,
                "type": "threshold",
                "expression": "A",
                "conditions": [{"evaluator": {"type": "gt", "params": [self.above]}}],
            },
        }


RULES: Final = (
    Rule(
        "uns-stale-line",
        "Stale line",
        STALE,
        10,
        "{{ .Labels.line }} has sent no value for more than 10 minutes",
        severity="critical",
    ),
    Rule(
        "uns-bridge-down",
        "Bridge down",
        BRIDGE,
        50,
        "more than half of the tags of {{ .Labels.line }} are bad: its source is away",
        for_="2m",
        severity="critical",
    ),
    Rule(
        "uns-behind-schedule",
        "Behind schedule",
        BEHIND,
        10,
        "order {{ .Labels.order_id }} on {{ .Labels.line }} is more than 10 % behind its plan",
        for_="10m",
    ),
    Rule(
        "uns-gaps",
        "Gaps",
        GAPS,
        0,
        "events of {{ .Labels.source }} never arrived",
        for_="0s",
    ),
    Rule(
        "uns-rejects",
        "Rejects",
        REJECTS,
        0,
        "messages were refused: {{ .Labels.reject_class }}",
        for_="0s",
        back_s=900,
    ),
)


def contact(to: str) -> Json:
    """The contact point that tells a webhook (an http address) or mail addresses."""
    hook = to.startswith(("http://", "https://"))
    settings: dict[str, Any] = {"url": to} if hook else {"addresses": to}
    return {
        "uid": CONTACT_UID,
        "name": CONTACT,
        "type": "webhook" if hook else "email",
        "settings": settings,
        "disableResolveMessage": False,
    }
