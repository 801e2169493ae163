"""The OpenAPI documents say what is served: every route, and nothing that is not valid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from localsrv.web.app import served
from localsrv.web.openapi import member, plain_path
from localsrv.web.routes import ANY, OPEN, Route, RouteTable, decoded_segments
from tests.web.conftest import WebServer

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace", "x-copy"}


def schemas_in(value: Any) -> Iterator[Any]:
    """Every JSON Schema that stands in a document."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "schema":
                yield inner
            elif name == "schemas":
                yield from inner.values()
            else:
                yield from schemas_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from schemas_in(inner)


def check(document: Any) -> None:
    """The rules of OpenAPI 3.1 that a hand-written generator can break."""
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert {"title", "version"} <= set(document["info"])
    assert document["servers"]
    defined = document["components"]
    ids: list[str] = []
    for path, item in document["paths"].items():
        assert path.startswith("/")
        names = re.findall(r"\{([^}]*)\}", path)
        assert len(names) == len(set(names))
        assert set(item) <= METHODS
        for described in item.values():
            ids.append(described["operationId"])
            assert described["summary"]
            parameters = described.get("parameters", [])
            in_path = [p["name"] for p in parameters if p["in"] == "path"]
            assert sorted(in_path) == sorted(names), path
            assert all(p["required"] for p in parameters if p["in"] == "path")
            keys = [(p["in"], p["name"]) for p in parameters]
            assert len(keys) == len(set(keys)), path
            assert described["responses"]
            assert all(re.fullmatch(r"[1-5]\d\d|default", s) for s in described["responses"])
            assert all(r["description"] for r in described["responses"].values())
            for wanted in described.get("security", document["security"]):
                assert set(wanted) <= set(defined["securitySchemes"])
    assert len(ids) == len(set(ids)), [i for i in ids if ids.count(i) > 1]
    for schema in schemas_in(document):
        Draft202012Validator.check_schema(schema)
    for reference in re.findall(r"'\$ref': '([^']*)'", str(document)):
        assert reference.startswith("#/components/schemas/")
        assert reference.rpartition("/")[2] in defined["schemas"]


async def test_every_route_is_in_the_servers_document(web_server: WebServer) -> None:
    document = (await web_server.ask("GET", "/api/v1/openapi.json")).json
    check(document)
    described = {(m, p) for p, item in document["paths"].items() for m in item}
    assert described == {(member(route.method), plain_path(path)) for path, route in served()}
    for path, route in served():
        operation = document["paths"][plain_path(path)][member(route.method)]
        assert (operation.get("security") == []) == (route.scope is OPEN)
        assert route.scope is OPEN or operation["x-scope"]


async def test_forms_are_described_as_forms(web_server: WebServer) -> None:
    paths = (await web_server.ask("GET", "/api/v1/openapi.json")).json["paths"]
    for name in ("token", "device_authorization", "revoke"):
        content = paths[f"/oauth/{name}"]["post"]["requestBody"]["content"]
        assert list(content) == ["application/x-www-form-urlencoded"]
    assert list(paths["/api/v1/keys"]["post"]["requestBody"]["content"]) == ["application/json"]


async def test_an_apps_document_has_what_the_token_may_read(web_server: WebServer) -> None:
    await web_server.make_app(
        "shop",
        items={
            "title": "Items",
            "fields": {
                "id": "integer",
                "name": {"type": "text", "required": True},
                "price": "decimal",
                "stock": {"type": "integer", "default": 7},
            },
            "key": "id",
            "strict": True,
        },
        notes={"fields": {"text": "text"}},
    )
    for path in ("/api/v1/apps/shop/openapi.json", "/apps/shop/rest/v1/"):
        document = (await web_server.ask("GET", path)).json
        check(document)
        assert {"/rest/v1/items", "/rest/v1/notes"} <= set(document["paths"])
        assert document["servers"] == [{"url": f"{web_server.origin()}/apps/shop"}]
        items = document["components"]["schemas"]["items"]
        assert items == {
            "type": "object",
            "title": "Items",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {
                "id": {"type": "integer", "format": "int64"},
                "name": {"type": "string"},
                "price": {
                    "type": ["number", "string", "null"],
                    "description": "A text where a number would lose digits.",
                },
                "stock": {"type": ["integer", "null"], "format": "int64", "default": 7},
            },
        }
        assert document["components"]["schemas"]["notes"]["properties"]["id"] == {"type": "string"}
        operation = document["paths"]["/rest/v1/items"]["get"]
        assert operation["x-scope"] == "items:read"
        row = operation["responses"]["200"]["content"]["application/json"]["schema"]["items"]
        assert row == {"$ref": "#/components/schemas/items"}
    narrow = await web_server.ask(
        "GET", "/rest/v1/", app="shop", token=await web_server.key("shop", "notes:read")
    )
    assert set(narrow.json["paths"]) == {"/rest/v1/notes"}


async def test_answers_are_what_the_document_says(web_server: WebServer) -> None:
    """A walk over the admin face, each answer checked against its route's schema."""
    await web_server.make_app("shop", items={"fields": {"name": "text"}})
    await web_server.fill("shop", "items", {"_id": "a", "name": "apple"})
    key = {"name": "k", "app": "shop", "scopes": ["*:read"], "origin": "http://a.example", "expires_in": 60}
    walk: list[tuple[str, str, Any]] = [
        ("GET", "/api/v1/health", None),
        ("GET", "/api/v1/status", None),
        ("GET", "/api/v1/apps", None),
        ("POST", "/api/v1/apps", {"id": "more", "title": None}),
        ("GET", "/api/v1/apps/{app}", None),
        ("GET", "/api/v1/apps/{app}/collections", None),
        ("PUT", "/api/v1/apps/{app}/collections/{collection}", {"fields": {"name": "text", "a": "integer"}}),
        ("POST", "/api/v1/apps/{app}/collections/{collection}/import", [{"_id": "b", "name": "pear"}]),
        ("GET", "/api/v1/apps/{app}/collections/{collection}/documents", None),
        ("POST", "/api/v1/apps/{app}/query", {"sql": "SELECT 1 AS one"}),
        ("POST", "/api/v1/keys", key),
        ("GET", "/api/v1/keys", None),
        ("POST", "/api/v1/codes", {"app": "shop"}),
        ("GET", "/api/v1/openapi.json", None),
        ("DELETE", "/api/v1/apps/{app}", None),
        ("GET", "/api/v1/apps/nothing", None),
    ]
    document = (await web_server.ask("GET", "/api/v1/openapi.json")).json
    for method, template, body in walk:
        path = template.replace("{app}", "shop").replace("{collection}", "items")
        answer = await web_server.ask(method, path, json=body)
        item = document["paths"].get(template) or document["paths"]["/api/v1/apps/{app}"]
        responses = item[method.lower()]["responses"]
        response = responses.get(str(answer.status), responses["default"])
        schema = response["content"]["application/json"]["schema"]
        if "$ref" in schema:
            schema = document["components"]["schemas"]["Error"]
        Draft202012Validator(schema).validate(answer.json)


# ── the route table ────────────────────────────────────────────────────────────────────────────────────────


async def _handler(request: Any) -> Any:
    raise NotImplementedError


def route(method: str, path: str) -> tuple[str, Route]:
    return path, Route(method, path, _handler, ANY, "x")


TABLE = RouteTable(
    [
        route("GET", "/a"),
        route("POST", "/a"),
        route("GET", "/a/{x}"),
        route("GET", "/a/b"),
        route("DELETE", "/a/{y}"),
        route("GET", "/a/{x}/c/{y}"),
        route("POST", "/a/b/d"),
        route("GET", "/a/"),
        route("PUT", "/f/{x}"),
        route("PUT", "/f/{x}/{rest...}"),
        route("GET", "/f/{x}/fixed"),
    ]
)

FOUND: list[tuple[str, dict[str, tuple[str, dict[str, str]]]]] = [
    ("/a", {"GET": ("/a", {}), "HEAD": ("/a", {}), "POST": ("/a", {})}),
    ("/a/", {"GET": ("/a/", {}), "HEAD": ("/a/", {})}),
    ("/a/b", {"GET": ("/a/b", {}), "HEAD": ("/a/b", {})}),
    ("/a/z", {"GET": ("/a/{x}", {"x": "z"}), "HEAD": ("/a/{x}", {"x": "z"}),
              "DELETE": ("/a/{y}", {"y": "z"})}),
    ("/a/b/c/1", {"GET": ("/a/{x}/c/{y}", {"x": "b", "y": "1"}),
                  "HEAD": ("/a/{x}/c/{y}", {"x": "b", "y": "1"})}),
    ("/a/b/d", {"POST": ("/a/b/d", {})}),
    ("/a/x%2Fy", {m: (p, {n: "x/y"}) for m, p, n in
                  (("GET", "/a/{x}", "x"), ("HEAD", "/a/{x}", "x"), ("DELETE", "/a/{y}", "y"))}),
    ("/a?b=/c", {"GET": ("/a", {}), "HEAD": ("/a", {}), "POST": ("/a", {})}),
    ("/f/1", {"PUT": ("/f/{x}", {"x": "1"})}),
    ("/f/1/a", {"PUT": ("/f/{x}/{rest...}", {"x": "1", "rest": "a"})}),
    ("/f/1/a/b%2Fc//d/", {"PUT": ("/f/{x}/{rest...}", {"x": "1", "rest": "a/b/c//d/"})}),
    ("/f/1/fixed/a", {"PUT": ("/f/{x}/{rest...}", {"x": "1", "rest": "fixed/a"})}),
    ("/f/1/fixed", {m: ("/f/{x}/fixed", {"x": "1"}) for m in ("GET", "HEAD")}),
    ("/f/1/", {}),
    ("/f//a", {}),
    ("/", {}),
    ("/b", {}),
    ("/a/b/c", {}),
    ("/a//c/1", {}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "wanted"), FOUND, ids=[f[0] for f in FOUND])
def test_paths_find_their_routes(path: str, wanted: dict[str, tuple[str, dict[str, str]]]) -> None:
    found = TABLE.find(decoded_segments(path))
    assert {m: (r.path, values) for m, (r, values) in found.items()} == wanted


def test_the_same_route_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="twice"):
        RouteTable([route("GET", "/a/{x}"), route("GET", "/a/{y}")])
