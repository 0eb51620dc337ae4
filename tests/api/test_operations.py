"""Probes, metrics, version, and an OpenAPI document that names every route with its bodies."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from metarl_rec import __version__
from tests.running_service import Running

pytestmark = pytest.mark.anyio

ROUTES = {
    "/v1/recommendations": {"post"},
    "/v1/feedback": {"post"},
    "/v1/users/{user_id}": {"get", "put", "delete"},
    "/v1/items/{item_id}": {"get", "put"},
    "/livez": {"get"},
    "/readyz": {"get"},
    "/metrics": {"get"},
    "/version": {"get"},
}
BODIES = {
    ("/v1/recommendations", "post"): {"RecommendationRequest"},
    ("/v1/feedback", "post"): {"Event", "EventBatch"},
    ("/v1/users/{user_id}", "put"): {"UserBody"},
    ("/v1/items/{item_id}", "put"): {"ItemBody"},
}


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


async def test_openapi_names_every_route_with_its_bodies(app: Running) -> None:
    document = (await app.client.get("/openapi.json")).json()
    paths = {path.replace(":path}", "}"): operations for path, operations in document["paths"].items()}
    assert {path: set(operations) for path, operations in paths.items()} == ROUTES
    schemas = document["components"]["schemas"]
    for (path, method), models in BODIES.items():
        operation = paths[path][method]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        refs = [schema["$ref"]] if "$ref" in schema else [entry["$ref"] for entry in schema["anyOf"]]
        assert {ref.rsplit("/", 1)[1] for ref in refs} == models
        assert models <= set(schemas)
        assert "application/json" in operation["responses"]["200"]["content"]
        assert operation["responses"]["422"]["content"].keys() == {"application/problem+json"}
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
