"""One document: read, written, deleted, and every parameter of reading."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.support.couch import JSON, Couch


async def tree(couch: Couch) -> None:
    """A document with a winner of three generations, a live conflict and a deleted one."""
    await couch.graft("d", "1-a", v="first")
    await couch.graft("d", "3-c", "2-b", "1-a", v="winner")
    await couch.graft("d", "2-x", "1-a", v="conflict")
    await couch.graft("d", "2-y", "1-a", v="gone", _deleted=True)


async def test_a_document_lives(couch: Couch) -> None:
    made = await couch.ask("PUT", "/a", json={"v": 1})
    first = made.json["rev"]
    assert (made.status, made.json) == (201, {"ok": True, "id": "a", "rev": first})
    assert made.headers["ETag"] == f'"{first}"'
    assert made.headers["Location"].endswith("/apps/shop/couch/db/a")
    found = await couch.ask("GET", "/a")
    assert found.json == {"_id": "a", "_rev": first, "v": 1}
    assert (found.headers["ETag"], found.headers["Content-Type"]) == (f'"{first}"', "application/json")

    changed = await couch.ask("PUT", "/a", json={"_id": "a", "_rev": first, "v": 2})
    second = changed.json["rev"]
    assert changed.status == 201 and second.startswith("2-")
    assert await couch.get("/a?revs=true") == {
        "_id": "a", "_rev": second, "v": 2, "_revisions": {"start": 2, "ids": [second[2:], first[2:]]}
    }  # fmt: skip
    assert await couch.get(f"/a?rev={first}") == {"_id": "a", "_rev": first, "v": 1}

    deleted = await couch.ask("DELETE", f"/a?rev={second}")
    third = deleted.json["rev"]
    assert (deleted.status, deleted.json["ok"], deleted.headers["ETag"]) == (200, True, f'"{third}"')
    gone = await couch.ask("GET", "/a")
    assert (gone.status, gone.json) == (404, {"error": "not_found", "reason": "deleted"})
    assert await couch.get(f"/a?rev={third}") == {"_id": "a", "_rev": third, "_deleted": True}

    again = await couch.ask("PUT", "/a", json={"v": 3})
    assert again.status == 201 and again.json["rev"].startswith("4-")
    assert (await couch.get("/a"))["v"] == 3


async def test_every_edit_makes_a_revision(couch: Couch) -> None:
    first = await couch.put("/a", {"v": 1})
    second = await couch.put("/a", {"v": 1, "_rev": first})
    assert second.startswith("2-")


SPECIAL = [
    "a b", "a/b", "a%2Fb", "ü€😀", "a?b#c", "a+b", "a&b=c", '"quoted"', "..", "-", "0", "x" * 1000, "a\\b",
    "ends/", "line\nbreak",
]  # fmt: skip


@pytest.mark.parametrize("ident", SPECIAL)
async def test_ids_of_all_kinds(couch: Couch, ident: str) -> None:
    path = "/" + quote(ident, safe="").replace(".", "%2E")
    made = await couch.ask("PUT", path, json={"v": 1})
    assert (made.status, made.json["id"]) == (201, ident)
    assert (await couch.get(path))["_id"] == ident
    rows = (await couch.ask("POST", "/_bulk_get", json={"docs": [{"id": ident}]}, headers=JSON)).json
    assert rows["results"][0]["docs"][0]["ok"]["_id"] == ident
    assert (await couch.ask("DELETE", f"{path}?rev={made.json['rev']}")).status == 200


async def test_head_has_no_body_and_the_same_headers(couch: Couch) -> None:
    rev = await couch.put("/a", {"v": 1})
    for query in ("", "?revs=true"):
        got, head = await couch.ask("GET", f"/a{query}"), await couch.ask("HEAD", f"/a{query}")
        assert (head.status, head.body) == (200, b"")
        for name in ("ETag", "Content-Type", "Content-Length"):
            assert head.headers[name] == got.headers[name]
        assert head.headers["ETag"] == f'"{rev}"'
    assert (await couch.ask("HEAD", "/b")).status == 404


async def test_post_makes_a_document(couch: Couch) -> None:
    made = await couch.ask("POST", json={"v": 1})
    ident = made.json["id"]
    assert (made.status, len(ident)) == (201, 32)
    assert made.headers["Location"].endswith(f"/db/{ident}")
    assert (await couch.get(f"/{ident}"))["v"] == 1
    named = await couch.ask("POST", json={"_id": "named", "v": 2})
    assert named.json["id"] == "named"
    again = await couch.ask("POST", json={"_id": "named", "v": 3})
    assert (again.status, again.json["error"]) == (409, "conflict")
    assert (await couch.get("/named"))["v"] == 2


@pytest.mark.parametrize(("method", "path"), [("PUT", "/a?batch=ok"), ("POST", "?batch=ok")])
async def test_a_batched_write_is_durable(couch: Couch, method: str, path: str) -> None:
    done = await couch.ask(method, path, json={"_id": "a", "v": 1})
    assert (done.status, done.json) == (202, {"ok": True, "id": "a"})
    assert (await couch.get("/a"))["v"] == 1


@pytest.mark.parametrize("prefix", ["_design/", "_design%2F"])
async def test_design_documents(couch: Couch, prefix: str) -> None:
    path = f"/{prefix}views"
    rev = await couch.put(path, {"language": "query"})
    assert await couch.get("/_design/views") == {"_id": "_design/views", "_rev": rev, "language": "query"}
    assert (await couch.get("/_design%2Fviews"))["_rev"] == rev
    rev = await couch.put(path, {"_rev": rev, "v": 2})
    assert (await couch.ask("DELETE", f"{path}?rev={rev}")).status == 200
    assert (await couch.ask("GET", path)).json["reason"] == "deleted"


@pytest.mark.parametrize("path", ["/_local%2Fcheck", "/_local/check"])
async def test_local_documents_by_either_address(couch: Couch, path: str) -> None:
    rev = await couch.put(path, {"seq": 1})
    assert await couch.get(path) == {"_id": "_local/check", "_rev": rev, "seq": 1}
    assert (await couch.ask("DELETE", f"{path}?rev={rev}")).status == 200
    assert (await couch.ask("GET", path)).status == 404


READS: list[tuple[str, str, dict[str, Any]]] = [
    ("the winner", "", {"_rev": "3-c", "v": "winner"}),
    ("a conflict", "?rev=2-x", {"_rev": "2-x", "v": "conflict"}),
    ("a deleted leaf", "?rev=2-y", {"_rev": "2-y", "v": "gone", "_deleted": True}),
    ("an ancestor", "?rev=1-a", {"_rev": "1-a", "v": "first"}),
    ("conflicts", "?conflicts=true", {"_rev": "3-c", "v": "winner", "_conflicts": ["2-x"]}),
    ("deleted conflicts", "?deleted_conflicts=true",
     {"_rev": "3-c", "v": "winner", "_deleted_conflicts": ["2-y"]}),
    ("revs", "?revs=true",
     {"_rev": "3-c", "v": "winner", "_revisions": {"start": 3, "ids": ["c", "b", "a"]}}),
    ("revs of a conflict", "?rev=2-x&revs=true",
     {"_rev": "2-x", "v": "conflict", "_revisions": {"start": 2, "ids": ["x", "a"]}}),
    ("revs_info", "?revs_info=true", {"_rev": "3-c", "v": "winner", "_revs_info": [
        {"rev": "3-c", "status": "available"}, {"rev": "2-b", "status": "missing"},
        {"rev": "1-a", "status": "available"}]}),
    ("meta", "?meta=true", {"_rev": "3-c", "v": "winner", "_conflicts": ["2-x"],
     "_deleted_conflicts": ["2-y"], "_revs_info": [
        {"rev": "3-c", "status": "available"}, {"rev": "2-b", "status": "missing"},
        {"rev": "1-a", "status": "available"}]}),
    ("local_seq", "?local_seq=true", {"_rev": "3-c", "v": "winner", "_local_seq": 4}),
    ("latest of an ancestor", "?rev=1-a&latest=true", {"_rev": "3-c", "v": "winner"}),
    ("latest of a leaf", "?rev=2-x&latest=true", {"_rev": "2-x", "v": "conflict"}),
    ("latest of a revision without body", "?rev=2-b&latest=true", {"_rev": "3-c", "v": "winner"}),
    ("what is not true", "?conflicts=yes&revs=1&meta=&unknown=x", {"_rev": "3-c", "v": "winner"}),
    ("att_encoding_info", "?att_encoding_info=true", {"_rev": "3-c", "v": "winner"}),
]  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), [r[1:] for r in READS], ids=[r[0] for r in READS])
async def test_reading(couch: Couch, query: str, expected: dict[str, Any]) -> None:
    await tree(couch)
    assert await couch.get(f"/d{query}") == {"_id": "d", **expected}


async def test_meta_has_no_etag(couch: Couch) -> None:
    await tree(couch)
    for query, has in (("", True), ("?revs=true", True), ("?rev=2-x", True), ("?conflicts=true", False)):
        assert ("ETag" in (await couch.ask("GET", f"/d{query}")).headers) is has


async def test_a_client_that_has_it_is_told_so(couch: Couch) -> None:
    rev = await couch.put("/a", {"v": 1})
    for tag in (f'"{rev}"', f'W/"{rev}"', f'"x", "{rev}"', "*"):
        for query in ("", "?revs=true"):
            same = await couch.ask("GET", f"/a{query}", headers={"If-None-Match": tag})
            assert (same.status, same.body, same.headers["ETag"]) == (304, b"", f'"{rev}"')
    changed = await couch.put("/a", {"v": 2, "_rev": rev})
    other = await couch.ask("GET", "/a", headers={"If-None-Match": f'"{rev}"'})
    assert (other.status, other.json["_rev"]) == (200, changed)


async def test_the_revision_may_stand_in_any_place(couch: Couch) -> None:
    rev = await couch.put("/a", {"v": 0})
    ways: list[tuple[str, dict[str, str], bool]] = [
        ("", {}, True),
        ("?rev={rev}", {}, False),
        ("", {"If-Match": "{rev}"}, False),
        ("", {"If-Match": '"{rev}"'}, False),
        ("?rev={rev}", {"If-Match": '"{rev}"'}, True),
    ]
    for number, (query, headers, in_body) in enumerate(ways, 1):
        document = {"v": number, **({"_rev": rev} if in_body else {})}
        sent = {name: value.format(rev=rev) for name, value in headers.items()}
        done = await couch.ask("PUT", f"/a{query.format(rev=rev)}", json=document, headers=sent)
        assert done.status == 201, done.body
        rev = done.json["rev"]
    assert (await couch.get("/a"))["v"] == len(ways)
    done = await couch.ask("DELETE", "/a", headers={"If-Match": f'"{rev}"'})
    assert done.status == 200


BODY_QUERY = "Document rev from request body and query string have different values"
HEADER = "Document rev and etag have different values"
CONFLICT = "Document update conflict."

REFUSED: list[tuple[str, str, str, Any, dict[str, str], int, str, str]] = [
    ("body and query", "PUT", "/d?rev=1-a", {"_rev": "3-c"}, {}, 400, "bad_request", BODY_QUERY),
    ("body and etag", "PUT", "/d", {"_rev": "3-c"}, {"If-Match": "1-a"}, 400, "bad_request", HEADER),
    ("query and etag", "PUT", "/d?rev=3-c", {}, {"If-Match": "1-a"}, 400, "bad_request", HEADER),
    ("query and etag of a delete", "DELETE", "/d?rev=3-c", None, {"If-Match": "1-a"}, 400, "bad_request",
     HEADER),
    ("no revision", "PUT", "/d", {}, {}, 409, "conflict", CONFLICT),
    ("an ancestor", "PUT", "/d", {"_rev": "1-a"}, {}, 409, "conflict", CONFLICT),
    ("an unknown revision", "PUT", "/d", {"_rev": "3-z"}, {}, 409, "conflict", CONFLICT),
    ("a revision of nothing", "PUT", "/new", {"_rev": "1-z"}, {}, 409, "conflict", CONFLICT),
    ("a local revision", "PUT", "/d", {"_rev": "0-1"}, {}, 409, "conflict", CONFLICT),
    ("delete without revision", "DELETE", "/d", None, {}, 409, "conflict", CONFLICT),
    ("delete an ancestor", "DELETE", "/d?rev=1-a", None, {}, 409, "conflict", CONFLICT),
    ("delete nothing", "DELETE", "/new?rev=1-a", None, {}, 404, "not_found", "missing"),
    ("no rev at all", "PUT", "/d?rev=", {}, {}, 400, "bad_request", "Invalid rev format"),
    ("rev without number", "PUT", "/d?rev=abc", {}, {}, 400, "bad_request", "Invalid rev format"),
    ("rev that would break JSON", "PUT", "/d?new_edits=false", {"_rev": '1-a","x":"y'}, {}, 400,
     "bad_request", "Invalid rev format"),
    ("rev that is no text", "PUT", "/d", {"_rev": 1}, {}, 400, "bad_request", "Invalid rev format"),
    ("rev with sign", "PUT", "/d", {"_rev": "-1-a"}, {}, 400, "bad_request", "Invalid rev format"),
    ("rev beyond numbers", "PUT", "/d", {"_rev": "9" * 30 + "-a"}, {}, 400, "bad_request",
     "Invalid rev format"),
    ("an etag that is none", "PUT", "/d", {}, {"If-Match": "abc"}, 400, "bad_request", "Invalid rev format"),
    ("rev of a read", "GET", "/d?rev=abc", None, {}, 400, "bad_request", "Invalid rev format"),
    ("open_revs no JSON", "GET", "/d?open_revs=abc", None, {}, 400, "bad_request", "invalid UTF-8 JSON"),
    ("open_revs no list", "GET", "/d?open_revs=5", None, {}, 400, "bad_request", "Invalid list of revisions"),
    ("open_revs no revs", "GET", "/d?open_revs=[1]", None, {}, 400, "bad_request", "Invalid rev format"),
    ("atts_since no revs", "GET", '/d?atts_since=["x"]', None, {}, 400, "bad_request", "Invalid rev format"),
    ("an unknown rev", "GET", "/d?rev=1-z", None, {}, 404, "not_found", "missing"),
    ("a rev of generation 0", "GET", "/d?rev=0-1", None, {}, 404, "not_found", "missing"),
    ("a rev that has no body", "GET", "/d?rev=2-b", None, {}, 404, "not_found", "missing"),
    ("latest of an unknown rev", "GET", "/d?rev=1-z&latest=true", None, {}, 404, "not_found", "missing"),
    ("no document", "GET", "/new", None, {}, 404, "not_found", "missing"),
    ("no design document", "GET", "/_design/new", None, {}, 404, "not_found", "missing"),
    ("an id that can be none", "GET", "/_new", None, {}, 404, "not_found", "missing"),
    ("replicated without rev", "PUT", "/d?new_edits=false", {}, {}, 400, "bad_request",
     "When `new_edits: false`, the document needs `_rev` or `_revisions` specified"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "error", "reason"),
    [case[1:] for case in REFUSED],
    ids=[case[0] for case in REFUSED],
)
async def test_refusals_change_nothing(
    couch: Couch,
    method: str,
    path: str,
    body: Any,
    headers: dict[str, str],
    status: int,
    error: str,
    reason: str,
) -> None:
    await tree(couch)
    before = couch.stored()
    options = {} if body is None else {"json": body}
    answer = await couch.ask(method, path, headers=headers, **options)
    assert (answer.status, answer.json) == (status, {"error": error, "reason": reason})
    assert couch.stored() == before
    assert (await couch.get("/d"))["_rev"] == "3-c"


async def test_a_database_that_is_not_there(couch: Couch) -> None:
    for method, path, options in (
        ("GET", "/a", {}),
        ("GET", "/a?revs=true", {}),
        ("GET", "/a?open_revs=all", {}),
        ("PUT", "/a", {"json": {}}),
        ("POST", "", {"json": {}}),
        ("DELETE", "/a?rev=1-a", {}),
        ("GET", "/a/b.txt", {}),
        ("PUT", "/a/b.txt", {"data": b"x"}),
        ("COPY", "/a", {"headers": {"Destination": "b"}}),
        ("POST", "/_bulk_get", {"json": {"docs": []}}),
    ):
        answer = await Couch(couch.server, "none").ask(method, path, **options)
        expected = (404, {"error": "not_found", "reason": "Database does not exist."})
        assert (answer.status, answer.json) == expected, (method, path)


async def test_replicated_revisions_are_stored_as_they_are(couch: Couch) -> None:
    await couch.graft("r", "2-b", "1-a", v=2)
    await couch.graft("r", "2-b", "1-a", v=2)  # once more
    assert await couch.get("/r?revs=true") == {
        "_id": "r", "_rev": "2-b", "v": 2, "_revisions": {"start": 2, "ids": ["b", "a"]}
    }  # fmt: skip
    done = await couch.ask("PUT", "/s?new_edits=false&rev=5-e", json={"v": 5})
    assert (done.status, done.json["rev"]) == (201, "5-e")
    done = await couch.ask("PUT", "/s?new_edits=false", json={"_rev": "6-f", "_deleted": True, "v": 6})
    assert (done.status, done.json["rev"]) == (200, "6-f")
    assert (await couch.get("/s?rev=6-f"))["v"] == 6


async def test_a_deleted_document_keeps_what_it_says(couch: Couch) -> None:
    rev = await couch.put("/a", {"v": 1})
    done = await couch.ask("PUT", "/a", json={"_rev": rev, "_deleted": True, "why": "moved"})
    assert done.status == 200
    assert (await couch.ask("GET", "/a")).json["reason"] == "deleted"
    assert await couch.get(f"/a?rev={done.json['rev']}") == {
        "_id": "a", "_rev": done.json["rev"], "_deleted": True, "why": "moved"
    }  # fmt: skip


async def test_deleting_the_winner_lets_the_conflict_win(couch: Couch) -> None:
    await tree(couch)
    assert (await couch.ask("DELETE", "/d?rev=3-c")).status == 200
    assert (await couch.get("/d"))["_rev"] == "2-x"


async def test_scopes(couch: Couch) -> None:
    server = couch.server
    rev = await couch.put("/a", {"v": 1})
    reader, writer, sync = [
        Couch(server, token=await server.key("shop", scope)) for scope in ("db:read", "db:write", "sync")
    ]
    assert (await reader.ask("GET", "/a")).status == 200
    assert (await writer.ask("GET", "/a")).status == 403
    before = couch.stored()
    for method, path, options in (
        ("PUT", "/a", {"json": {"_rev": rev}}),
        ("DELETE", f"/a?rev={rev}", {}),
        ("POST", "", {"json": {}}),
        ("PUT", f"/a/x.txt?rev={rev}", {"data": b"x"}),
        ("COPY", "/a", {"headers": {"Destination": "b"}}),
    ):
        assert (await reader.ask(method, path, **options)).status == 403
    for method, path, options in (
        ("PUT", "/_design/x", {"json": {}}),
        ("PUT", "/_design%2Fx", {"json": {}}),
        ("POST", "", {"json": {"_id": "_design/x"}}),
        ("PUT", "/_design/x/a.txt", {"data": b"x"}),
        ("PUT", "/_design%2Fx/a.txt", {"data": b"x"}),
        ("DELETE", "/_design/x?rev=1-a", {}),
        ("DELETE", "/_design%2Fx?rev=1-a", {}),
        ("DELETE", "/_design%2Fx/a.txt?rev=1-a", {}),
        ("COPY", "/a", {"headers": {"Destination": "_design/x"}}),
    ):
        answer = await writer.ask(method, path, **options)
        assert (answer.status, answer.json["error"]) == (403, "forbidden"), (method, path)
    assert couch.stored() == before
    assert (await writer.ask("PUT", "/b", json={})).status == 201
    assert (await sync.ask("PUT", "/_design/x", json={})).status == 201
    assert (await sync.ask("GET", "/a")).status == 200
