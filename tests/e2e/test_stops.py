"""A stop is given its reason through a running hub: command, answer, tree, record, and again."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.hub import RunningHub, eventually, running, uns, uns_json

pytestmark = pytest.mark.e2e
STOPS = "acme/+/+/+/+/_state/stops"


def _first(hub: RunningHub) -> tuple[str, dict[str, Any]] | None:
    """The topic of some cell's stops, and its newest one."""
    for topic, payload in hub.retained(STOPS, 1).items():
        stop: dict[str, Any] = json.loads(payload)["stops"][0]
        return topic, stop
    return None


def _shown(hub: RunningHub, topic: str, stop_id: str) -> dict[str, Any]:
    found = hub.document(topic).get("stops", [])
    return next((one for one in found if one["stop_id"] == stop_id), {})


def test_a_stop_is_classified_split_and_told_again_from_the_record(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--speed", "4") as hub:
        topic, stop = eventually(lambda: _first(hub), 60, "a stop that is over")
        stop_id, data = stop["stop_id"], hub.data
        refused = uns("stop", "classify", stop_id, "e5l", data=data, code=1)
        assert "did you mean 'e51'" in refused
        reply = uns_json("stop", "classify", stop_id, "e51", data=data)
        assert reply["outcome"] == "accepted"
        middle_ms = stop["since_ms"] + stop["duration_ms"] // 2
        assert uns_json("stop", "split", stop_id, "--at", str(middle_ms), data=data)
        eventually(lambda: _shown(hub, topic, stop_id).get("classified"), 10, "it in the tree")
        half_ms = stop["duration_ms"] // 2
        ids = {stop_id, stop_id.replace(str(stop["since_ms"]), f"{middle_ms}-part")}
        assert _shown(hub, topic, stop_id)["duration_ms"] == half_ms

        def recorded() -> list[dict[str, Any]]:
            found = uns_json("stop", "list", topic.split("/")[4], "--from", "7d", data=data)
            return [one for one in found if one["stop_id"] in ids and one["reason"] == "e51"]

        parts = eventually(lambda: len(recorded()) == 2 and recorded(), 20, "both on record")
        lengths_ms = sorted(round(one["minutes"] * 60_000) for one in parts)
        assert lengths_ms == [half_ms, stop["duration_ms"] - half_ms]
        story = uns_json("stop", "story", stop_id, data=data)
        assert [one["type"] for one in story[-2:]] == ["stop-classified", "stop-split"]
        assert story[-2]["old_reason"] == stop["reason"]
        hub.interrupt()
    assert "equal" in uns("verify", data=data)
