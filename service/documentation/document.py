"""The OpenAPI document: FastAPI's, with the bodies that routes parse themselves, keys, meanings and examples."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.documentation.guide import TAGS
from service.documentation.problems import described_problem
from service.roles import need_of
from service.schemas import BODIES, Problem

__all__ = ["openapi_document"]

_KEYS: Final = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_PATH_PARAMETERS: Final = {
    "user_id": ("Whom; any text of 1 to 256 characters, percent-encoded.", "ada"),
    "item_id": ("Which item; any text of 1 to 256 characters, percent-encoded.", "50"),
    "recommendation_id": ("Which slate: the id that came with it.", "checkout-8f3a"),
    "key_id": ("Which key: its id, never the key itself.", "0199a1b2c3d44f5e6a7b"),
    "name": ("Which tenant.", "shop-2"),
}
_GUARD: Final = ("401", "403", "429", "503")
"""What the check of a key may answer, before any operation."""

_REFS: Final = "#/components/schemas/"


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """Returns the application's OpenAPI document."""
    if app.openapi_schema is None:
        app.openapi_schema = _built(app)
    return app.openapi_schema


def _built(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes,
        tags=TAGS, license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )  # fmt: skip
    models: tuple[type[BaseModel], ...] = (*BODIES, Problem)
    _, found = models_json_schema([(model, "validation") for model in models], ref_template=_REFS + "{model}")
    components = document.setdefault("components", {})
    components["securitySchemes"] = _KEYS
    schemas = components.setdefault("schemas", {})
    schemas.update(found["$defs"])
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(operation, method.upper(), path, schemas)
    return document


def _complete(operation: dict[str, Any], method: str, path: str, schemas: dict[str, Any]) -> None:
    """Says of an operation what FastAPI cannot know of it."""
    need, responses = need_of(method, path), operation["responses"]
    operation["security"] = [{name: []} for name in _KEYS] if need is not None else []
    if need is not None:
        responses |= {status: {} for status in _GUARD}
        operation["description"] = f"{operation['description']}\n\nNeeds {need}, where keys are asked for."
    for status in responses:
        if (path.startswith("/v1") and status >= "400") or status in _GUARD:
            responses[status] = described_problem(int(status), operation["tags"][0])
        else:
            responses[status]["description"] = _meaning(status, responses[status], schemas)
    operation["responses"] = dict(sorted(responses.items()))
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            parameter["description"], parameter["example"] = _PATH_PARAMETERS[parameter["name"]]


def _meaning(status: str, response: dict[str, Any], schemas: dict[str, Any]) -> str:
    """Returns what a response is: in its own words, or in those of its schema."""
    described: str = response["description"]
    ref = response.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref")
    if ref is not None:
        described = schemas[ref.removeprefix(_REFS)]["description"]
    return "Done; there is nothing to tell." if status == "204" else described
