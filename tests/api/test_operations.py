"""Probes, metrics, version, and an OpenAPI document that names every route with its bodies."""

from __future__ import annotations

import pytest
from fastapi.routing import APIRoute
from prometheus_client.parser import text_string_to_metric_families

from metarl_rec import __version__
from service.main import ROUTERS
from service.schemas import BODIES
from tests.running_service import Running

pytestmark = pytest.mark.anyio


async def test_probes_and_version_answer(app: Running) -> None:
    assert (await app.client.get("/livez")).text == "ok\n"
    ready = await app.client.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "degraded": False})
    version = (await app.client.get("/version")).json()
    assert version == {"release": __version__, "policy": app.engine.checkpoint.version}
    assert (await app.client.get("/docs")).status_code == 200


async def test_metrics_parse_and_count_what_happened(app: Running) -> None:
    await app.recommend("ada")
    await app.like("ada", "item1", "e1")
    families = {f.name: f for f in text_string_to_metric_families((await app.client.get("/metrics")).text)}
    assert all(name.startswith("metarl_") for name in families)
    samples = {(s.name, *sorted(s.labels.values())): s.value for family in families.values() for s in family.samples}
    assert samples["metarl_recommendations_total", "champion", "cold", "ok"] == 1
    assert samples["metarl_adaptations_total", "ok"] == 1
    assert samples["metarl_adaptations_total", "failed"] == 0
    assert samples["metarl_http_requests_total", "/v1/feedback", "200", "POST"] == 1
    assert samples["metarl_redis_errors_total", "commit", "timeout"] == 0
    assert samples["metarl_state_resets_total", "checksum"] == 0
    assert samples["metarl_catalog_items",] == 200
    assert samples["metarl_breaker_open",] == 0


async def test_openapi_names_every_route_with_its_bodies_and_problems(app: Running) -> None:
    document = (await app.client.get("/openapi.json")).json()
    known = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    routes = {(route.path, method) for route in known for method in route.methods}
    assert {(path, name.upper()) for path, methods in document["paths"].items() for name in methods} == routes
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for name, operation in methods.items():
            problems = [answer for status, answer in operation["responses"].items() if status >= "400"]
            if not path.startswith("/v1"):
                continue
            assert problems, (path, name)
            assert all(answer["content"].keys() == {"application/problem+json"} for answer in problems), (path, name)
            if name in ("put", "patch"):
                assert "$ref" in operation["requestBody"]["content"]["application/json"]["schema"], (path, name)
    for model in BODIES:
        assert schemas[model.__name__].get("description"), model
    found = _refs(document)
    assert found
    for ref in found:
        assert ref.removeprefix("#/components/schemas/") in schemas, ref


def _refs(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for value in node.values() for ref in _refs(value)]
    if isinstance(node, list):
        return [ref for value in node for ref in _refs(value)]
    return []
