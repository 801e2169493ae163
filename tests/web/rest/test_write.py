"""POST, PATCH, PUT and DELETE, with what they leave behind."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localsrv.store.database import Database

RETURN = {"Prefer": "return=representation"}


def row(db: Database, collection: str, document_id: str) -> Any:
    found = db.get_row(collection, document_id)
    return None if found is None else json.loads(found[0])


async def send(client: Any, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
    data = json.dumps(body) if not isinstance(body, (bytes, str)) and body is not None else body
    sent = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
    async with client.request(method, f"/rest/v1/{path}", data=data, headers=sent) as response:
        text = await response.text()
        is_json = "json" in response.headers.get("Content-Type", "")
        return response.status, json.loads(text) if text and is_json else text, response.headers


async def test_insert_one(client: Any, db: Database) -> None:
    status, body, headers = await send(client, "POST", "products", {"id": 20, "name": "New", "price": 5})
    assert (status, body) == (201, "")
    assert headers["Location"] == "/rest/v1/products?id=eq.20"
    assert headers["Content-Range"] == "*/*"
    assert row(db, "products", "20") == {
        "id": 20, "name": "New", "price": 5, "stock": 7, "category_id": None, "code": None, "made": None,
    }  # fmt: skip


async def test_insert_returns_what_select_asks(client: Any, db: Database) -> None:
    status, body, _ = await send(client, "POST", "notes?select=id,text", {"text": "hello"}, **RETURN)
    assert status == 201
    assert [list(r) for r in body] == [["id", "text"]]
    assert row(db, "notes", body[0]["id"]) == {"id": body[0]["id"], "text": "hello"}
    status, body, headers = await send(
        client, "POST", "notes", {"id": "own", "x": 1}, Accept="application/vnd.pgrst.object+json", **RETURN
    )
    assert (status, body) == (201, {"id": "own", "x": 1})
    assert headers["Preference-Applied"] == "return=representation"


async def test_insert_many_is_one_transaction(client: Any, db: Database) -> None:
    rows = [{"id": 30, "name": "a"}, {"id": 31, "name": "b", "category_id": 99}]
    status, body, _ = await send(client, "POST", "products", rows)
    assert (status, body["code"]) == (409, "23503")
    assert row(db, "products", "30") is None
    rows[1]["category_id"] = 1
    assert (await send(client, "POST", "products", rows))[0] == 201
    assert row(db, "products", "31")["category_id"] == 1


ND = "application/x-ndjson"


@pytest.mark.parametrize(
    ("body", "content_type", "stored"),
    [
        ("id,name,price,stock\n40,Csv,1.25,NULL\n41,\"a,b\",,3\n", "text/csv", None),
        ("id,name,price,stock\n40,Csv,1.25,NULL\n41,\"a,b\",NULL,3\n", "text/csv", ("1.25", None)),
        ('{"id":40,"name":"x","price":1}\n\n{"id":41,"name":"a,b","price":2,"stock":3}\n', ND, (1, 7)),
    ],
)  # fmt: skip
async def test_insert_csv_and_ndjson(
    client: Any, db: Database, body: str, content_type: str, stored: Any
) -> None:
    status, answer, _ = await send(client, "POST", "products", body, Content_Type=content_type)
    if stored is None:
        assert (status, answer["code"]) == (400, "22P02")  # an empty text is no number
        assert row(db, "products", "40") is None
        return
    assert status == 201
    first, second = row(db, "products", "40"), row(db, "products", "41")
    assert (first["price"], first["stock"]) == stored
    assert (second["name"], second["stock"]) == ("a,b", 3)


async def test_columns_and_missing_defaults(client: Any, db: Database) -> None:
    rows = [{"id": 50, "name": "a", "junk": 1}, {"id": 51, "name": "b", "stock": 1}]
    path = "products?columns=%22id%22,%22name%22,%22stock%22"
    assert (await send(client, "POST", path, rows, Prefer="missing=default"))[0] == 201
    assert row(db, "products", "50")["stock"] == 7
    assert "junk" not in row(db, "products", "50")
    rows[0]["id"], rows[1]["id"] = 52, 53
    assert (await send(client, "POST", path, rows))[0] == 201
    assert row(db, "products", "52")["stock"] is None
    status, body, _ = await send(client, "POST", "products?columns=id,nothing", rows)
    assert (status, body["code"]) == (400, "PGRST204")


async def test_upsert(client: Any, db: Database) -> None:
    conflict = [{"id": 1, "name": "Changed"}, {"id": 60, "name": "New"}]
    status, body, _ = await send(client, "POST", "products", conflict)
    assert (status, body["code"]) == (409, "23505")
    status, body, _ = await send(
        client, "POST", "products?select=id,name,code", conflict,
        Prefer="resolution=merge-duplicates,return=representation",
    )  # fmt: skip
    assert (status, [r["id"] for r in body]) == (201, [1, 60])
    assert (row(db, "products", "1")["name"], row(db, "products", "1")["code"]) == ("Changed", "c1")
    status, body, _ = await send(
        client, "POST", "products", [{"id": 1, "name": "Ignored"}],
        Prefer="resolution=ignore-duplicates,return=representation",
    )  # fmt: skip
    assert (status, body) == (200, [])
    assert row(db, "products", "1")["name"] == "Changed"
    status, _, _ = await send(
        client, "POST", "products?on_conflict=code", {"id": 2, "name": "By code", "code": "c2"},
        Prefer="resolution=merge-duplicates",
    )  # fmt: skip
    assert status == 200
    assert row(db, "products", "2")["name"] == "By code"
    status, body, _ = await send(
        client,
        "POST",
        "products?on_conflict=price",
        {"id": 2, "name": "x"},
        Prefer="resolution=merge-duplicates",
    )
    assert (status, body["code"]) == (400, "42P10")


async def test_an_upsert_leaves_what_nobody_sent(client: Any, db: Database) -> None:
    await send(client, "PATCH", "products?id=eq.1", {"stock": 3})
    merge = {"Prefer": "resolution=merge-duplicates"}
    assert (await send(client, "POST", "products", {"id": 1, "name": "Again"}, **merge))[0] == 200
    assert (row(db, "products", "1")["stock"], row(db, "products", "1")["name"]) == (3, "Again")


async def test_patch(client: Any, db: Database) -> None:
    status, body, headers = await send(client, "PATCH", "products?category_id=eq.1", {"stock": 0})
    assert (status, body, headers["Content-Range"]) == (204, "", "0-4/*")
    assert [row(db, "products", str(n))["stock"] for n in range(1, 5)] == [7, 0, 7, 0]
    status, body, headers = await send(
        client,
        "PATCH",
        "products?id=eq.3&select=stock,name",
        {"stock": 9},
        Prefer="return=representation,count=exact",
    )
    assert (status, body, headers["Content-Range"]) == (200, [{"stock": 9, "name": "Product 3"}], "0-0/1")
    assert (await send(client, "PATCH", "products?id=eq.999", {"stock": 1}))[0] == 204
    status, body, _ = await send(client, "PATCH", "products?id=eq.3", {"id": 4})
    assert status == 400
    status, body, _ = await send(client, "PATCH", "products?id=eq.3", {"stock": "many"})
    assert (status, body["code"]) == (400, "22P02")
    status, body, _ = await send(client, "PATCH", "products?id=eq.3", {"name": None})
    assert (status, body["code"]) == (400, "23502")
    assert row(db, "products", "3")["name"] == "Product 3"


async def test_patch_and_delete_honour_order_and_limit(client: Any, db: Database) -> None:
    assert (await send(client, "PATCH", "products?order=id.desc&limit=2", {"stock": 1}))[0] == 204
    assert [row(db, "products", str(n))["stock"] for n in (8, 9, 10)] == [7, 1, 1]
    assert (await send(client, "DELETE", "products?order=id&limit=1"))[0] == 204
    assert [row(db, "products", str(n)) is None for n in (1, 2)] == [True, False]


async def test_delete(client: Any, db: Database) -> None:
    status, body, _ = await send(client, "DELETE", "products?id=in.(1,2)&select=id", **RETURN)
    assert (status, body) == (200, [{"id": 1}, {"id": 2}])
    assert row(db, "products", "1") is None
    status, body, _ = await send(client, "DELETE", "categories?id=eq.1")
    assert (status, body["code"]) == (409, "23503")
    assert row(db, "categories", "1") is not None


async def test_locks(client: Any, db: Database) -> None:
    found = db.get_row("products", "1")
    assert found is not None
    revision = f'"{found[1]}"'
    assert (await send(client, "PATCH", "products?id=eq.1", {"stock": 1}, If_Match=revision))[0] == 204
    status, body, _ = await send(client, "PATCH", "products?id=eq.1", {"stock": 2}, If_Match=revision)
    assert (status, body["code"]) == (412, "PT412")
    assert row(db, "products", "1")["stock"] == 1
    assert (await send(client, "DELETE", "products?id=eq.1", If_Match=revision))[0] == 412
    assert (await send(client, "PATCH", "products?id=eq.1", {"stock": 2, "_rev": found[1]}))[0] == 412
    assert (await send(client, "DELETE", "products?id=eq.999", If_Match="*"))[0] == 412
    assert (await send(client, "DELETE", "products?id=eq.1", If_Match="*"))[0] == 204
    assert row(db, "products", "1") is None


async def test_put(client: Any, db: Database) -> None:
    status, _, headers = await send(client, "PUT", "products?id=eq.70", {"id": 70, "name": "Put"})
    assert (status, headers["Location"]) == (201, "/rest/v1/products?id=eq.70")
    assert (await send(client, "PUT", "products?id=eq.70", {"name": "Again"}))[0] == 204
    assert row(db, "products", "70")["name"] == "Again"
    for path, body, code in (
        ("products?id=eq.70", {"id": 71, "name": "x"}, "PGRST115"),
        ("products?name=eq.x", {"id": 71, "name": "x"}, "PGRST115"),
        ("products", {"id": 71, "name": "x"}, "PGRST115"),
        ("products?id=eq.70&limit=1", {"id": 70, "name": "x"}, "PGRST114"),
    ):
        status, answer, _ = await send(client, "PUT", path, body)
        assert (status, answer["code"]) == (400, code)
    assert row(db, "products", "71") is None


async def test_rollback_tells_but_does_not_keep(client: Any, db: Database) -> None:
    prefer = {"Prefer": "tx=rollback,return=representation"}
    status, body, headers = await send(
        client, "POST", "products?select=id", {"id": 80, "name": "x"}, **prefer
    )
    assert (status, body) == (201, [{"id": 80}])
    assert "tx=rollback" in headers["Preference-Applied"]
    assert row(db, "products", "80") is None
    assert (await send(client, "DELETE", "products?id=eq.1", **prefer))[0] == 200
    assert row(db, "products", "1") is not None


async def test_max_affected_and_single_objects_undo_everything(client: Any, db: Database) -> None:
    prefer = "handling=strict,max-affected=2"
    status, body, _ = await send(client, "DELETE", "products?id=lt.5", Prefer=prefer)
    assert (status, body["code"]) == (400, "PGRST124")
    single = {"Accept": "application/vnd.pgrst.object+json", **RETURN}
    status, body, _ = await send(client, "PATCH", "products?id=lt.5", {"stock": 0}, **single)
    assert (status, body["code"]) == (406, "PGRST116")
    status, body, _ = await send(client, "POST", "notes", [{"a": 1}, {"a": 2}], **single)
    assert (status, body["code"]) == (406, "PGRST116")
    assert row(db, "products", "1")["stock"] == 7
    assert db.collections["notes"].documents == 0


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("notes", "{", 400, "PGRST102"),
        ("notes", "", 400, "PGRST102"),
        ("notes", b'{"a":"\xff"}', 400, "PGRST102"),
        ("notes", '{"a":NaN}', 400, "PGRST102"),
        ("notes", '{"a":"\\ud800"}', 400, "PGRST102"),
        ("notes", '{"a":"\\u0000"}', 400, "22P05"),
        ("notes", '{"a\\u0000":1}', 400, "22P05"),
        ("notes", '{"a":' + "[" * 120 + "]" * 120 + "}", 400, "PGRST102"),
        ("notes", '{"a":18446744073709551616}', 400, "22003"),
        ("notes", '{"a":9223372036854775808}', 400, "22003"),
        ("notes", '{"a":0.1234567890123456789}', 400, "22003"),
        ("notes", "[1]", 400, "PGRST102"),
        ("notes", '"x"', 400, "PGRST102"),
        ("notes", {"_private": 1}, 400, "42602"),
        ("notes", {"": 1}, 400, "42602"),
        ("notes", {"id": ""}, 400, "22023"),
        ("notes", {"id": "_x"}, 400, "22023"),
        ("notes", {"id": "x" * 10_000}, 400, "22023"),
        ("products", {"id": "x", "name": "n"}, 400, "22P02"),
        ("products", {"id": 90}, 400, "23502"),
        ("products", {"id": 90, "name": "n", "code": "c1"}, 409, "23505"),
        ("products", {"id": 90, "NAME": "n", "name": "n"}, 400, "42602"),
        ("strict", {"b": 1}, 400, "PGRST204"),
        ("strict", {"a": -1}, 400, "23514"),
        ("nothing", {"a": 1}, 404, "42P01"),
    ],
)
async def test_bad_writes_are_refused_and_change_nothing(
    client: Any, db: Database, path: str, body: Any, status: int, code: str
) -> None:
    before, seq = {n: s.documents for n, s in db.collections.items()}, db.last_seq
    got, answer, _ = await send(client, "POST", path, body)
    assert (got, answer["code"]) == (status, code), answer
    assert {n: s.documents for n, s in db.collections.items()} == before
    assert (await db.changes(seq)).changes == []


async def test_other_content_types_are_refused(client: Any, db: Database) -> None:
    for content_type in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ):
        status, body, _ = await send(client, "POST", "notes", "a=1", Content_Type=content_type)
        assert (status, body["code"]) == (415, "PGRST107")
    assert db.collections["notes"].documents == 0


async def test_reading_back_needs_the_right_to_read(start: Any, db: Database) -> None:
    client = await start("products:write")
    assert (await send(client, "POST", "products", {"id": 95, "name": "x"}))[0] == 201
    status, body, _ = await send(client, "POST", "products", {"id": 96, "name": "x"}, **RETURN)
    assert (status, body["code"]) == (403, "42501")
    assert row(db, "products", "96") is None


ASKING = [
    # What a key that may only write would learn from the answer, or from the number of rows.
    ("PATCH", "products?price=gt.5", {"stock": 1}, {}),
    ("PATCH", "products?id=eq.1", {"stock": 1}, {}),
    ("PATCH", "products?or=(code.eq.c1,code.eq.c2)", {"stock": 1}, {}),
    ("PATCH", "products?name=not.like.Product%201*", {"stock": 1}, {"Prefer": "tx=rollback"}),
    ("PATCH", "products?order=price&limit=1", {"stock": 1}, {}),
    ("PATCH", "products", {"stock": 1, "_rev": "1-a"}, {}),
    ("PATCH", "products", {"stock": 1}, {"If-Match": '"1-a"'}),
    ("DELETE", "products?code=eq.c1", None, {}),
    ("DELETE", "products?limit=1", None, {"Prefer": "count=exact"}),
    ("PUT", "products?id=eq.1", {"id": 1, "name": "x"}, {"If-Match": '"1-a"'}),
    ("PUT", "products?id=eq.1", {"id": 1, "name": "x", "_rev": "1-a"}, {}),
    ("POST", "products", [{"id": 97, "name": "x"}, {"id": 1, "_rev": "1-a"}], {}),
    ("POST", "products", "id,_rev\n1,1-a\n", {"Content-Type": "text/csv"}),
]


@pytest.mark.parametrize(("method", "path", "body", "headers"), ASKING)
async def test_writing_alone_answers_no_questions(
    start: Any, db: Database, method: str, path: str, body: Any, headers: dict[str, str]
) -> None:
    before, seq = row(db, "products", "1"), db.last_seq
    status, answer, sent = await send(await start("products:write"), method, path, body, **headers)
    assert (status, answer["code"], answer["details"]) == (403, "42501", "products:read")
    assert "Content-Range" not in sent
    assert (row(db, "products", "1"), db.last_seq) == (before, seq)


MERGE = {"Prefer": "resolution=merge-duplicates"}
WITHOUT_READING = [
    ("POST", "products", {"id": 98, "name": "x"}, {}, 201),
    ("POST", "products", {"id": 1, "name": "y"}, MERGE, 200),
    ("POST", "products?on_conflict=code", {"id": 1, "code": "c1", "name": "y"}, MERGE, 200),
    ("PUT", "products?id=eq.1", {"id": 1, "name": "y"}, {}, 204),
    ("PATCH", "products", {"stock": 1}, {}, 204),
    ("DELETE", "lines", None, {}, 204),
]


@pytest.mark.parametrize(("method", "path", "body", "headers", "expected"), WITHOUT_READING)
async def test_what_asks_nothing_needs_no_right_to_read(
    start: Any, db: Database, method: str, path: str, body: Any, headers: dict[str, str], expected: int
) -> None:
    status, answer, _ = await send(
        await start("products:write", "lines:write"), method, path, body, **headers
    )
    assert (status, answer) == (expected, "")
