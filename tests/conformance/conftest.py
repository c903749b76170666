"""What several files of conformance tests read."""

import asyncio

import pytest

from tests.brokers import running_broker, small_plant
from tests.conformance.edge_recording import Recording, script


@pytest.fixture(scope="session", params=["3.1.1", "5"])
def recording(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Recording:
    """What one edge node sends to a real mosquitto, in either version of MQTT; played once."""
    with running_broker(tmp_path_factory.mktemp("broker"), small_plant()) as broker:
        return asyncio.run(script(broker, request.param))
