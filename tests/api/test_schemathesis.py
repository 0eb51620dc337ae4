"""Every operation of the OpenAPI document under generated requests: no 5xx, and every answer as documented."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.main import ROUTERS
from tests.service_process import ServiceProcess

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ROUTES = [
    (method, route.path)
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods)
]


@pytest.fixture(scope="module")
def api_schema(checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The document of a running service that knows a user, an item, a slate."""
    directory = tmp_path_factory.mktemp("schemathesis") / "service"
    # A laden machine is no server error.
    patient = {"redis_timeout_s": 5.0, "redis_connect_timeout_s": 5.0, "seed": 0}
    with ServiceProcess(checkpoint_dir, directory, **patient) as service:
        service.client.put("/v1/users/0", json={"attributes": {"age": 30}})
        service.client.put("/v1/items/0", json={"attributes": {"genres": ["drama"]}})
        service.recommend("0", recommendation_id="0")
        yield schemathesis.openapi.from_url(f"http://127.0.0.1:{service.port}/openapi.json")


@schemathesis.serializer("application/x-ndjson")
def ndjson(_: Any, value: Any) -> bytes:
    """Sends any text as it is: lines that are no JSON are to be rejected one by one."""
    return str(value).encode("utf-8", "replace")


def check(api_schema: Any, method: str, path: str, examples: int) -> None:
    @settings(
        max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
    )
    @given(case=api_schema[path][method].as_strategy())
    def answers_as_documented(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    answers_as_documented()


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_operation_answers_as_documented(api_schema: Any, method: str, path: str) -> None:
    check(api_schema, method, path, 50)


@pytest.mark.soak
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_operation_answers_a_thousand_requests_as_documented(api_schema: Any, method: str, path: str) -> None:
    check(api_schema, method, path, 1000)
