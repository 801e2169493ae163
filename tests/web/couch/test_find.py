"""`_find` over HTTP, as CouchDB's own suite for Mango asks: selectors, results, bookmarks, figures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.couch import Couch
from tests.support.mango import BY_AGE, PEOPLE, find, ids, index
from tests.web.conftest import WebServer

# ── selectors ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, ["01", "02", "03", "04", "05", "06", "07"]),
        ({"age": {"$lt": 35}}, ["01", "02", "03"]),
        ({"manager": True, "name.last": "Xu"}, ["03"]),
        ({"name": {"last": "Xu"}}, ["03"]),
        ({"name": {"$eq": {"first": "Cy", "last": "Xu"}}}, ["03"]),
        ({"likes.3": "F"}, ["05"]),
        ({"likes.3": None}, []),
        ({"mail": {"$exists": False}}, ["01", "02", "05", "06", "07"]),
        ({"mail": None}, ["04"]),
        ({"mail": {"$ne": "@cy"}}, ["04"]),
        ({"mail": {"$gte": None}}, ["04", "03"]),
        ({"mail": {"$lt": 1}}, ["04"]),
        ({"likes": {"$all": ["Lisp", "Go"]}}, ["01"]),
        ({"likes": {"$in": ["Lisp", "F"]}}, ["01", "05"]),
        ({"likes": {"$nin": ["Go", "C"]}}, []),
        ({"likes": {"$elemMatch": {"$gte": "E"}}}, ["01", "02", "05"]),
        ({"likes": {"$size": 4}}, ["05"]),
        ({"likes": {"$type": "string"}}, ["07"]),
        ({"name": {"$keyMapMatch": {"$beginsWith": "la"}}, "age": {"$gt": 50}}, ["06", "07"]),
        ({"age": {"$mod": [10, 1]}}, ["02", "04", "07"]),
        ({"name.last": {"$regex": "(?i)^[X-Y]"}}, ["02", "03"]),
        ({"name.last": {"$beginsWith": "V"}}, ["05"]),
        ({"$or": [{"age": 22}, {"company": "Oulu"}]}, ["01", "06"]),
        ({"$nor": [{"age": {"$lt": 50}}, {"company": "Oulu"}]}, ["07"]),
        ({"$not": {"age": {"$gt": 31}}}, ["01", "02"]),
        ({"$and": [{"age": {"$gt": 0}}, {"age": {"$lt": 0}}]}, []),
        ({"$or": []}, []),
        ({"age": 22, "$or": []}, ["01"]),
        ({"age": 22, "company": {"$in": []}}, []),
        ({"likes": {"$nin": []}}, ["01", "02", "05", "07"]),
        ({"_id": {"$gt": "05"}}, ["06", "07"]),
        ({"_id": {"$gt": None}, "name": {}}, []),
        ({"_id": {"$gt": 5}, "age": {"$gt": 40, "$lt": 50}}, ["04", "05"]),
        ({"_rev": {"$beginsWith": "1-"}, "age": 22}, ["01"]),
    ],
)
async def test_selectors(people: Couch, selector: dict[str, Any], expected: list[str]) -> None:
    with_indexes = await ids(people, selector)
    assert sorted(with_indexes) == sorted(expected)
    everything = await find(
        people, {"selector": {"$and": [{"_id": {"$gt": None}}, selector or {"_id": {"$gt": 0}}]}}
    )
    assert sorted(d["_id"] for d in everything["docs"]) == (sorted(expected) if selector != {"$or": []} else
                                                            [p["_id"] for p in PEOPLE])  # fmt: skip


BAD: list[tuple[dict[str, Any], str]] = [
    *(({"selector": bad}, "invalid_selector_json") for bad in (None, True, 1.0, "foobarbaz", [None, "bing"])),
    ({"selector": {"foo": {"$not_an_op": 2}}}, "invalid_operator"),
    ({"selector": {"$gt": 2}}, "invalid_selector"),
    ({"selector": {"_id": {"": None}}}, "invalid_field_name"),
    ({"selector": {"a": {"$beginsWith": True}}}, "invalid_operator"),
    ({"selector": {"a": {"$where": "1"}}}, "not_supported"),
    ({"selector": {"$text": "a"}}, "not_supported"),
    ({"selector": {"a": {"$regex": "("}}}, "bad_arg"),
    ({"selector": {"a": {"$mod": [0, 1]}}}, "bad_arg"),
    ({}, "missing_required_key"),
    ({"selector": {}, "colour": 1}, "invalid_key"),
    *(({"selector": {}, "limit": bad}, "invalid_non_neg_integer") for bad in (None, True, -1, 1.2, [2])),
    *(({"selector": {}, "skip": bad}, "invalid_non_neg_integer") for bad in (None, False, -3, {"a": "b"})),
    *(({"selector": {}, "sort": bad}, "invalid_sort_json") for bad in (None, True, 1.2, "no", {"a": "b"})),
    *(({"selector": {}, "sort": [bad]}, "invalid_sort_field") for bad in (2, "", {"a": "asc", "b": "asc"})),
    ({"selector": {}, "sort": [{"a": "asc"}, {"b": "desc"}]}, "unsupported_mixed_sort"),
    *(({"selector": {}, "fields": bad}, "invalid_fields") for bad in (None, True, "no", {"foo": "bar"})),
    *(({"selector": {}, "fields": bad}, "invalid_field") for bad in ([2], [[]], ["foo", 2.0])),
    *(({"selector": {}, "r": bad}, "invalid_pos_integer") for bad in (None, True, 1.2, "no", 0)),
    *(({"selector": {}, "conflicts": bad}, "invalid_boolean") for bad in (None, 1.2, "no")),
    *(({"selector": {}, "use_index": bad}, "invalid_index_name") for bad in ("a/b/c", ["a", "b", "c"], 5)),
    ({"selector": {}, "bookmark": 5}, "invalid_bookmark"),
    ({"selector": {}, "bookmark": "bad-bookmark"}, "invalid_bookmark"),
    ({"selector": {}, "bookmark": "g2wAAAABaANkABFub2RlMUBjb3VjaGRiLm5ld"}, "invalid_bookmark"),
    ({"selector": {}, "partition": "a"}, "bad_request"),
    ({"selector": {}, "stale": "maybe"}, "invalid_value"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "error"), BAD, ids=lambda value: json.dumps(value)[:60])
async def test_bad_queries(couch: Couch, body: dict[str, Any], error: str) -> None:
    for path in ("/_find", "/_explain"):
        if error == "invalid_bookmark" and path == "/_explain" and isinstance(body["bookmark"], str):
            continue
        done = await couch.ask("POST", path, json=body)
        assert done.status == 400 and done.json["error"] == error and done.json["reason"], done.body


async def test_a_bookmark_that_is_none_is_named(couch: Couch) -> None:
    done = await couch.ask("POST", "/_find", json={"selector": {}, "bookmark": "bad-bookmark"})
    assert done.json == {"error": "invalid_bookmark", "reason": 'Invalid bookmark value: "bad-bookmark"'}


# ── what is returned ───────────────────────────────────────────────────────────────────────────────────────


async def test_documents_are_whole_or_the_fields_asked_for(couch: Couch) -> None:
    body = {"a.b": 1, "a": {"b": [1, {"c": 2}]}, "d": None, "$e": 5, "_attachments": {"t": {"data": "aGk="}}}
    rev = await couch.put("/x", body)
    whole = (await find(couch, {}))["docs"]
    stub = {"content_type": "application/octet-stream", "revpos": 1, "length": 2, "stub": True}
    assert whole[0].pop("_attachments")["t"].items() >= stub.items()
    assert whole == [{"_id": "x", "_rev": rev, "a.b": 1, "a": {"b": [1, {"c": 2}]}, "d": None, "$e": 5}]
    fields = ["_id", "a\\.b", "a.b.1.c", "a.b.0", "d", "missing", "$e"]
    part = (await find(couch, {"selector": {}, "fields": fields}))["docs"]
    assert part == [{"_id": "x", "a.b": 1, "a": {"b": {"1": {"c": 2}, "0": 1}}, "d": None, "$e": 5}]
    assert await ids(couch, {"_attachments": {"$exists": True}}) == ["x"]
    assert await ids(couch, {"_attachments.t.length": 2}) == ["x"]
    assert await ids(couch, {"_attachments": {"$exists": False}}) == []


async def test_conflicts_are_found_and_shown(couch: Couch) -> None:
    await couch.graft("doc", "1-b", a=2)
    await couch.graft("doc", "1-a", a=1)
    await couch.put("/other", {"a": 3})
    await index(couch, ["_conflicts"], ddoc="conflicts")
    query = {"selector": {"_conflicts": {"$exists": True}}, "conflicts": True}
    [found] = (await find(couch, query))["docs"]
    assert found == {"_id": "doc", "_rev": "1-b", "a": 2, "_conflicts": ["1-a"]}
    explained = await find(couch, query, path="/_explain")
    assert explained["index"]["ddoc"] == "_design/conflicts" and explained["mrargs"]["conflicts"] is True


async def test_design_documents_and_deleted_ones_are_not_found(people: Couch) -> None:
    done = await people.ask("DELETE", "/01?rev=" + (await people.get("/01"))["_rev"])
    assert done.status == 200
    assert await ids(people, {}) == ["02", "03", "04", "05", "06", "07"]
    assert await ids(people, {"language": "query"}) == []
    assert await ids(people, {"age": {"$lt": 32}}) == ["02"]


@pytest.mark.parametrize("limit", [0, 1, 3, 7, 100])
@pytest.mark.parametrize("skip", [0, 2, 9])
async def test_limit_and_skip(people: Couch, limit: int, skip: int) -> None:
    expected = [p["_id"] for p in PEOPLE][skip : skip + limit]
    assert await ids(people, {**BY_AGE, "limit": limit, "skip": skip}) == expected
    assert await ids(people, {"selector": {}, "limit": limit, "skip": skip}) == expected


async def test_the_limit_is_25_unless_given(couch: Couch) -> None:
    await couch.ask("POST", "/_bulk_docs", json={"docs": [{"_id": f"{i:02}"} for i in range(30)]})
    assert len(await ids(couch, {})) == 25


async def test_a_large_answer_is_streamed(couch: Couch) -> None:
    docs = [{"_id": f"{i:05}", "n": i, "pad": "x" * 100} for i in range(2500)]
    done = await couch.ask("POST", "/_bulk_docs", json={"docs": docs})
    assert done.status == 201
    found = await find(
        couch, {"selector": {"n": {"$gte": 0}}, "limit": 10_000, "skip": 3, "execution_stats": True}
    )
    assert [d["n"] for d in found["docs"]] == list(range(3, 2500))
    assert found["execution_stats"]["results_returned"] == 2497


# ── sort and bookmarks ─────────────────────────────────────────────────────────────────────────────────────


async def test_sort(people: Couch) -> None:
    ages = [p["_id"] for p in PEOPLE]
    assert await ids(people, {**BY_AGE, "sort": ["age"]}) == ages
    assert await ids(people, {**BY_AGE, "sort": [{"age": "desc"}]}) == ages[::-1]
    by_name = {
        "selector": {"name.last": {"$gt": "V"}, "name.first": {"$gt": None}},
        "sort": ["name.last", "name.first"],
    }
    assert await ids(people, by_name) == ["05", "04", "03", "02", "01"]
    by_first = {
        "selector": {"name.last": "Xu", "name.first": {"$gt": None}},
        "sort": [{"name.first": "desc"}],
    }
    assert await ids(people, by_first) == ["03"]


@pytest.mark.parametrize(
    "query",
    [
        {"selector": {"_id": {"$gt": None}}, "sort": ["name"]},
        {"selector": {"name.last": {"$lt": "M"}}, "sort": [{"name.first": "desc"}]},
        {
            "selector": {"company": {"$lt": "M"}, "$or": [{"company": "a"}, {"manager": True}]},
            "sort": ["company"],
        },
        {"selector": {"age": 10}, "sort": ["age", "name"]},
        {"selector": {}, "sort": ["_id"]},
    ],
)
async def test_a_sort_needs_an_index(people: Couch, query: dict[str, Any]) -> None:
    refused = await find(people, query, status=400)
    assert refused == {
        "error": "no_usable_index",
        "reason": "No index exists for this sort, try indexing by the sort fields.",
    }
    explained = await find(people, query, path="/_explain")
    assert explained["index"] is None and "mrargs" not in explained


MIXED: list[Any] = [
    None,
    False,
    True,
    -1,
    0,
    2.5,
    "",
    "a",
    "b",
    [],
    [1],
    [1, "x"],
    [2],
    {},
    {"a": 1},
    {"b": 0},
]


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("sort", [[], ["v"], ["v", "w"], ["_id"]], ids=lambda s: "-".join(s) or "none")
async def test_bookmarks_go_on(couch: Couch, sort: list[str], direction: str) -> None:
    docs = [
        {"_id": f"{i:03}", "v": MIXED[i * 7 % len(MIXED)], "w": MIXED[i * 5 % len(MIXED)]} for i in range(60)
    ]
    await couch.ask("POST", "/_bulk_docs", json={"docs": docs})
    for fields in (["v"], ["v", "w"]):
        await index(couch, fields)
    selector = {"v": {"$exists": True}, "w": {"$exists": True}, "_id": {"$gt": None}}
    query = {"selector": selector, "sort": [{name: direction} for name in sort]}
    whole = await ids(couch, {**query, "limit": 1000})
    assert len(whole) == 60
    if sort and sort != ["_id"]:  # MIXED is in order
        places = [(int(i) * 7 % len(MIXED), int(i) * 5 % len(MIXED)) for i in whole]
        ordered = [place[: len(sort)] for place in places]
        assert ordered == sorted(ordered, reverse=direction == "desc")
    seen: list[str] = []
    bookmark = None
    while page := await find(couch, {**query, "limit": 7, "bookmark": bookmark}):
        bookmark = page["bookmark"]
        if not page["docs"]:
            break
        seen += [document["_id"] for document in page["docs"]]
    assert seen == whole
    again = await find(couch, {**query, "limit": 7, "bookmark": bookmark})
    assert again["docs"] == [] and again["bookmark"] == bookmark
    explained = await find(couch, {**query, "bookmark": bookmark}, path="/_explain")
    assert explained["opts"]["bookmark"] == bookmark


async def test_no_result_gives_no_bookmark(people: Couch) -> None:
    assert (await find(people, {"age": 99}))["bookmark"] == "nil"
    assert (await find(people, {"selector": {}, "bookmark": "nil"}))["docs"]


async def test_a_bookmark_holds_when_documents_come_and_go(people: Couch) -> None:
    first = await find(people, {**BY_AGE, "limit": 3, "sort": ["age"]})
    await people.ask("DELETE", "/03?rev=" + (await people.get("/03"))["_rev"])
    await people.put("/new", {"age": 20})
    await people.put("/newer", {"age": 42})
    found = await find(people, {**BY_AGE, "sort": ["age"], "bookmark": first["bookmark"]})
    assert [d["_id"] for d in found["docs"]] == ["04", "newer", "05", "06", "07"]


# ── figures and warnings ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "keys", "documents", "quorum", "returned"),
    [
        ({"selector": {"age": {"$lt": 35}}}, 3, 3, 0, 3),
        ({"selector": {"age": {"$lt": 35}}, "r": 3}, 3, 0, 3, 3),
        ({"selector": {"age": {"$lt": 35}, "nomatch": "me"}}, 3, 3, 0, 0),
        ({"selector": {"age": {"$lt": 35}}, "fields": ["_id", "age"]}, 3, 0, 0, 3),
        ({"selector": {"age": {"$lte": 60}}, "limit": 3}, 4, 4, 0, 3),
        ({"selector": {"likes": {"$elemMatch": {"$eq": "Go"}}}, "limit": 200}, 4, 4, 0, 2),
        ({"selector": {"foo": "bar"}}, 12, 12, 0, 0),
        ({"selector": {"name.first": "Lee", "name.last": "Jackson"}}, 0, 0, 0, 0),
    ],
)
async def test_execution_statistics(
    people: Couch, query: dict[str, Any], keys: int, documents: int, quorum: int, returned: int
) -> None:
    found = await find(people, {**query, "execution_stats": True})
    stats = found["execution_stats"]
    assert stats.pop("execution_time_ms") > 0
    assert stats == {
        "total_keys_examined": keys,
        "total_docs_examined": documents,
        "total_quorum_docs_examined": quorum,
        "results_returned": returned,
    }
    assert len(found["docs"]) == returned
    assert "execution_stats" not in await find(people, query)


NO_INDEX = "No matching index found, create an index to optimize query time."
MANY = (
    "The number of documents examined is high in proportion to the number of results returned. "
    "Consider adding a more specific index to improve this."
)


async def test_warnings(people: Couch) -> None:
    assert "warning" not in await find(people, {"age": 22})
    assert (await find(people, {"company": "Pharmex"}))["warning"].split("\n") == [NO_INDEX, MANY]
    assert (await find(people, {"mail": {"$exists": False}}))["warning"] == NO_INDEX
    unused = (
        "_design/company_and_manager was not used because it does not contain a valid index for this query."
    )
    named = await find(people, {"selector": {"company": "Pharmex"}, "use_index": "company_and_manager"})
    assert named["warning"].split("\n")[0] == unused and [d["_id"] for d in named["docs"]] == ["07"]
    pair = ["_design/company_and_manager", "company_and_manager"]
    named = await find(people, {"selector": {"company": "Pharmex"}, "use_index": pair})
    assert named["warning"].split("\n")[0] == (
        "_design/company_and_manager, company_and_manager was not used "
        "because it is not a valid index for this query."
    )


# ── who may ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/_find", "db:read"),
        ("POST", "/_explain", "db:read"),
        ("GET", "/_index", "db:read"),
        ("POST", "/_index", "sync"),
        ("POST", "/_index/_bulk_delete", "sync"),
        ("DELETE", "/_index/a/json/a", "sync"),
    ],
)
async def test_scopes(couch: Couch, web_server: WebServer, method: str, path: str, scope: str) -> None:
    body = None if method != "POST" else {"selector": {}} if "_index" not in path else {"docids": []}
    if path == "/_index" and method == "POST":
        body = {"index": {"fields": ["a"]}}
    lesser = await web_server.key("shop", *(["db:write"] if scope == "db:read" else ["*:read", "*:write"]))
    refused = await couch.ask(method, path, json=body, token=lesser)
    assert refused.status == 403, refused.body
    allowed = await couch.ask(method, path, json=body, token=await web_server.key("shop", scope))
    assert allowed.status in (200, 404), allowed.body
    assert (await couch.ask(method, path.replace("/_", "/no/_", 1), json=body)).status in (404, 405)


async def test_a_query_must_say_that_it_is_json(couch: Couch) -> None:
    done = await couch.ask("POST", "/_find", data=b'{"selector":{}}', headers={"Content-Type": "text/plain"})
    assert done.status == 415


async def test_an_absent_database(couch: Couch) -> None:
    absent = Couch(couch.server, "absent", couch.token)
    for method, path, body in (
        ("POST", "/_find", {"selector": {}}),
        ("POST", "/_explain", {"selector": {}}),
        ("POST", "/_index", {"index": {"fields": ["a"]}}),
        ("GET", "/_index", None),
    ):
        done = await absent.ask(method, path, json=body)
        assert (done.status, done.json["reason"]) == (404, "Database does not exist."), done.body
