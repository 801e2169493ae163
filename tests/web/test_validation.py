"""`validate_doc_update` has its say in what the data face and the admin API write, too."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from localsrv.store.database import Database, Edit
from tests.web.conftest import WebServer

REASON = "Amounts are never negative."
RULE = (
    "function (doc, old, user) {"
    "  if (doc._deleted) { if (old.locked) throw {forbidden: 'It is locked.'}; return; }"
    f"  if (doc.amount < 0) throw {{forbidden: '{REASON}'}};"
    "  if (old && old.owner !== doc.owner) throw {forbidden: 'The owner stays.'};"
    "  if (doc.amount === 404) throw {unauthorized: 'Sign in first.'};"
    "  if (doc.amount === 500) throw new TypeError('a defect');"
    "  if (user.roles.indexOf('_admin') < 0 && doc.amount === 7) throw {forbidden: 'Admins only.'};"
    "  if (doc._attachments && doc._attachments.big && doc._attachments.big.length > 3)"
    "    throw {forbidden: 'Too big: ' + doc._attachments.big.content_type};"
    "}"
)
Json = dict[str, Any]


async def database(server: WebServer) -> Database:
    return (await server.services.apps.open("shop")).database


@pytest.fixture
async def shop(web_server: WebServer) -> WebServer:
    """Orders have the rule; lines go with their order, and have none."""
    relations = [{"fields": "order", "to": "orders", "on_delete": "cascade"}]
    await web_server.make_app(
        "shop",
        orders={"fields": {"id": "text", "amount": "integer"}, "key": "id"},
        lines={"fields": {"order": "text"}, "relations": relations},
        clients={"fields": {"id": "text"}, "key": "id"},
        bills={
            "fields": {"client": "text"},
            "relations": [{"fields": "client", "to": "clients", "on_delete": "cascade"}],
        },
    )
    await web_server.fill(
        "shop",
        "orders",
        {"id": "a", "amount": 1, "owner": "ann"},
        {"id": "b", "amount": 2, "owner": "ben"},
        {"id": "c", "amount": 3, "owner": "ann", "locked": True},
    )
    await web_server.fill("shop", "clients", {"id": "x"})
    await web_server.fill("shop", "bills", {"_id": "bill", "client": "x", "locked": True, "amount": 1})
    db = await database(web_server)
    for name in ("orders", "bills"):
        await db.put(name, Edit("_design/rule", {"validate_doc_update": RULE}))
    return web_server


def stored(db: Database) -> Any:
    found = {name: [db.get_row("orders", i) for i in ids] for name, ids in {"orders": "abcn"}.items()}
    return found, db.get_document("bills", "bill"), [s.documents for s in db.collections.values()]


async def rest(server: WebServer, method: str, path: str, **options: Any) -> tuple[int, Any]:
    answer = await server.ask(method, f"/apps/shop/rest/v1/{path}", **options)
    return answer.status, answer.json if answer.body else None


def refused(message: str, document: str = "orders/n") -> Json:
    collection = document.partition("/")[0]
    return {
        "code": "42501",
        "message": message,
        "details": document,
        "hint": f"A rule that came with `{collection}` (validate_doc_update) says so.",
    }


GOOD = {"id": "g", "amount": 1}
BAD = {"id": "n", "amount": -1}
MERGE = {"Prefer": "resolution=merge-duplicates"}

REFUSED: list[tuple[str, str, str, Json, tuple[int, Json]]] = [
    ("insert", "POST", "orders", {"json": BAD}, (403, refused(REASON))),
    ("one of many", "POST", "orders", {"json": [GOOD, {"id": "h", "amount": 2}, BAD]},
     (403, refused(REASON))),
    ("in a dry run", "POST", "orders", {"json": BAD, "headers": {"Prefer": "tx=rollback"}},
     (403, refused(REASON))),
    ("unauthorized", "POST", "orders", {"json": {"id": "n", "amount": 404}},
     (401, refused("Sign in first."))),
    ("upsert", "POST", "orders", {"json": {"id": "a", "owner": "eve"}, "headers": MERGE},
     (403, refused("The owner stays.", "orders/a"))),
    ("the same row twice", "POST", "orders",
     {"json": [{"id": "a", "amount": 9}, {"id": "a", "owner": "eve"}], "headers": MERGE},
     (403, refused("The owner stays.", "orders/a"))),
    ("put", "PUT", "orders?id=eq.a", {"json": {"id": "a", "amount": -3}}, (403, refused(REASON, "orders/a"))),
    ("patch by filter", "PATCH", "orders?amount=gt.0", {"json": {"owner": "ann"}},
     (403, refused("The owner stays.", "orders/b"))),
    ("delete by filter", "DELETE", "orders?amount=gt.0", {},
     (403, refused("It is locked.", "orders/c"))),
    ("what goes along", "DELETE", "clients?id=eq.x", {}, (403, refused("It is locked.", "bills/bill"))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "options", "expected"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
async def test_a_refused_statement_writes_nothing(
    shop: WebServer, method: str, path: str, options: Json, expected: tuple[int, Json]
) -> None:
    db = await database(shop)
    before, seq = stored(db), db.last_seq
    assert await rest(shop, method, path, **options) == expected
    assert (stored(db), db.last_seq) == (before, seq)


async def test_a_rule_that_fails_is_an_error_and_writes_nothing(shop: WebServer) -> None:
    status, body = await rest(shop, "POST", "orders", json={"id": "n", "amount": 500})
    assert (status, body["code"], body["details"]) == (500, "XX000", "orders/n")
    assert (await database(shop)).get_row("orders", "n") is None


async def test_what_a_rule_lets_pass_is_written_as_ever(shop: WebServer) -> None:
    want = {"Prefer": "return=representation"}
    status, rows = await rest(shop, "POST", "orders?select=id,amount", json=[GOOD], headers=want)
    assert (status, rows) == (201, [GOOD])
    status, rows = await rest(
        shop, "PATCH", "orders?owner=eq.ann&select=id", json={"amount": 8}, headers=want
    )
    assert (status, [row["id"] for row in rows]) == (200, ["a", "c"])
    assert (await rest(shop, "DELETE", "orders?id=eq.a"))[0] == 204
    again = await rest(shop, "POST", "orders", json={"id": "a", "amount": 1, "owner": "new"})
    assert again[0] == 201  # one that was deleted has no owner who would stay
    status, rows = await rest(shop, "POST", "lines", json={"order": "b"}, headers=want)
    assert (status, rows[0]["order"]) == (201, "b")


async def test_a_rule_is_told_who_writes(shop: WebServer) -> None:
    key = await shop.key("shop", "*:read", "*:write")
    row = {"id": "n", "amount": 7}
    assert await rest(shop, "POST", "orders", json=row, token=key) == (403, refused("Admins only."))
    assert (await rest(shop, "POST", "orders", json=row))[0] == 201


async def test_a_rule_of_another_collection_is_not_asked(shop: WebServer) -> None:
    assert (await rest(shop, "POST", "clients", json={"id": "y", "amount": -1}))[0] == 201


async def test_statements_at_the_same_time_are_judged_by_what_they_meet(shop: WebServer) -> None:
    await rest(shop, "POST", "orders", json={"id": "n", "amount": 0})
    answers = await asyncio.gather(
        *(rest(shop, "PATCH", "orders?id=eq.n&amount=eq.0", json={"amount": 1}) for _ in range(4))
    )
    assert {status for status, _ in answers} == {204}
    found = (await database(shop)).get_document("orders", "n")
    assert found is not None and found.rev.startswith("2-")


async def test_imports_are_judged(shop: WebServer) -> None:
    db = await database(shop)
    before = stored(db)
    url = "/api/v1/apps/shop/collections/orders/import"
    answer = await shop.ask("POST", url, json=[GOOD, {"id": "a", "amount": -1, "owner": "ann"}])
    assert (answer.status, answer.json["code"]) == (403, "design")
    assert (answer.json["message"], answer.json["details"]) == (REASON, "orders/a")
    assert stored(db) == before
    assert (await shop.ask("POST", url, json=[GOOD])).json["created"] == 1


async def test_attachments_are_judged(shop: WebServer) -> None:
    db = await database(shop)
    url = "/api/v1/apps/shop/collections/orders/documents/a/attachments/big"
    text = {"Content-Type": "text/plain"}
    refused_ = await shop.ask("PUT", url, data=b"four", headers=text)
    assert (refused_.status, refused_.json["message"]) == (403, "Too big: text/plain")
    assert db.attachment("orders", "a", "big") is None
    assert (await shop.ask("PUT", url, data=b"3..", headers=text)).status == 201
    assert (await rest(shop, "PATCH", "orders?id=eq.a", json={"amount": 5}))[0] == 204
    assert db.attachment("orders", "a", "big") is not None
    assert (await shop.ask("DELETE", url)).status == 200


async def test_a_conflict_that_is_settled_by_hand_is_judged(shop: WebServer) -> None:
    db = await database(shop)
    base = db.get_document("orders", "a")
    assert base is not None
    sides = [Edit("a", {"amount": n, "owner": "ann"}, path=(f"2-{n}x", base.rev)) for n in (1, 2)]
    await db.put_many("orders", sides, new_edits=False)
    url, ask = "/api/v1/apps/shop/conflicts", {"collection": "orders", "id": "a", "leaves": ["2-2x", "2-1x"]}
    answer = await shop.ask("POST", url, json=ask | {"document": {"id": "a", "amount": -1, "owner": "ann"}})
    assert (answer.status, answer.json["message"]) == (403, REASON)
    assert len(await db.conflicts("orders")) == 1
    answer = await shop.ask("POST", url, json=ask | {"document": {"id": "a", "amount": 6, "owner": "ann"}})
    assert answer.status == 200, answer.body
    assert await db.conflicts("orders") == []


async def test_design_documents_are_no_rows(shop: WebServer) -> None:
    db = await database(shop)
    before = stored(db)
    rule = {"id": "_design/rule", "validate_doc_update": "function () {}"}
    status, body = await rest(shop, "POST", "orders", json=rule, headers=MERGE)
    assert (status, body["code"]) == (400, "22023") and "sync face" in body["hint"]
    url = "/api/v1/apps/shop/collections/orders/import"
    answer = await shop.ask("POST", url, json=[{**rule, "_id": "_design/x"}])
    assert (answer.status, answer.json["code"]) == (400, "invalid-id")
    assert stored(db) == before


SYSTEM: list[tuple[str, str, Json]] = [
    ("POST", "/apps/shop/rest/v1/_replicator", {"json": {"source": "http://u:p@localhost/x"}}),
    ("PATCH", "/apps/shop/rest/v1/_replicator", {"json": {"source": "http://u:p@localhost/x"}}),
    ("DELETE", "/apps/shop/rest/v1/_replicator", {}),
    ("POST", "/api/v1/apps/shop/collections/_replicator/import", {"json": [{"_id": "x"}]}),
    ("PUT", "/api/v1/apps/shop/collections/_replicator/documents/x/attachments/a", {"data": b"x"}),
]


@pytest.mark.parametrize(("method", "url", "options"), SYSTEM, ids=[f"{s[0]} {s[1][-20:]}" for s in SYSTEM])
async def test_system_databases_are_written_by_their_service_alone(
    shop: WebServer, method: str, url: str, options: Json
) -> None:
    db = await database(shop)
    assert (await shop.ask("PUT", "/apps/shop/couch/_replicator")).status in (201, 412)
    answer = await shop.ask(method, url, **options)
    assert (answer.status, "_replicator" in answer.json["message"]) == (403, True), answer.body
    assert db.collection("_replicator").documents == 0


async def test_system_databases_are_no_collections_of_the_app(shop: WebServer) -> None:
    before = (await shop.ask("GET", "/api/v1/apps/shop")).json["collections"]
    assert (await shop.ask("PUT", "/apps/shop/couch/_replicator")).status in (201, 412)
    assert (await shop.ask("GET", "/api/v1/apps/shop")).json["collections"] == before
    listed = (await shop.ask("GET", "/api/v1/apps/shop/collections")).json["collections"]
    assert [one["name"] for one in listed] == sorted(one["name"] for one in before)
    assert "_replicator" in (await shop.ask("GET", "/apps/shop/couch/_all_dbs")).json
    key = await shop.key("shop", "sync")
    refused_ = await shop.ask("GET", "/apps/shop/rest/v1/_replicator", token=key)
    assert (refused_.status, refused_.json["details"]) == (403, "admin")
    assert refused_.json["hint"].endswith("--scope admin")
