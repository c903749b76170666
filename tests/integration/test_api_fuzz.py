"""Whatever is asked of the API: no 5xx, and no answer that OpenAPI does not announce."""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, CheckFunction, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.served import fill, served

EXAMPLES: Final = int(os.environ.get("UNS_FUZZ_EXAMPLES", "4"))
FACES: Final = ("", "/i3x/v1")
TOLD: Final[list[CheckFunction]] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
"""Not the two about data: OpenAPI cannot say that `from` lies before `to`, or what is a place."""


@pytest.fixture(scope="module")
def api(shared_location: str) -> Iterator[httpx.Client]:
    with served(fill(shared_location)) as (url, _), httpx.Client(base_url=url, timeout=60) as api:
        yield api


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("mode", GenerationMode)
def test_whatever_is_asked_is_answered_as_announced(
    api: httpx.Client, face: str, mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_dict(api.get(f"{face}/openapi.json").json())
    operations = [one.ok() for one in schema.get_all_operations() if isinstance(one, Ok)]
    assert len(operations) > 10
    for operation in operations:
        if not operation.path.endswith("/stream"):  # what it answers has no end
            _fuzz(api, face, operation, mode)


def _fuzz(
    api: httpx.Client, face: str, operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode
) -> None:
    @seed(1)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Case[Any]) -> None:
        answer = _send(api, face, case)
        case.validate_response(answer, checks=TOLD)

    with suppress(Unsatisfiable):  # what takes no parameter cannot be asked wrongly
        ask()


def _send(api: httpx.Client, face: str, case: Case[Any]) -> httpx.Response:
    """By our client: the library's own fails beside the urllib3 that grafana-client brings."""
    asked = case.as_transport_kwargs(base_url=f"{api.base_url}".rstrip("/") + face)
    del asked["cookies"]
    if isinstance(asked.get("data"), bytes | str):
        asked["content"] = asked.pop("data")
    return api.request(**asked)
