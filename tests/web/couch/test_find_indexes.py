"""`_index` over HTTP: definitions are made, refused, listed and removed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.couch import Couch
from tests.support.mango import find, ids, index


async def test_indexes_are_design_documents(couch: Couch) -> None:
    made = await index(couch, ["foo", {"bar.baz": "asc"}], name="one")
    assert made["result"] == "created" and made["name"] == "one" and made["id"].startswith("_design/")
    again = await index(couch, ["foo", {"bar.baz": "asc"}], name="one")
    assert again == {**made, "result": "exists"}
    stored = await couch.get("/" + made["id"])
    assert stored["language"] == "query"
    assert stored["views"] == {
        "one": {
            "map": {"fields": {"foo": "asc", "bar.baz": "asc"}},
            "reduce": "_count",
            "options": {"def": {"fields": ["foo", {"bar.baz": "asc"}]}},
        }
    }
    listed = await couch.get("/_index")
    special = {"ddoc": None, "name": "_all_docs", "type": "special", "def": {"fields": [{"_id": "asc"}]}}
    assert listed == {
        "total_rows": 2,
        "indexes": [
            special,
            {
                "ddoc": made["id"], "name": "one", "type": "json", "partitioned": False,
                "def": {"fields": [{"foo": "asc"}, {"bar.baz": "asc"}]},
            },
        ],
    }  # fmt: skip
    turned = await index(couch, ["bar.baz", "foo"], ddoc=made["id"], name="one")
    assert turned["result"] == "created"  # the order of the fields is part of it
    assert (await couch.get("/_index"))["indexes"][1]["def"]["fields"] == [{"bar.baz": "asc"}, {"foo": "asc"}]


@pytest.mark.parametrize(
    "body",
    [
        *({"index": {"fields": bad}} for bad in (None, True, "bing", 2.0, {"a": "b"}, [{"a": 2}], [""], [])),
        {"index": {"fields": [{"a": "asc", "b": "desc"}]}},
        {"index": {"fields": [{"a": "asc"}, {"b": "desc"}]}},
        {"index": {"fields": ["a..b"]}},
        {"index": {"fields": ["a"], "selector": {"a": 1}}},
        {"index": {"fields": ["a"], "partial_filter_selector": {"a": {"$no": 1}}}},
        {"index": []},
        {},
        {"index": {"fields": ["a"]}, "colour": 1},
        *(
            {"index": {"fields": ["a"]}, "type": bad}
            for bad in (None, True, 1.5, "foo", "geo", {"foo": "bar"})
        ),
        *({"index": {"fields": ["a"]}, "name": bad} for bad in ("", True, 1.5, {"foo": "bar"}, [None])),
        *({"index": {"fields": ["a"]}, "ddoc": bad} for bad in ("", "_design/", True, 1.5, [None])),
        {"index": {"fields": ["a"]}, "w": 0},
        {"index": {"fields": ["a"]}, "partitioned": True},
    ],
    ids=json.dumps,
)
async def test_bad_indexes(couch: Couch, body: dict[str, Any]) -> None:
    done = await couch.ask("POST", "/_index", json=body)
    assert done.status == 400, done.body
    assert (await couch.get("/_index"))["total_rows"] == 1


@pytest.mark.parametrize("kind", ["text", "nouveau"])
async def test_text_indexes_are_refused(couch: Couch, kind: str) -> None:
    refused = await index(couch, ["a"], type=kind, status=503)
    assert refused == {"error": "required index service unavailable", "reason": kind}


async def test_an_index_does_not_go_into_a_document_of_another_language(couch: Couch) -> None:
    await couch.put("/_design/d", {"views": {}})
    assert (await index(couch, ["a"], ddoc="d", status=400))["error"] == "invalid_ddoc_lang"


@pytest.mark.parametrize(
    "path", ["{name}/json/{name}", "_design/{name}/json/{name}", "_design%2F{name}/json/{name}"]
)
async def test_removing_an_index(couch: Couch, path: str) -> None:
    for name in ("one", "two"):
        await index(couch, ["foo"], ddoc="d" if path.startswith("{") else name, name=name)
    ddoc = "d" if path.startswith("{") else "one"
    where = "/_index/" + path.replace("{name}", ddoc, 1).replace("{name}", "one")
    assert (await couch.ask("DELETE", where)).json == {"ok": True}
    assert [i["name"] for i in (await couch.get("/_index"))["indexes"]] == ["_all_docs", "two"]
    missing = await couch.ask("DELETE", where)
    assert (missing.status, missing.json) == (404, {"error": "not_found", "reason": "missing"})
    assert (await couch.ask("DELETE", where.replace("/json/", "/text/").replace("one", "two"))).status == 404
    gone = await couch.ask("GET", "/_design/one")
    assert gone.status == 404


async def test_removing_many_indexes(couch: Couch) -> None:
    await index(couch, ["a"], ddoc="one", name="a")
    await index(couch, ["b"], ddoc="one", name="b")
    await index(couch, ["c"], ddoc="two")
    done = await couch.ask(
        "POST", "/_index/_bulk_delete", json={"docids": ["_design/one", "two", "none"], "w": 3}
    )
    assert done.json == {
        "success": [{"id": "_design/one", "ok": True}, {"id": "_design/two", "ok": True}],
        "fail": [{"id": "_design/none", "error": "not_found"}],
    }
    assert (await couch.get("/_index"))["total_rows"] == 1
    for bad in ({}, {"docids": 5}, {"docids": [None]}, {"docids": [], "x": 1}):
        assert (await couch.ask("POST", "/_index/_bulk_delete", json=bad)).status == 400


async def test_the_list_has_pages(couch: Couch) -> None:
    for name in "abcde":
        await index(couch, [name], ddoc=name)
    for query, count in (
        ("limit=2", 2),
        ("limit=5&skip=4", 2),
        ("skip=5", 1),
        ("skip=6", 0),
        ("limit=10000", 6),
    ):
        assert len((await couch.get(f"/_index?{query}"))["indexes"]) == count
    for bad in ("skip=-1", "limit=0", "limit=x"):
        refused = await couch.ask("GET", f"/_index?{bad}")
        assert (refused.status, refused.json["error"]) == (500, "invalid_list_index_params")


async def test_partial_indexes(people: Couch) -> None:
    adults = {"partial_filter_selector": {"age": {"$gte": 41}}}
    await index(people, ["manager"], ddoc="adults", definition=adults)
    listed = [i for i in (await people.get("/_index"))["indexes"] if i["name"] == "adults"]
    assert listed[0]["def"] == {"fields": [{"manager": "asc"}], **adults}
    query = {"selector": {"manager": {"$exists": True}}}
    assert await ids(people, query) == ["02", "04", "01", "03", "05", "06"]
    assert await ids(people, {**query, "use_index": "adults"}) == ["04", "05", "06"]
    plan = await find(people, query, path="/_explain")
    reasons = {c["index"]["name"]: c["analysis"]["reasons"][0]["name"] for c in plan["index_candidates"]}
    assert plan["index"]["name"] == "manager" and reasons["adults"] == "is_partial"


async def test_old_definitions_of_partial_indexes(people: Couch) -> None:
    view = {"map": {"fields": {"age": "asc"}, "selector": {"age": {"$gte": 55}}}, "reduce": "_count",
            "options": {"def": {"fields": ["age"]}}}  # fmt: skip
    await people.put("/_design/old", {"language": "query", "views": {"old": view}})
    assert await ids(people, {"selector": {"age": {"$gt": 0}}, "use_index": "old"}) == ["06", "07"]


async def test_where_the_indexes_of_a_query_document_stand(couch: Couch) -> None:
    await couch.ask("PUT", "/_design/unused", json={})
    made = await couch.ask("POST", "/_index", json={"index": {"fields": ["a"]}, "ddoc": "q", "name": "n"})
    assert made.status == 200
    told = await couch.ask("GET", "/_design/q/_info")
    assert (told.status, told.json["name"]) == (200, "q")
    assert told.json["view_index"]["language"] == "query"
    assert told.json["view_index"]["update_seq"] == (await couch.ask("GET", "")).json["update_seq"]
