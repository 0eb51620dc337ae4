"""/docs: everything it loads comes from the service itself, and it says of every operation what a newcomer needs."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from pydantic import BaseModel

import service.schemas
from service.documentation.guide import DESCRIPTION, TAGS
from tests.running_service import Running

pytestmark = pytest.mark.anyio

ITEM = {"attributes": {"genres": ["Drama", "War"], "year": 1977}}
TYPES = {"script": "text/javascript", "link": "text/css"}


class Page(HTMLParser):
    """What an HTML page loads, and what of it is inline.

    Attributes:
        loaded: tag and address of everything that a browser fetches.
        inline: scripts, styles and handlers that a strict policy forbids.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loaded: list[tuple[str, str]] = []
        self.inline: list[str] = []
        self._in_script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get("src") or (given.get("href") if tag == "link" else None)
        if address is not None and not address.startswith("data:"):
            self.loaded.append((tag, address))
        self._in_script = tag == "script"
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        self.inline += ["style"] if tag == "style" else []

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False


@pytest.mark.parametrize("base", ["http://service/docs", "http://service/behind/a/proxy/docs"])
async def test_page_loads_nothing_but_what_the_service_itself_serves(app: Running, base: str) -> None:
    response = await app.client.get("/docs")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    page = Page(response.text)
    assert [tag for tag, _ in page.loaded] == ["link", "script", "script"]
    for tag, address in page.loaded:
        url = urlsplit(urljoin(base, address))
        assert url.netloc == "service"
        path = url.path.removeprefix("/behind/a/proxy")
        part = await app.client.get(f"{path}?{url.query}")
        assert (part.status_code, part.headers["content-type"]) == (200, f"{TYPES[tag]}; charset=utf-8")
        assert "immutable" in part.headers["cache-control"]
        assert len(part.content) > 100
    assert (await app.client.get("/docs/package.json")).status_code == 404
    assert (await app.client.get("/docs/..%2Fpage.py")).status_code == 404
    assert (await app.client.get("/redoc")).status_code == 404


async def test_page_lets_a_browser_reach_this_origin_alone(app: Running) -> None:
    response = await app.client.get("/docs")
    policy = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
    assert policy.pop("img-src") == "'self' data:"
    assert policy["default-src"] == "'none'"
    assert set(policy.values()) <= {"'self'", "'none'"}
    assert response.headers["x-content-type-options"] == "nosniff"
    assert Page(response.text).inline == []
    script = (await app.client.get("/docs/start.js")).text
    document = re.search(r'url: "([^"]*)"', script)
    assert document is not None
    assert (await app.client.get(urljoin("http://service/docs", document[1]))).json()["openapi"].startswith("3.1")


async def test_every_operation_tells_a_newcomer_what_it_does_takes_and_answers(app: Running) -> None:
    document = (await app.client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    order = [tag["name"] for tag in TAGS]
    assert [tag["name"] for tag in document["tags"]] == order
    operations = {
        f"{method} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    named = [operation["operationId"] for operation in operations.values()]
    assert len(set(named)) == len(named)
    met = [operation["tags"] for operation in operations.values()]
    assert met == sorted(met, key=lambda tags: order.index(*tags))
    for name, operation in operations.items():
        assert operation["summary"], name
        assert operation["description"], name
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description"), (name, parameter)
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert examples_of(content, schemas), name
        for status, answer in operation["responses"].items():
            assert answer["description"] not in ("", "Successful Response", "Problem"), (name, status)
            contents = answer.get("content", {})
            assert bool(contents) == (status != "204"), (name, status)
            for content in contents.values():
                examples = examples_of(content, schemas)
                assert examples, (name, status)
                if status >= "400" and "readyz" not in name:
                    assert examples[0]["status"] == int(status)


async def test_every_field_of_a_request_and_of_an_answer_is_described_or_speaks_for_itself(app: Running) -> None:
    document = (await app.client.get("/openapi.json")).json()
    plain = {"item_id", "user_id", "recommendation_id", "name", "role", "created_at", "title", "status", "release"}
    plain |= {"attributes", "items", "policy", "alias", "body", "code", "user", "rejected", "requests", "results"}
    plain |= {"events", "keys", "tenants", "value", "exploration", "score"}
    for model, schema in document["components"]["schemas"].items():
        bare = {name for name, field in schema.get("properties", {}).items() if "description" not in field}
        assert bare <= plain, (model, bare - plain)


def examples_of(content: dict[str, Any], schemas: dict[str, Any]) -> list[Any]:
    """Returns the examples of a body: its own, or those of its schemas."""
    if "example" in content:
        return [content["example"]]
    parts = content["schema"].get("anyOf", [content["schema"]])
    return [example for part in parts for example in schemas[part["$ref"].rsplit("/", 1)[1]].get("examples", ())]


async def test_every_example_is_what_its_schema_says(app: Running) -> None:
    document = (await app.client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    found = [(name, example) for name, schema in schemas.items() for example in schema.get("examples", ())]
    assert len(found) > 25
    for name, example in found:
        model: type[BaseModel] = getattr(service.schemas, name)
        model.model_validate_json(json.dumps(example))


async def put_items(app: Running) -> None:
    """Stores the items that examples are about."""
    for item in ("50", "172", "181"):
        await app.client.put(f"/v1/items/{item}", json=ITEM)


async def test_examples_of_every_body_run(app: Running) -> None:
    await put_items(app)
    for user in ("ada", "session-8f3a"):
        await app.like(user, "item1", "before")
    await app.recommend("ada", recommendation_id="checkout-8f3a", activate=False)
    document = (await app.client.get("/openapi.json")).json()
    schemas, tried = document["components"]["schemas"], 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            example = {p["name"]: p["example"] for p in operation.get("parameters", ()) if p["in"] == "path"}
            for kind, content in operation.get("requestBody", {}).get("content", {}).items():
                for body in examples_of(content, schemas):
                    raw = body if isinstance(body, str) else json.dumps(body)
                    response = await app.client.request(
                        method, path.format(**example), content=raw, headers={"content-type": kind}
                    )
                    assert response.status_code < 300, (method, path, body, response.text)
                    assert not response.text or not json.loads(response.text).get("rejected"), response.text
                    tried += 1
    assert tried >= 15


async def test_calls_of_the_guide_run_and_make_a_user_personal(app: Running) -> None:
    await put_items(app)
    calls = re.findall(r"127\.0\.0\.1:8000(/\S+) -H 'content-type: application/json' \\\n  -d '([^']+)'", DESCRIPTION)
    answers = [await app.client.post(path, content=body) for path, body in calls]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [answers[at].json()["user"]["status"] for at in (0, 2)] == ["cold", "adapted"]
    assert answers[2].json()["items"][0]["reasons"]
