"""What clients ask of the server itself, and who may ask: statuses, bodies, and what changed."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.couch import Couch
from tests.web.conftest import ALLOWED_ORIGIN, WebServer

ROOT = "/apps/shop/couch"
FORBIDDEN = {"error": "forbidden"}


@pytest.fixture
async def shop(couch: Couch) -> WebServer:
    """An app with the databases `a`, `b/c` and `db`."""
    for name in ("a", "b%2Fc"):
        assert (await couch.server.ask("PUT", f"{ROOT}/{name}")).status == 201
    return couch.server


@dataclass(frozen=True)
class Case:
    """A request to the face's root, and what must be in its answer."""

    method: str
    path: str
    status: int
    contains: Any
    json: Any = None
    data: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.json or self.data or ''}"


def config(path: str = "") -> str:
    return f"/_node/_local/_config{path}"


CASES = [
    Case("GET", "", 200, {"couchdb": "Welcome"}),
    Case("GET", "/", 200, {"couchdb": "Welcome"}),
    Case("GET", "/_up", 200, {"status": "ok"}),
    Case("GET", "/_up/", 200, {"status": "ok"}),
    # databases
    Case("GET", "/_all_dbs", 200, ["a", "b/c", "db"]),
    Case("GET", "/_all_dbs?descending=true", 200, ["db", "b/c", "a"]),
    Case("GET", "/_all_dbs?limit=1&skip=1", 200, ["b/c"]),
    Case("GET", "/_all_dbs?limit=0", 200, []),
    Case("GET", '/_all_dbs?startkey="b"', 200, ["b/c", "db"]),
    Case("GET", '/_all_dbs?start_key="b"&end_key="db"&inclusive_end=false', 200, ["b/c"]),
    Case("GET", '/_all_dbs?descending=true&startkey="b/c"&endkey="a"', 200, ["b/c", "a"]),
    Case("GET", '/_all_dbs?key="a"', 200, ["a"]),
    Case("GET", "/_all_dbs?limit=x", 400, {"error": "query_parse_error"}),
    Case("POST", "/_all_dbs", 405, {"error": "method_not_allowed"}, json={}),
    Case("POST", "/_dbs_info", 200, [{"key": "x", "error": "not_found"}], json={"keys": ["x"]}),
    Case("POST", "/_dbs_info", 200, [], json={"keys": []}),
    Case("POST", "/_dbs_info", 400, {"error": "bad_request"}, json={}),
    Case("POST", "/_dbs_info", 400, {"error": "bad_request"}, json={"keys": ["a"] * 101}),
    Case("POST", "/_dbs_info", 415, {"error": "bad_content_type"}, data="{}"),
    # ids
    Case("GET", "/_uuids?count=0", 200, {"uuids": []}),
    Case("GET", "/_uuids?count=1001", 400, {"error": "bad_request"}),
    Case("GET", "/_uuids?count=-1", 400, {"error": "query_parse_error"}),
    Case("POST", "/_uuids", 405, {"error": "method_not_allowed"}),
    # cluster
    Case("GET", "/_membership", 200, {"all_nodes": ["nonode@nohost"], "cluster_nodes": ["nonode@nohost"]}),
    Case("GET", "/_cluster_setup", 200, {"state": "single_node_enabled"}),
    Case("POST", "/_cluster_setup", 200, {"ok": True}, json={"action": "enable_single_node"}),
    Case("POST", "/_cluster_setup", 400, {"error": "bad_request"}, json={"action": "add_node"}),
    # settings
    Case("GET", config("/cors"), 200, {"credentials": "true", "origins": ALLOWED_ORIGIN}),
    Case("GET", config("/cors/credentials"), 200, "true"),
    Case("GET", config("/nothing"), 200, {}),
    Case("GET", config("/cors/nothing"), 404, {"error": "not_found", "reason": "unknown_config_value"}),
    Case("GET", "/_node/other/_config", 404, {"error": "not_found"}),
    Case("GET", "/_node/nonode@nohost/_config/couchdb", 200, {"max_document_size": str(1 << 20)}),
    Case("PUT", config("/cors/credentials"), 200, "true", data='"true"'),
    Case("PUT", config("/cors/credentials"), 403, FORBIDDEN, data='"false"'),
    Case("PUT", config("/cors/origins"), 200, ALLOWED_ORIGIN, data=f'"{ALLOWED_ORIGIN}"'),
    Case("PUT", config("/cors/origins"), 403, FORBIDDEN, data='"app://obsidian.md"'),
    Case("PUT", config("/couchdb/max_document_size"), 200, str(1 << 20), data='"1000"'),
    Case("PUT", config("/couchdb/max_document_size"), 403, FORBIDDEN, data='"50000000"'),
    Case("PUT", config("/new/one"), 403, FORBIDDEN, data='"x"'),
    Case("PUT", config("/cors/credentials"), 400, {"error": "bad_request"}, data="true"),
    # what is not there
    Case("GET", "/nothing", 404, {"error": "not_found", "reason": "Database does not exist."}),
    Case("GET", "/a/b/c/d/e", 404, {"error": "not_found"}),
    Case("PATCH", "/a", 405, {"error": "method_not_allowed"}),
]


def holds(found: Any, wanted: Any) -> bool:
    """Whether an answer is `wanted`, or an object with these members."""
    if isinstance(wanted, dict) and wanted:
        return isinstance(found, dict) and wanted.items() <= found.items()
    return bool(found == wanted)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_the_server(shop: WebServer, case: Case) -> None:
    options: dict[str, Any] = {"json": case.json} if case.json is not None else {"data": case.data}
    answer = await shop.ask(case.method, ROOT + case.path, headers=case.headers, **options)
    assert (answer.status, holds(answer.json, case.contains)) == (case.status, True), answer.body
    assert answer.headers["Content-Type"] == "application/json"
    head = await shop.ask("HEAD", ROOT + case.path)
    if case.method == "GET":
        assert (head.status, head.body) == (case.status, b"")
    assert sorted(shop.services.apps.opened["shop"].database.collections) == ["a", "b/c", "db"]


async def test_ids_are_new_and_ascend(shop: WebServer) -> None:
    answer = await shop.ask("GET", f"{ROOT}/_uuids?count=1000")
    ids = answer.json["uuids"]
    assert ids == sorted(set(ids)) and len(ids) == 1000
    assert all(len(one) == 32 and int(one, 16) for one in ids)
    assert "no-cache" in answer.headers["Cache-Control"]
    assert answer.headers["Pragma"] == "no-cache" and answer.headers["ETag"]


async def test_an_apps_own_host_serves_it_too(shop: WebServer) -> None:
    answer = await shop.ask("GET", "/couch/_all_dbs", app="shop")
    assert answer.json == ["a", "b/c", "db"]
    made = await shop.ask("PUT", "/couch/new", app="shop")
    assert made.headers["Location"] == f"{shop.origin('shop')}/couch/new"
    by_path = await shop.ask("PUT", f"{ROOT}/n%2F2")
    assert by_path.headers["Location"] == f"{shop.origin()}{ROOT}/n%2F2"


async def test_information_is_counted(shop: WebServer) -> None:
    docs = [{"_id": "x"}, {"_id": "y"}, {"_id": "_design/d"}, {"_id": "_local/l"}]
    rows = (await shop.ask("POST", f"{ROOT}/db/_bulk_docs", json={"docs": docs})).json
    await shop.ask("DELETE", f"{ROOT}/db/x?rev={rows[0]['rev']}")
    info = (await shop.ask("GET", f"{ROOT}/db")).json
    assert (info["db_name"], info["doc_count"], info["doc_del_count"]) == ("db", 2, 1)
    assert info["sizes"]["file"] > 0 and info["compact_running"] is False
    feed = (await shop.ask("GET", f"{ROOT}/db/_changes")).json
    assert info["update_seq"] == feed["last_seq"]
    listed = (await shop.ask("GET", f"{ROOT}/_dbs_info")).json
    assert [one["key"] for one in listed] == ["a", "b/c", "db"]
    assert listed[2]["info"] == (await shop.ask("GET", f"{ROOT}/db")).json


# ── who asks ───────────────────────────────────────────────────────────────────────────────────────────────


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


async def test_signing_in(shop: WebServer) -> None:
    """Basic by `owner` or a key's name; what does not fit is 401, and opens no password box in browsers."""
    key = await shop.key("shop", "*:read")
    other = await shop.key("*", "db:read")
    good = [
        (basic("owner", shop.owner), "owner", ["_admin"]),
        (basic("test", key), "test", []),
        ({"apikey": key}, "test", []),
        ({"Authorization": f"Bearer {other}"}, "test", []),
        ({}, None, []),
    ]
    for headers, name, roles in good:
        answer = await shop.ask("GET", f"{ROOT}/_session", token=None, headers=headers)
        assert answer.json["userCtx"] == {"name": name, "roles": roles}
        assert answer.json["info"]["authentication_handlers"] == ["default"]
        assert answer.json["info"].get("authenticated") == (name and "default")
    wrong = [
        basic("owner", "x"),
        basic("test", shop.owner),
        basic("owner", key),
        basic("", shop.owner),
        {"Authorization": "Basic ???"},
        {"Authorization": "Basic "},
        {"Authorization": "Basic //8="},
        {"Authorization": "Bearer x"},
    ]
    for headers in wrong:
        for path in ("/_session", "/db", "/_all_dbs"):
            answer = await shop.ask("GET", ROOT + path, token=None, headers=headers)
            assert (answer.status, answer.json["error"]) == (401, "unauthorized"), (headers, path)
            assert answer.json["reason"] == "Name or password is incorrect."
            assert answer.headers["WWW-Authenticate"] == 'Basic realm="localsrv"'
            for browser in ({"Origin": ALLOWED_ORIGIN}, {"Sec-Fetch-Mode": "cors"}):
                answer = await shop.ask("GET", ROOT + path, token=None, headers={**headers, **browser})
                assert answer.status == 401
                assert "WWW-Authenticate" not in answer.headers
    missing = await shop.ask("GET", f"{ROOT}/db", token=None)
    assert (missing.status, missing.json["error"]) == (401, "unauthorized")


async def test_no_cookies_at_the_servers_own_port(shop: WebServer) -> None:
    form = {"name": "owner", "password": shop.owner}
    forms: list[dict[str, Any]] = [{"json": form}, {"data": form}]
    for options in forms:
        answer = await shop.ask("POST", f"{ROOT}/_session", token=None, **options)
        assert (answer.status, answer.json["error"]) == (403, "forbidden")
        assert "Set-Cookie" not in answer.headers
    bad = await shop.ask("POST", f"{ROOT}/_session", token=None, json={"name": "owner", "password": "x"})
    assert (bad.status, bad.json["reason"]) == (401, "Name or password is incorrect.")
    broken: list[tuple[dict[str, Any], int]] = [
        ({"json": {}}, 400),
        ({"json": []}, 400),
        ({"data": b"x"}, 415),
    ]
    for options, status in broken:
        answer = await shop.ask("POST", f"{ROOT}/_session", token=None, **options)
        assert answer.status == status
    assert (await shop.ask("DELETE", f"{ROOT}/_session", token=None)).json == {"ok": True}
    cookie = {"Cookie": "AuthSession=owner:9999999999:x"}
    assert (await shop.ask("GET", f"{ROOT}/db", token=None, headers=cookie)).status == 401


MAY = [
    # scopes of a key, requests that it may make, requests that it may not
    ("db:read", ["GET /db", "GET /db/_changes", "POST /db/_revs_diff", "PUT /db/_local/x", "GET /_all_dbs",
                 "POST /db/_all_docs", "GET /db/_security"],
     ["POST /db/_bulk_docs", "GET /a", "PUT /new", "DELETE /db", "PUT /db/_security",
      "GET /_node/_local/_config"]),
    ("db:write", ["POST /db/_bulk_docs", "POST /db/_ensure_full_commit"], ["GET /db", "GET /db/_changes"]),
    ("b/c:read", ["GET /b%2Fc"], ["GET /db"]),
    ("*:read", ["GET /db", "GET /b%2Fc"], ["POST /db/_bulk_docs", "PUT /new"]),
    ("sync", ["GET /db", "POST /db/_bulk_docs", "PUT /new", "GET /_node/_local/_config",
              "POST /a/_revs_diff"],
     ["DELETE /db", "PUT /db/_security", "POST /db/_compact", "PUT /db/_revs_limit"]),
    ("admin", ["GET /db", "POST /db/_compact", "DELETE /a"], []),
]  # fmt: skip


@pytest.mark.parametrize(("scope", "may", "may_not"), MAY, ids=[row[0] for row in MAY])
async def test_what_scopes_let_through(
    shop: WebServer, scope: str, may: list[str], may_not: list[str]
) -> None:
    token = await shop.key("shop", scope)
    for target, allowed in [*((t, True) for t in may), *((t, False) for t in may_not)]:
        method, _, path = target.partition(" ")
        body: Any = {"docs": []} if path.endswith("_bulk_docs") else {}
        options: dict[str, Any] = {"json": body} if method in ("POST", "PUT") and path != "/new" else {}
        answer = await shop.ask(method, ROOT + path, token=token, **options)
        assert (answer.status < 300) == allowed, (target, answer.body)
        if not allowed:
            assert (answer.status, answer.json["error"]) == (403, "forbidden"), target
    elsewhere = await shop.ask("GET", "/apps/default/couch/_all_dbs", token=token)
    assert (elsewhere.status, elsewhere.json["error"]) == (403, "forbidden")


async def test_lists_show_what_the_key_may_read(shop: WebServer) -> None:
    token = await shop.key("shop", "a:read", "db:write")
    assert (await shop.ask("GET", f"{ROOT}/_all_dbs", token=token)).json == ["a"]
    asked = await shop.ask("POST", f"{ROOT}/_dbs_info", token=token, json={"keys": ["a", "db"]})
    assert [sorted(one) for one in asked.json] == [["info", "key"], ["error", "key"]]


async def test_pages_of_allowed_origins_may_ask_with_credentials(shop: WebServer) -> None:
    """PouchDB asks with `credentials: "include"`; browsers hide the answer unless credentials are allowed."""
    origin = {"Origin": ALLOWED_ORIGIN}
    asked = {**origin, "Access-Control-Request-Method": "COPY", "Access-Control-Request-Headers": "x-a"}
    preflight = await shop.ask("OPTIONS", f"{ROOT}/db/x", token=None, headers=asked)
    assert preflight.status == 204
    assert "COPY" in preflight.headers["Access-Control-Allow-Methods"]
    answers = [
        preflight,
        await shop.ask("GET", f"{ROOT}/db", headers=origin),
        await shop.ask("GET", f"{ROOT}/db/_changes?feed=continuous&timeout=1", headers=origin),
        await shop.ask("GET", f"{ROOT}/nothing", headers=origin),
        await shop.ask("GET", f"{ROOT}/db", headers=origin, token=None),
    ]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == ALLOWED_ORIGIN
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    rest = await shop.ask("GET", "/apps/shop/rest/v1/db", headers=origin)
    assert "Access-Control-Allow-Credentials" not in rest.headers
    evil = await shop.ask("GET", f"{ROOT}/db", headers={"Origin": "https://evil.example"})
    assert (evil.status, evil.json["error"]) == (403, "forbidden")
    assert "Access-Control-Allow-Origin" not in evil.headers


async def test_every_answer_has_a_name(couch: Couch) -> None:
    """Also refusals, and what is streamed."""
    names = set()
    for path in ("/x", "/_changes", "/_all_docs", "/_no"):
        answer = await couch.ask("GET", path)
        names.add(answer.headers["X-Couch-Request-ID"])
    assert len(names) == 4 and all(len(name) == 10 for name in names)
