"""Fixtures that more than one folder of tests uses."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.brokers import RunningBroker, running_broker, small_plant

settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[RunningBroker]:
    """A real mosquitto with the users of a small plant and a `tester` who may do anything."""
    with running_broker(tmp_path / "broker", small_plant()) as broker:
        yield broker
