"""One store, two faces: what is written through either is in the other at once, with one history."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.support.server import Response, RunningServer

REST = "/apps/shop/rest/v1"
COUCH = "/apps/shop/couch"

DEFINITIONS = {
    "items": {
        "fields": {
            "sku": "integer",
            "name": {"type": "text", "required": True},
            "price": "decimal",
            "at": "timestamptz",
        },
        "key": "sku",
        "unique": ["name"],
        "full_text": {"name": 1.0},
    },
    "notes": {},
}


@pytest.fixture
def shop(server: RunningServer) -> RunningServer:
    assert server.request("POST", "/api/v1/apps", {"id": "shop", "title": "Shop"}).status == 201
    made = server.request("PUT", "/api/v1/apps/shop/collections", DEFINITIONS)
    assert made.status in (200, 201), made.body
    return server


def rows(server: RunningServer, query: str) -> Any:
    answer = server.request("GET", f"{REST}/{query}")
    assert answer.status == 200, answer.body
    return answer.json()


def document(server: RunningServer, path: str) -> Any:
    answer = server.request("GET", f"{COUCH}/{path}")
    assert answer.status == 200, answer.body
    return answer.json()


def write(server: RunningServer, method: str, path: str, body: Any = None, **headers: str) -> Response:
    answer = server.request(method, path, body, headers=headers)
    assert answer.status < 300, (path, answer.body)
    return answer


def changes(server: RunningServer, name: str) -> list[tuple[str, str, bool]]:
    feed = document(server, f"{name}/_changes")
    return [(c["id"], c["changes"][0]["rev"], c.get("deleted", False)) for c in feed["results"]]


def test_a_row_is_a_document(shop: RunningServer) -> None:
    write(shop, "POST", f"{REST}/items", {"sku": 7, "name": "Chai", "price": 18.5})
    found = document(shop, "items/7")
    revision = found.pop("_rev")
    assert found == {"_id": "7", "sku": 7, "name": "Chai", "price": 18.5}
    assert rows(shop, "items?select=sku,_rev") == [{"sku": 7, "_rev": revision}]
    write(shop, "PATCH", f"{REST}/items?sku=eq.7", {"price": 20})
    after = document(shop, "items/7?revs=true")
    assert after["price"] == 20 and after["_revisions"]["start"] == 2
    assert after["_revisions"]["ids"][1] == revision.split("-")[1]
    write(shop, "DELETE", f"{REST}/items?sku=eq.7")
    gone = shop.request("GET", f"{COUCH}/items/7")
    assert (gone.status, gone.json()["reason"]) == (404, "deleted")
    assert [(i, d) for i, _, d in changes(shop, "items")] == [("7", True)]


def test_a_document_is_a_row(shop: RunningServer) -> None:
    body = {
        "sku": 3,
        "name": "Éclair",
        "price": 2.25,
        "at": "2026-01-01T10:00:00+02:00",
        "extra": {"deep": [1]},
    }
    made = write(shop, "PUT", f"{COUCH}/items/3", body).json()
    [row] = rows(shop, "items?sku=eq.3")
    assert (row["name"], row["extra"]) == ("Éclair", {"deep": [1]})
    assert rows(shop, "items?name=fts.eclair&select=sku") == [{"sku": 3}], "the search index follows"
    assert rows(shop, "items?price=lt.3&at=lt.2026-01-01T09:00:00Z&select=sku") == [{"sku": 3}]
    assert rows(shop, "items?extra->deep->>0=eq.1&select=sku") == [{"sku": 3}], "undeclared fields are known"
    changed = write(shop, "PUT", f"{COUCH}/items/3?rev={made['rev']}", body | {"price": 3}).json()
    [row] = rows(shop, "items?sku=eq.3&select=price,_rev")
    assert row == {"price": 3, "_rev": changed["rev"]}
    stale = shop.request(
        "PATCH", f"{REST}/items?sku=eq.3", {"price": 1}, headers={"If-Match": f'"{made["rev"]}"'}
    )
    assert stale.status == 412
    write(shop, "DELETE", f"{COUCH}/items/3?rev={changed['rev']}")
    assert rows(shop, "items") == []
    write(shop, "POST", f"{REST}/items", {"sku": 3, "name": "Again"})
    assert document(shop, "items/3")["_rev"].startswith("4-"), "it goes on where the other face ended it"


def test_rules_hold_for_writes_here_and_not_for_replicated_ones(shop: RunningServer) -> None:
    write(shop, "POST", f"{REST}/items", {"sku": 1, "name": "Chai"})
    for path, body, status in (
        ("2", {"sku": 2, "name": "Chai"}, 403),  # a 409 would let clients read again and try for ever
        ("2", {"sku": 9, "name": "Other id"}, 400),
        ("2", {"sku": 2}, 403),
        ("2", {"sku": "x", "name": "No number"}, 400),
    ):
        refused = shop.request("PUT", f"{COUCH}/items/{path}", body)
        assert refused.status == status, refused.body
        assert set(refused.json()) == {"error", "reason"}
    assert rows(shop, "items?select=sku") == [{"sku": 1}]
    replicated = {"new_edits": False, "docs": [{"_id": "2", "_rev": "1-a", "sku": 2, "name": "Chai"}]}
    assert write(shop, "POST", f"{COUCH}/items/_bulk_docs", replicated).json() == []
    assert rows(shop, "items?select=sku&order=sku") == [{"sku": 1}, {"sku": 2}]
    listed = shop.request("GET", "/api/v1/apps/shop/collections/items/violations").json()
    assert {v["kind"] for v in listed["violations"]} == {"unique"}


def test_the_winner_of_a_conflict_is_the_row(shop: RunningServer) -> None:
    docs = [
        {"_id": "c", "_rev": "2-a", "_revisions": {"start": 2, "ids": ["a", "x"]}, "text": "loses"},
        {"_id": "c", "_rev": "2-b", "_revisions": {"start": 2, "ids": ["b", "x"]}, "text": "wins"},
    ]
    write(shop, "POST", f"{COUCH}/notes/_bulk_docs", {"new_edits": False, "docs": docs})
    assert rows(shop, "notes?select=id,text") == [{"id": "c", "text": "wins"}]
    assert document(shop, "notes/c?conflicts=true")["_conflicts"] == ["2-a"]
    write(shop, "DELETE", f"{COUCH}/notes/c?rev=2-b")
    assert rows(shop, "notes?select=id,text") == [{"id": "c", "text": "loses"}], "as CouchDB: the next leaf"
    write(shop, "PATCH", f"{REST}/notes?id=eq.c", {"text": "mended"})
    assert document(shop, "notes/c")["text"] == "mended"
    write(shop, "DELETE", f"{REST}/notes?id=eq.c")
    assert rows(shop, "notes") == [] and shop.request("GET", f"{COUCH}/notes/c").status == 404


def test_design_and_local_documents_are_no_rows(shop: RunningServer) -> None:
    write(shop, "PUT", f"{COUCH}/notes/_design/d", {"views": {"v": {"map": "function (doc) { emit(1); }"}}})
    write(shop, "PUT", f"{COUCH}/notes/_local/l", {"seq": 1})
    write(shop, "PUT", f"{COUCH}/notes/n", {"text": "x"})
    assert [row["id"] for row in rows(shop, "notes")] == ["n"]
    assert document(shop, "notes")["doc_count"] == 2
    collections = shop.request("GET", "/api/v1/apps/shop/collections").json()["collections"]
    assert {c["name"]: c["documents"] for c in collections} == {"items": 0, "notes": 1}
    assert shop.request("GET", f"{REST}/localsrv_design_2").status == 404


def test_attachments_are_one_thing(shop: RunningServer) -> None:
    write(shop, "PUT", f"{COUCH}/notes/n", {"_attachments": {
        "a.txt": {"content_type": "text/plain", "data": base64.b64encode(b"hello").decode()}
    }})  # fmt: skip
    path = "/api/v1/apps/shop/collections/notes/documents/n/attachments"
    assert shop.request("GET", f"{path}/a.txt").body == b"hello"
    write(shop, "PUT", f"{path}/b.txt", b"world", **{"Content-Type": "text/plain"})
    stubs = document(shop, "notes/n")["_attachments"]
    assert set(stubs) == {"a.txt", "b.txt"} and stubs["b.txt"]["revpos"] == 2
    assert shop.request("GET", f"{COUCH}/notes/n/b.txt").body == b"world"
    write(shop, "PATCH", f"{REST}/notes?id=eq.n", {"text": "edited as a row"})
    assert set(document(shop, "notes/n")["_attachments"]) == {"a.txt", "b.txt"}


def test_a_database_made_there_is_a_collection_here(shop: RunningServer) -> None:
    write(shop, "PUT", f"{COUCH}/made")
    write(shop, "PUT", f"{COUCH}/made/x", {"Name": "a", "name": "b"})
    assert rows(shop, "made") == [{"id": "x", "Name": "a", "name": "b"}]
    write(shop, "DELETE", f"{COUCH}/made")
    assert shop.request("GET", f"{REST}/made").status == 404


def test_one_change_feed(shop: RunningServer) -> None:
    write(shop, "POST", f"{REST}/notes", {"id": "a"})
    write(shop, "PUT", f"{COUCH}/notes/b", {})
    write(shop, "PATCH", f"{REST}/notes?id=eq.a", {"n": 1})
    assert [i for i, _, _ in changes(shop, "notes")] == ["b", "a"]
    revisions = {row["id"]: row["_rev"] for row in rows(shop, "notes?select=id,_rev")}
    assert {i: r for i, r, _ in changes(shop, "notes")} == revisions


def test_what_the_data_face_would_refuse_syncs_all_the_same(shop: RunningServer) -> None:
    """Such as NUL in texts: another device has the document already."""
    text = "a\0b"
    docs = [{"_id": "1", "_rev": "1-a", "sku": 1, "name": text, "deep": {text: [text]}}]
    assert write(shop, "POST", f"{COUCH}/items/_bulk_docs", {"new_edits": False, "docs": docs}).json() == []
    assert document(shop, "items/1") == docs[0]
    [row] = rows(shop, "items")
    assert (row["name"], row["deep"]) == (text, {text: [text]})
    found = write(shop, "POST", f"{COUCH}/items/_find", {"selector": {"name": {"$gt": "a\0", "$lt": "a\0c"}}})
    assert [d["_id"] for d in found.json()["docs"]] == ["1"]
    refused = shop.request("POST", f"{REST}/items", {"sku": 2, "name": text})
    assert refused.status == 400
