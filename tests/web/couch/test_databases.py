"""Databases: made, removed, their properties and care, and what replicators ask of them."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.couch import Couch

ROOT = "/apps/shop/couch"

NAMES = ["a", "a0_$()+-/z", "a/b", "abc(d)"]
NO_NAMES = ["A", "0a", "ä", "a b", "a.b", "_a", "-a", "a" * 300, "a\\b", "$a"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_database_lives(couch: Couch, name: str) -> None:
    server, path = couch.server, f"{ROOT}/{quote(name, safe='')}"
    made = await server.ask("PUT", path)
    assert (made.status, made.json) == (201, {"ok": True})
    again = await server.ask("PUT", path)
    assert (again.status, again.json["error"]) == (412, "file_exists")
    assert (await server.ask("HEAD", path)).status == 200
    assert (await server.ask("GET", path)).json["db_name"] == name
    assert (await server.ask("PUT", f"{path}/x", json={"v": 1})).status == 201
    assert (await server.ask("DELETE", f"{path}?rev=1-a")).status == 400
    gone = await server.ask("DELETE", path)
    assert (gone.status, gone.json) == (200, {"ok": True})
    for method in ("GET", "HEAD", "DELETE"):
        assert (await server.ask(method, path)).status == 404
    assert (await server.ask("PUT", path)).status == 201
    assert (await server.ask("GET", path)).json["doc_count"] == 0


@pytest.mark.parametrize("name", NO_NAMES)
async def test_names_that_are_none(couch: Couch, name: str) -> None:
    answer = await couch.server.ask("PUT", f"{ROOT}/{quote(name, safe='')}")
    assert (answer.status, answer.json["error"]) == (400, "illegal_database_name")
    assert list(couch.database.collections) == ["db"]


async def test_parameters_of_making_one(couch: Couch) -> None:
    assert (await couch.server.ask("PUT", f"{ROOT}/q?q=8&n=1")).status == 201
    assert (await couch.server.ask("PUT", f"{ROOT}/p?partitioned=true")).status == 400
    assert (await couch.server.ask("PUT", f"{ROOT}/p?partitioned=false")).status == 201


async def test_a_collection_of_the_data_face_is_a_database(couch: Couch) -> None:
    server = couch.server
    await server.ask("PUT", "/api/v1/apps/shop/collections/notes", json={"fields": {"a": "text"}})
    assert (await server.ask("PUT", f"{ROOT}/notes")).status == 412
    assert (await server.ask("PUT", f"{ROOT}/notes/x", json={"a": "b"})).status == 201
    rows = await server.ask("GET", "/apps/shop/rest/v1/notes?select=id,a")
    assert rows.json == [{"id": "x", "a": "b"}]


# ── what replicators ask ───────────────────────────────────────────────────────────────────────────────────


async def test_which_revisions_are_missing(couch: Couch) -> None:
    await couch.graft("a", "2-b", "1-a")
    asked = {"a": ["2-b", "1-a", "3-c", "1-x"], "new": ["1-n"], "known": []}
    answer = await couch.ask("POST", "/_revs_diff", json=asked)
    assert answer.json == {
        "a": {"missing": ["3-c", "1-x"], "possible_ancestors": ["2-b"]},
        "new": {"missing": ["1-n"]},
    }
    answer = await couch.ask("POST", "/_missing_revs", json=asked)
    assert answer.json == {"missing_revs": {"a": ["3-c", "1-x"], "new": ["1-n"]}}


WRONG: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("POST", "/_revs_diff", {"json": {"a": "1-a"}}, 400, "bad_request"),
    ("POST", "/_revs_diff", {"json": {"a": ["x"]}}, 400, "bad_request"),
    ("POST", "/_revs_diff", {"json": {"a": [1]}}, 400, "bad_request"),
    ("POST", "/_revs_diff", {"json": []}, 400, "bad_request"),
    ("POST", "/_revs_diff", {"data": "{}"}, 415, "bad_content_type"),
    ("POST", "/_missing_revs", {"json": {"a": ["x"]}}, 400, "bad_request"),
    ("GET", "/_revs_diff", {}, 405, "method_not_allowed"),
    ("PUT", "/_security", {"json": []}, 400, "bad_request"),
    ("PUT", "/_security", {"json": {"admins": []}}, 400, "bad_request"),
    ("PUT", "/_security", {"json": {"members": {"names": [1]}}}, 400, "bad_request"),
    ("PUT", "/_security", {"data": "{"}, 400, "bad_request"),
    ("PUT", "/_revs_limit", {"data": "0"}, 400, "bad_request"),
    ("PUT", "/_revs_limit", {"data": "true"}, 400, "bad_request"),
    ("PUT", "/_revs_limit", {"data": '"5"'}, 400, "bad_request"),
    ("POST", "/_compact", {"data": "{}"}, 415, "bad_content_type"),
    ("POST", "/_compact/none", {"json": {}}, 404, "not_found"),
    ("POST", "/_ensure_full_commit", {"data": "{}"}, 415, "bad_content_type"),
    ("GET", "/_compact", {}, 405, "method_not_allowed"),
    ("POST", "/_purge", {"json": {}}, 405, "method_not_allowed"),
    ("GET", "/_purged_infos", {}, 404, "not_found"),
    ("GET", "/_local", {}, 400, "bad_request"),
    ("PUT", "/_local", {"json": {}}, 400, "bad_request"),
    ("PUT", "/_local/", {"json": {}}, 400, "bad_request"),
    ("PUT", "/_local%2F", {"json": {}}, 400, "bad_request"),
    ("PUT", "/_local/a/b", {"json": {}}, 400, "bad_request"),
    ("PUT", "/_local/a", {"json": []}, 400, "bad_request"),
    ("PUT", "/_local/a", {"json": {"_id": "_local/b"}}, 400, "bad_request"),
    ("GET", "/_local/none", {}, 404, "not_found"),
    ("DELETE", "/_local/none?rev=0-1", {}, 404, "not_found"),
]


@pytest.mark.parametrize(("method", "path", "options", "status", "error"), WRONG)
async def test_refusals(
    couch: Couch, method: str, path: str, options: dict[str, Any], status: int, error: str
) -> None:
    before = couch.stored()
    answer = await couch.ask(method, path, **options)
    assert (answer.status, answer.json["error"]) == (status, error), answer.body
    assert couch.stored() == before
    assert (await couch.get("/_local_docs"))["rows"] == []


async def test_checkpoints(couch: Couch) -> None:
    """Local documents count their revisions, are in no feed and no list, and know nothing of the past."""
    first = await couch.ask("PUT", "/_local/x%2Fy", json={"last_seq": "5-a"})
    assert (first.status, first.json) == (201, {"ok": True, "id": "_local/x/y", "rev": "0-1"})
    second = await couch.put("/_local/x%2Fy", {"_rev": "0-1", "last_seq": "6-a"})
    assert second == "0-2"
    stale = await couch.ask("PUT", "/_local/x%2Fy", json={"_rev": "0-1"})
    assert (stale.status, stale.json["error"]) == (409, "conflict")
    found = await couch.ask("GET", "/_local/x%2Fy")
    assert found.json == {"_id": "_local/x/y", "_rev": "0-2", "last_seq": "6-a"}
    assert found.headers["ETag"] == '"0-2"'
    assert (await couch.get("/_all_docs"))["rows"] == [] == (await couch.get("/_changes"))["results"]
    gone = await couch.ask("DELETE", "/_local/x%2Fy?rev=0-2")
    assert gone.json == {"ok": True, "id": "_local/x/y", "rev": "0-0"}
    assert (await couch.ask("GET", "/_local/x%2Fy")).status == 404
    assert await couch.put("/_local/x%2Fy", {}) == "0-1"


# ── properties and care ────────────────────────────────────────────────────────────────────────────────────


async def test_security_is_kept(couch: Couch) -> None:
    untouched = await couch.get("/_security")
    assert untouched == {"members": {"roles": ["_admin"]}, "admins": {"roles": ["_admin"]}}
    wanted = {"admins": {"names": ["ada"], "roles": []}, "members": {"names": [], "roles": ["r"]}, "own": 1}
    assert (await couch.ask("PUT", "/_security", json=wanted)).json == {"ok": True}
    assert await couch.get("/_security") == wanted
    assert (await couch.get(""))["doc_count"] == 0


async def test_fewer_ancestors_are_remembered(couch: Couch) -> None:
    assert (await couch.ask("GET", "/_revs_limit")).body == b"1000\n"
    assert (await couch.ask("PUT", "/_revs_limit", data="3")).json == {"ok": True}
    assert await couch.get("/_revs_limit") == 3
    rev = await couch.put("/a", {"n": 0})
    for n in range(1, 6):
        rev = await couch.put("/a", {"_rev": rev, "n": n})
    await couch.database.compact()  # histories are cut when there is time
    found = await couch.get("/a?revs=true")
    assert found["_revisions"]["start"] == 6 and len(found["_revisions"]["ids"]) == 3
    path = [f"{n}-{n}" for n in range(9, 0, -1)]
    await couch.graft("b", *path)
    assert (await couch.get("/b?revs=true"))["_revisions"] == {"start": 9, "ids": ["9", "8", "7"]}


async def test_compaction_forgets_what_may_be_forgotten(couch: Couch) -> None:
    rev = await couch.put("/a", {"n": 0})
    await couch.put("/a", {"_rev": rev, "n": 1})
    await couch.put("/_design/d", {})
    for path in ("/_compact", "/_compact/d"):
        answer = await couch.ask("POST", path, json={})
        assert (answer.status, answer.json) == (202, {"ok": True})
    async with asyncio.timeout(10):
        while (await couch.get(""))["compact_running"]:
            await asyncio.sleep(0.01)
    assert (await couch.get("/a"))["n"] == 1
    assert (await couch.get(f"/a?rev={rev}"))["n"] == 0  # bodies of the last 30 days stay


async def test_everything_is_on_the_disk_already(couch: Couch) -> None:
    number = (await couch.get(""))["instance_start_time"]
    answer = await couch.ask("POST", "/_ensure_full_commit", json={})
    assert (answer.status, answer.json) == (201, {"ok": True, "instance_start_time": number})
    assert (await couch.ask("DELETE")).status == 200
    assert (await couch.ask("PUT")).status == 201
    assert (await couch.get(""))["instance_start_time"] != number


async def test_slashes_more_or_less(couch: Couch) -> None:
    await couch.put("/a", {"n": 1})
    server = couch.server
    for path in ("/db/a", "/db/a/", "//db//a", "/db/_all_docs/", "/db/"):
        assert (await server.ask("GET", ROOT + path)).status == 200, path
