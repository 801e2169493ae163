"""Conflicts over real sockets: what is listed, what settles them, and who may."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from localsrv.model import revisions as rev
from localsrv.model.merge import live_leaves
from localsrv.store.database import Database, Edit
from localsrv.store.editing import NewAttachment
from tests.web.conftest import WebServer

URL = "/api/v1/apps/shop/conflicts"
Json = dict[str, Any]


@pytest.fixture
async def shop(web_server: WebServer) -> WebServer:
    await web_server.make_app(
        "shop",
        notes={},
        items={"fields": {"name": {"type": "text", "required": True}}},
        more={"conflicts": "merge"},
    )
    return web_server


async def _database(server: WebServer) -> Database:
    return (await server.services.apps.open("shop")).database


async def _bytes(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _conflict(
    server: WebServer, collection: str, document_id: str, before: Json | None, *sides: Json, **files: int
) -> list[str]:
    """A conflict of several edits of one revision, or of several creations; its leaves, winner first.

    `files` gives the attachment `f` of that content to the side of that number.
    """
    db = await _database(server)
    base = None
    if before is not None:
        base = await db.put(collection, Edit(document_id, before))
    edits = []
    for number, side in enumerate(sides):
        blobs = {n: await db.receive(_bytes(n.encode())) for n, at in files.items() if at == number}
        attached = tuple(NewAttachment("f", "text/plain", blob) for blob in blobs.values())
        path = (f"2-{number}x",) + ((base,) if base else ())
        edits.append(Edit(document_id, side, path=path, attachments=attached))
    await db.put_many(collection, edits, new_edits=False)
    found = db.revisions(collection, document_id)
    assert found is not None
    return live_leaves(found.tree)


async def _live(server: WebServer, collection: str, document_id: str) -> list[str]:
    found = (await _database(server)).revisions(collection, document_id)
    assert found is not None
    return live_leaves(found.tree)


async def test_a_conflict_is_told_with_its_ancestor_its_sides_and_what_differs(shop: WebServer) -> None:
    first = {"a": 1, "address": {"city": "Bonn", "zip": "1"}, "same": [1], "old": True}
    ours = {"a": 2, "address": {"city": "Bonn", "zip": "2"}, "same": [1], "old": True}
    theirs = {"a": 3, "address": {"city": "Cologne", "zip": "1"}, "same": [1], "new": None}
    winner, loser = await _conflict(shop, "notes", "n", first, theirs, ours, content=1)
    answer = await shop.ask("GET", URL)
    assert answer.status == 200
    (found,) = answer.json["conflicts"]
    assert answer.json["next"] is None
    assert (found["collection"], found["id"], found["policy"]) == ("notes", "n", "keep")
    assert found["ancestor"]["rev"].startswith("1-")
    assert found["ancestor"]["document"] == first
    assert [(s["rev"], s["document"]) for s in found["sides"]] == [(winner, ours), (loser, theirs)]
    file = found["sides"][0]["attachments"]["f"]
    assert file["content_type"] == "text/plain"
    assert len(file["sha256"]) == 64

    def row(path: list[str], ancestor: Any, mine: Any, other: Any, disputed: bool) -> Json:
        sides = [{"rev": winner, **mine}, {"rev": loser, **other}]
        return {"path": path, "sides": sides, "disputed": disputed, **ancestor}

    assert found["differences"] == [
        row(["a"], {"ancestor": 1}, {"value": 2}, {"value": 3}, True),
        row(["address", "city"], {"ancestor": "Bonn"}, {"value": "Bonn"}, {"value": "Cologne"}, False),
        row(["address", "zip"], {"ancestor": "1"}, {"value": "2"}, {"value": "1"}, False),
        row(["old"], {"ancestor": True}, {"value": True}, {}, False),
        row(["new"], {}, {}, {"value": None}, False),
        row(["_attachments", "f"], {}, {"value": file}, {}, False),
    ]


async def test_sides_without_an_ancestor(shop: WebServer) -> None:
    leaves = await _conflict(shop, "notes", "n", None, {"a": 1}, {"a": 2}, {"a": 2, "b": 1})
    (found,) = (await shop.ask("GET", URL)).json["conflicts"]
    assert found["ancestor"] is None
    assert [side["rev"] for side in found["sides"]] == leaves
    assert [(d["path"], d["disputed"], "ancestor" in d) for d in found["differences"]] == [
        (["a"], True, False),
        (["b"], False, False),
    ]


async def test_pages_go_through_all_collections(shop: WebServer) -> None:
    for collection in ("notes", "more", "items"):
        for document_id in ("a/b", "c", "d é"):
            await _conflict(shop, collection, document_id, {"name": "x"}, {"name": "y"}, {"name": "z"})
    seen: list[tuple[str, str]] = []
    after, pages = "", 0
    while after is not None:
        answer = await shop.ask(
            "GET", f"{URL}?limit=2" + (f"&after={after}".replace("%", "%25") if after else "")
        )
        seen += [(one["collection"], one["id"]) for one in answer.json["conflicts"]]
        after, pages = answer.json["next"], pages + 1
    assert seen == [(c, i) for c in ("items", "more", "notes") for i in ("a/b", "c", "d é")]
    assert pages == 5
    only = (await shop.ask("GET", f"{URL}?collection=more")).json
    assert [(one["collection"], one["policy"]) for one in only["conflicts"]] == [("more", "merge")] * 3
    assert only["next"] is None
    for document_id, count in (("a%2Fb", 1), ("none", 0)):
        single = (await shop.ask("GET", f"{URL}?collection=more&id={document_id}")).json
        assert (len(single["conflicts"]), single["next"]) == (count, None)


async def test_one_side_is_chosen(shop: WebServer) -> None:
    leaves = await _conflict(shop, "notes", "n", {"a": 0}, {"a": 1}, {"a": 2}, {"a": 3}, content=0)
    chosen = next(leaf for leaf in leaves if leaf == "2-0x")
    body = {"collection": "notes", "id": "n", "leaves": leaves[::-1], "choose": chosen}
    answer = await shop.ask("POST", URL, json=body)
    assert answer.status == 200, answer.body
    assert answer.json["ended"] == leaves[1:]
    assert await _live(shop, "notes", "n") == [answer.json["rev"]]
    stored = (await _database(shop)).get_document("notes", "n")
    assert stored is not None
    assert (stored.rev, stored.body) == (answer.json["rev"], '{"a":1}')
    assert [a.name for a in stored.attachments] == ["f"]
    assert (await shop.ask("GET", URL)).json["conflicts"] == []
    tree = (await _database(shop)).revisions("notes", "n")
    assert tree is not None
    assert tree.tree.nodes[answer.json["rev"]].parent == leaves[0]
    assert {tree.tree.nodes[r].parent for r in rev.leaves(tree.tree)[1:]} == set(leaves[1:])


async def test_a_document_settles_it_with_all_attachments_or_those_that_are_named(shop: WebServer) -> None:
    for number, (named, expected) in enumerate([(None, b"mine"), ("2-0x", b"other"), ({}, None)]):
        leaves = await _conflict(shop, "notes", f"n{number}", {}, {"a": 1}, {"a": 2}, other=0, mine=1)
        body: Json = {"collection": "notes", "id": f"n{number}", "leaves": leaves}
        body["document"] = {"_id": "ignored", "_rev": "ignored", "a": 12}
        if named is not None:
            body["attachments"] = {"f": named} if isinstance(named, str) else named
        answer = await shop.ask("POST", URL, json=body)
        assert answer.status == 200, answer.body
        db = await _database(shop)
        stored = db.get_document("notes", f"n{number}")
        assert stored is not None
        assert stored.body == '{"a":12}'
        content = db.attachment("notes", f"n{number}", "f")
        assert (content.data if content else None) == expected


async def test_what_changed_meanwhile_is_not_overwritten(shop: WebServer) -> None:
    leaves = await _conflict(shop, "notes", "n", {"a": 0}, {"a": 1}, {"a": 2})
    newer = await (await _database(shop)).put("notes", Edit("n", {"a": 3}, leaves[1]))
    body = {"collection": "notes", "id": "n", "leaves": leaves, "choose": leaves[0]}
    answer = await shop.ask("POST", URL, json=body)
    assert (answer.status, answer.json["code"]) == (409, "leaves-changed")
    assert newer in answer.json["details"]
    assert set(await _live(shop, "notes", "n")) == {leaves[0], newer}
    body["leaves"] = [leaves[0], newer]
    assert (await shop.ask("POST", URL, json=body)).status == 200
    answer = await shop.ask("POST", URL, json=body)
    assert (answer.status, answer.json["message"]) == (409, "The document is in no conflict.")


async def test_the_collections_rules_hold_for_what_is_sent(shop: WebServer) -> None:
    leaves = await _conflict(shop, "items", "n", {"name": "x"}, {"name": "y"}, {"name": None})
    body: Json = {"collection": "items", "id": "n", "leaves": leaves, "document": {"other": 1}}
    answer = await shop.ask("POST", URL, json=body)
    assert (answer.status, answer.json["code"]) == (400, "required-field")
    assert await _live(shop, "items", "n") == leaves
    assert (await shop.ask("POST", URL, json=body | {"document": {"name": "z"}})).status == 200


@pytest.mark.parametrize(
    ("change", "status", "word"),
    [
        ({"collection": "none"}, 404, "none"),
        ({"id": "none"}, 404, "no such document"),
        ({"leaves": ["1-a"]}, 409, "changed"),
        ({"leaves": [5]}, 400, "leaves"),
        ({"leaves": "1-a"}, 400, "list"),
        ({"choose": "9-z"}, 400, "9-z"),
        ({"choose": "1-x"}, 400, "none of the revisions"),
        ({"choose": None}, 400, "choose"),
        ({"document": {"a": 1}}, 400, "Either"),
        ({"choose": ..., "document": {"_x": 1}}, 400, "_x"),
        ({"choose": ..., "document": {}, "attachments": {"f": "9-z"}}, 400, "9-z"),
        ({"choose": ..., "document": {}, "attachments": {"f": 5}}, 400, "f"),
        ({"choose": ...}, 400, "Either"),
        ({"collection": ...}, 400, "collection"),
        ({"more": 1}, 400, "more"),
    ],
)
async def test_what_is_refused(shop: WebServer, change: Json, status: int, word: str) -> None:
    leaves = await _conflict(shop, "notes", "n", {"a": 0}, {"a": 1}, {"a": 2})
    body = {"collection": "notes", "id": "n", "leaves": leaves, "choose": leaves[0], **change}
    answer = await shop.ask("POST", URL, json={k: v for k, v in body.items() if v is not ...})
    assert answer.status == status, answer.body
    assert word in str(answer.json)
    assert await _live(shop, "notes", "n") == leaves


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=1000", "after=x", "id=x"])
async def test_bad_pages(shop: WebServer, query: str) -> None:
    assert (await shop.ask("GET", f"{URL}?{query}")).status == 400


async def test_scopes(shop: WebServer) -> None:
    for collection in ("notes", "more"):
        await _conflict(shop, collection, "n", {"a": 0}, {"a": 1}, {"a": 2})
    leaves = await _live(shop, "notes", "n")
    body = {"collection": "notes", "id": "n", "leaves": leaves, "choose": leaves[0]}
    reader = await shop.key("shop", "notes:read")
    seen = (await shop.ask("GET", URL, token=reader)).json["conflicts"]
    assert [one["collection"] for one in seen] == ["notes"]
    for answer in (
        await shop.ask("GET", f"{URL}?collection=more", token=reader),
        await shop.ask("POST", URL, json=body, token=reader),
        await shop.ask("POST", URL, json=body, token=await shop.key("shop", "more:write")),
    ):
        assert (answer.status, answer.json["code"]) == (403, "scope-missing")
    assert (await shop.ask("GET", URL, token=None)).status == 401
    assert (await shop.ask("GET", f"{URL}?collection=none")).status == 404
    writer = await shop.key("shop", "notes:write")
    assert (await shop.ask("GET", URL, token=writer)).json["conflicts"] == []
    assert (await shop.ask("POST", URL, json=body, token=writer)).status == 200
