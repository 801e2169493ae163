"""GET and HEAD."""

from __future__ import annotations

from typing import Any

import pytest

from localsrv.store.database import Database


async def names(client: Any, query: str, **headers: str) -> Any:
    async with client.get(f"/rest/v1/products{query}", headers=headers) as response:
        assert response.status in (200, 206), await response.text()
        return [row["id"] for row in await response.json()]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?id=eq.3", [3]),
        ("?id=eq.99", []),
        ("?id=eq.03", [3]),
        ("?id=in.(1,2)&order=id.desc", [2, 1]),
        ("?price=gte.9.5&order=id", [9, 10]),
        ("?category_id=eq.1&order=id&limit=2&offset=1", [4, 6]),
        ("?name=ilike.*UCT%201*&order=id", [1, 10]),
        ("?or=(id.eq.1,id.eq.10)&order=id", [1, 10]),
        ("?name=wfts.product%20-1&order=id&limit=2", [2, 3]),
        ("?select=id&order=id.desc&limit=1", [10]),
        ("?made=is.null&limit=1", [1]),
        ("?id=eq.3&id=eq.4", []),
    ],
)
async def test_filters(client: Any, query: str, expected: list[int]) -> None:
    assert await names(client, query) == expected


async def test_a_row_is_whole_and_typed(client: Any) -> None:
    async with client.get("/rest/v1/products?id=eq.2") as response:
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        assert response.headers["Content-Range"] == "0-0/*"
        assert await response.json() == [
            {
                "id": 2,
                "name": "Product 2",
                "price": "2.50",
                "category_id": 1,
                "code": "c2",
                "stock": 7,
                "made": None,
            }
        ]


async def test_one_row_by_key_has_an_etag_and_answers_304(client: Any, db: Database) -> None:
    found = db.get_row("products", "2")
    assert found is not None
    for query in ("?id=eq.2", "?select=*&id=eq.2", "?select=name&id=eq.2", "?select=id,_rev&id=eq.2"):
        async with client.get(f"/rest/v1/products{query}") as response:
            assert response.status == 200
            assert response.headers["ETag"] == f'"{found[1]}"'
        async with client.get(
            f"/rest/v1/products{query}", headers={"If-None-Match": f'"{found[1]}"'}
        ) as response:
            assert (response.status, await response.read()) == (304, b"")
    async with client.get("/rest/v1/products?select=id,_rev&id=eq.2") as response:
        assert await response.json() == [{"id": 2, "_rev": found[1]}]


async def test_composite_keys(client: Any, db: Database) -> None:
    await db.insert("lines", [{"order": 1, "part": 'a"b', "count": 2}, {"order": 1, "part": "2", "count": 3}])
    async with client.get("/rest/v1/lines", params={"order": "eq.1"}) as response:
        assert response.status == 400  # a reserved word: the column is written in quotes
    for part, count in (('a"b', 2), ("2", 3)):
        params = {'"order"': "eq.1", "part": f"eq.{part}"}
        async with client.get("/rest/v1/lines", params=params) as response:
            assert [row["count"] for row in await response.json()] == [count]


@pytest.mark.parametrize(
    ("query", "headers", "status", "content_range"),
    [
        ("?limit=3", {}, 200, "0-2/*"),
        ("?limit=3", {"Prefer": "count=exact"}, 206, "0-2/10"),
        ("?limit=3&offset=9", {"Prefer": "count=exact"}, 206, "9-9/10"),
        ("", {"Prefer": "count=exact"}, 200, "0-9/10"),
        ("?category_id=eq.1", {"Prefer": "count=planned"}, 200, "0-4/5"),
        ("?category_id=eq.1&limit=1", {"Prefer": "count=estimated"}, 206, "0-0/5"),
        ("?id=gt.100", {"Prefer": "count=exact"}, 200, "*/0"),
        ("?limit=0", {"Prefer": "count=exact"}, 206, "*/10"),
        ("?offset=11", {"Prefer": "count=exact"}, 416, None),
        ("?offset=11", {}, 200, "*/*"),
        ("", {"Range": "2-4"}, 200, "2-4/*"),
        ("", {"Range": "items=2-4", "Range-Unit": "items", "Prefer": "count=exact"}, 206, "2-4/10"),
        ("", {"Range": "7-"}, 200, "7-9/*"),
        ("", {"Range": "4-2"}, 416, None),
        ("", {"Range": "bytes=0-9"}, 200, "0-9/*"),
        ("?limit=-1", {}, 416, None),
    ],
)
async def test_pages(
    client: Any, query: str, headers: dict[str, str], status: int, content_range: str | None
) -> None:
    async with client.get(f"/rest/v1/products{query}", headers=headers) as response:
        assert response.status == status
        assert response.headers.get("Content-Range") == content_range
        if status == 416:
            assert (await response.json())["code"] == "PGRST103"


async def test_head_tells_without_rows(client: Any) -> None:
    async with client.head(
        "/rest/v1/products?category_id=eq.1", headers={"Prefer": "count=exact"}
    ) as response:
        assert (response.status, response.headers["Content-Range"]) == (200, "0-4/5")
        assert response.headers["Preference-Applied"] == "count=exact"
        assert await response.read() == b""


OBJECT = "application/vnd.pgrst.object+json"


@pytest.mark.parametrize(
    ("query", "accept", "status", "text"),
    [
        ("?id=eq.2&select=id,made", OBJECT, 200, '{"id":2,"made":null}'),
        ("?id=eq.2&select=id,made", f"{OBJECT};nulls=stripped", 200, '{"id":2}'),
        ("?id=lt.2&select=id,made", "application/vnd.pgrst.array+json;nulls=stripped", 200, '[{"id":1}]'),
        ("?id=lt.3&select=id", OBJECT, 406, None),
        ("?id=eq.99&select=id", OBJECT, 406, None),
        (
            "?id=lt.3&select=id,name,made&order=id",
            "text/csv",
            200,
            "id,name,made\n1,Product 1,\n2,Product 2,\n",
        ),
        (
            "?id=eq.1",
            "text/csv",
            200,
            "id,name,price,stock,category_id,code,made\n1,Product 1,1.50,7,2,c1,\n",
        ),
        ("?id=eq.0", "text/csv", 200, "id,name,price,stock,category_id,code,made\n"),
        ("?id=eq.1&select=id", "text/html, application/json;q=0.5", 200, '[{"id":1}]'),
        ("?id=eq.1&select=id", "text/csv;q=0.1, */*", 200, '[{"id":1}]'),
        ("?id=eq.1", "image/png", 406, None),
    ],
)
async def test_forms(client: Any, query: str, accept: str, status: int, text: str | None) -> None:
    async with client.get(f"/rest/v1/products{query}", headers={"Accept": accept}) as response:
        assert response.status == status
        if text is None:
            assert (await response.json())["code"] == ("PGRST107" if "image" in accept else "PGRST116")
        else:
            assert await response.text() == text


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("nothing", 404, "42P01"),
        ("products?nam=eq.1", 400, "42703"),
        ("products?id=eq.x", 400, "22P02"),
        ("products?made=eq.x", 400, "22007"),
        ("products?id=eq.99999999999999999999", 400, "22003"),
        ("products?name=match.(", 400, "2201B"),
        ("products?id=foo.1", 400, "PGRST100"),
        ("products?or=(id.eq.1", 400, "PGRST100"),
        ("products?select=rel(*)", 400, "PGRST200"),
        ("products?rel.id=eq.1", 400, "PGRST108"),
        ("products?select=count()", 400, "PGRST123"),
        ("products?name=fts.a%20b", 400, "42601"),
        ("products?code=fts.a", 400, "42883"),
        ("products?name=eq.%ff", 400, "PGRST100"),
    ],
)
async def test_errors_are_postgrests(client: Any, path: str, status: int, code: str) -> None:
    async with client.get(f"/rest/v1/{path}") as response:
        body = await response.json()
        assert (response.status, body["code"]) == (status, code)
        assert list(body) == ["code", "message", "details", "hint"]
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"


async def test_preferences_that_nobody_knows_are_refused_only_when_strict(client: Any) -> None:
    async with client.get("/rest/v1/products?limit=1", headers={"Prefer": "foo=bar"}) as response:
        assert response.status == 200
    headers = {"Prefer": "handling=strict, foo=bar"}
    async with client.get("/rest/v1/products?limit=1", headers=headers) as response:
        assert (response.status, (await response.json())["code"]) == (400, "PGRST122")


async def test_schemas_other_than_public_are_refused(client: Any) -> None:
    for profile, status in (("public", 200), ("secret", 406)):
        async with client.get("/rest/v1/products", headers={"Accept-Profile": profile}) as response:
            assert response.status == status


async def test_options_lists_the_methods(client: Any) -> None:
    async with client.options("/rest/v1/products") as response:
        assert response.status == 204
        assert "PATCH" in response.headers["Allow"]
