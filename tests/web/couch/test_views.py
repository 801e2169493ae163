"""Views as clients ask for them: parameters, reductions, refusals, functions that misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from localsrv.javascript.pool import JavaScript
from localsrv.services.imports import program
from localsrv.services.views import Views
from tests.support.couch import Couch

VIEWS = {
    "by_n": {"map": "function (doc) { if (doc.n !== undefined) emit(doc.n, doc._id) }"},
    "pairs": {
        "map": "function (doc) { if (doc.n !== undefined) emit([doc.n % 2, doc.n % 3, doc.n], doc.n) }",
        "reduce": "_sum",
    },
    "count": {"map": "function (doc) { if (doc.n !== undefined) emit(doc.n % 3, null) }", "reduce": "_count"},
    "stats": {
        "map": "function (doc) { if (doc.n !== undefined) emit(doc.n % 3, doc.n) }",
        "reduce": "_stats",
    },
    "own": {
        "map": "function (doc) { if (doc.n !== undefined) emit(doc.n % 3, doc.n) }",
        "reduce": "function (keys, values, rereduce) { return sum(values) }",
    },
    "twice": {"map": "function (doc) { if (doc.n < 2) { emit('b', 1); emit('a', 2); emit('b', 3) } }"},
    "linked": {"map": "function (doc) { if (doc.to) emit(doc._id, {_id: doc.to, _rev: doc.rev}) }"},
    "any": {"map": "function (doc) { if ('any' in doc) emit(doc.any) }"},
    "same": {"map": "function (doc) { emit(1, doc._id) }"},
}

PATH = "/_design/d/_view/"


@pytest.fixture
async def views(couch: Couch) -> Couch:
    """Nine documents `d0` … `d8` with `n` from 0, and a design document `d` of `VIEWS`."""
    await couch.put("/_design/d", {"views": VIEWS})
    docs = [{"_id": f"d{n}", "n": n} for n in range(9)]
    done = await couch.ask("POST", "/_bulk_docs", json={"docs": docs})
    assert done.status == 201
    return couch


def query(**parameters: Any) -> str:
    """A query string: what is JSON in CouchDB's parameters is written as JSON."""
    plain = {"startkey_docid", "endkey_docid", "stale", "update"}
    return urlencode({n: v if n in plain else json.dumps(v) for n, v in parameters.items()}, quote_via=quote)


async def rows(couch: Couch, view: str, **parameters: Any) -> list[Any]:
    found = await couch.get(f"{PATH}{view}?{query(**parameters)}")
    return list(found["rows"])


# ── rows ───────────────────────────────────────────────────────────────────────────────────────────────────

N = list(range(9))

RANGES: list[tuple[dict[str, Any], list[Any]]] = [
    ({}, N),
    ({"descending": True}, N[::-1]),
    ({"key": 3}, [3]),
    ({"key": 99}, []),
    ({"key": None}, []),
    ({"keys": [5, 1, 99, 5]}, [5, 1, 5]),
    ({"keys": [5, 1, 7], "descending": True}, [7, 1, 5]),
    ({"keys": []}, []),
    ({"keys": [4]}, [4]),
    ({"keys": [5, 1, 7], "skip": 1, "limit": 1}, [1]),
    ({"startkey": 6}, [6, 7, 8]),
    ({"start_key": 6}, [6, 7, 8]),
    ({"endkey": 2}, [0, 1, 2]),
    ({"end_key": 2, "inclusive_end": False}, [0, 1]),
    ({"startkey": 2, "endkey": 4}, [2, 3, 4]),
    ({"startkey": 4, "endkey": 2, "descending": True}, [4, 3, 2]),
    ({"startkey": 4, "endkey": 2, "descending": True, "inclusive_end": False}, [4, 3]),
    ({"startkey": 2, "endkey": "a"}, [2, 3, 4, 5, 6, 7, 8]),
    ({"startkey": None, "endkey": True}, []),
    ({"startkey": {}}, []),
    ({"skip": 7}, [7, 8]),
    ({"skip": 99}, []),
    ({"limit": 2}, [0, 1]),
    ({"limit": 0}, []),
    ({"skip": 1, "limit": 2, "descending": True}, [7, 6]),
    ({"key": 3, "inclusive_end": False}, []),
    ({"sorted": False, "stable": True}, N),
    ({"update": "lazy", "keys": []}, []),
]


@pytest.mark.parametrize(("parameters", "expected"), RANGES)
async def test_ranges(views: Couch, parameters: dict[str, Any], expected: list[int]) -> None:
    assert [row["key"] for row in await rows(views, "by_n", **parameters)] == expected


IDS: list[tuple[dict[str, Any], list[str]]] = [
    ({"startkey": 1, "startkey_docid": "d5"}, ["d5", "d6", "d7", "d8"]),
    ({"endkey": 1, "endkey_docid": "d2"}, ["d0", "d1", "d2"]),
    ({"endkey": 1, "endkey_docid": "d2", "inclusive_end": False}, ["d0", "d1"]),
    ({"key": 1, "startkey_docid": "d3", "endkey_docid": "d5"}, ["d3", "d4", "d5"]),
    ({"keys": [1, 2], "startkey_docid": "d3", "endkey_docid": "d4"}, ["d3", "d4"]),
    ({"startkey_docid": "d3"}, [f"d{n}" for n in N]),  # means nothing without a key
    (
        {"startkey": 1, "startkey_docid": "d3", "endkey": 1, "endkey_docid": "d1", "descending": True},
        ["d3", "d2", "d1"],
    ),
    ({"startkey": 1, "startkey_docid": "d3", "descending": True}, ["d3", "d2", "d1", "d0"]),
]


@pytest.mark.parametrize(("parameters", "expected"), IDS)
async def test_ids_within_a_key(views: Couch, parameters: dict[str, Any], expected: list[str]) -> None:
    assert [row["id"] for row in await rows(views, "same", **parameters)] == expected


async def test_the_form_of_an_answer(views: Couch) -> None:
    found = await views.get(f"{PATH}by_n?startkey=2&skip=1&limit=1&update_seq=true")
    token = (await views.get("/_changes"))["last_seq"]
    assert found == {
        "total_rows": 9,
        "offset": 3,
        "update_seq": token,
        "rows": [{"id": "d3", "key": 3, "value": "d3"}],
    }
    assert (await views.get(f"{PATH}by_n?descending=true&startkey=2&limit=1"))["offset"] == 6
    reduced = await views.get(f"{PATH}pairs?update_seq=true")
    assert reduced == {"update_seq": token, "rows": [{"key": None, "value": 36}]}


async def test_rows_of_a_document_stay_in_the_order_emitted(views: Couch) -> None:
    found = [(row["id"], row["key"], row["value"]) for row in await rows(views, "twice")]
    assert found == [
        ("d0", "a", 2),
        ("d1", "a", 2),
        ("d0", "b", 1),
        ("d0", "b", 3),
        ("d1", "b", 1),
        ("d1", "b", 3),
    ]


async def test_keys_come_in_couchdbs_order(views: Couch) -> None:
    """Types first; strings by code point, which is where CouchDB differs."""
    ordered = [
        None, False, True, -2, 0, 1.5, 10, "", "A", "a", "b", "é", "🐢",
        [], [1], [1, "a"], ["a"], {}, {"a": 1}, {"b": 0},
    ]  # fmt: skip
    docs = [{"_id": f"x{n:02}", "any": key} for n, key in enumerate(reversed(ordered))]
    await views.ask("POST", "/_bulk_docs", json={"docs": docs})
    assert [row["key"] for row in await rows(views, "any")] == ordered
    for key in ordered:
        assert [row["key"] for row in await rows(views, "any", key=key)] == [key]


async def test_post_takes_the_same_parameters(views: Couch) -> None:
    async def post(body: Any, address: str = "") -> Any:
        done = await views.ask("POST", f"{PATH}by_n{address}", json=body)
        assert done.status == 200, done.body
        return [row["key"] for row in done.json["rows"]]

    assert await post({"keys": [3, 1]}) == [3, 1]
    assert await post({"startkey": 6, "descending": False}) == [6, 7, 8]
    assert await post({"keys": [3, 1]}, "?descending=true") == [1, 3]
    assert await post({"limit": 5}, "?limit=1") == [0]
    assert await post({}) == N


ADDRESSES = ["/_design%2Fd/_view/by_n", "/_design%2fd/_view/by_n", "/_design/d/_view/by_n/"]


@pytest.mark.parametrize("address", ADDRESSES)
async def test_ways_to_write_an_address(views: Couch, address: str) -> None:
    assert (await views.get(f"{address}?limit=0"))["total_rows"] == 9
    assert (await views.ask("GET", "/_design%2Fd/_info")).json["name"] == "d"
    assert (await views.get("/_design%2Fd"))["_id"] == "_design/d"


async def test_several_queries(views: Couch) -> None:
    asked = [{"key": 1}, {"startkey": 7, "descending": False}, {"limit": 1, "skip": 2}]
    done = await views.ask("POST", f"{PATH}by_n/queries", json={"queries": asked})
    assert done.status == 200
    assert [[row["key"] for row in one["rows"]] for one in done.json["results"]] == [[1], [7, 8], [2]]
    done = await views.ask(
        "POST", f"{PATH}pairs/queries", json={"queries": [{}, {"reduce": False, "limit": 1}]}
    )
    assert done.json["results"][0] == {"rows": [{"key": None, "value": 36}]}
    assert done.json["results"][1]["total_rows"] == 9


async def test_a_long_answer_is_of_one_moment(views: Couch) -> None:
    """It is sent in parts; what is written meanwhile is not in it."""
    docs = [{"_id": f"x{n:05}", "n": n} for n in range(3000)]
    await views.ask("POST", "/_bulk_docs", json={"docs": docs})
    found = await views.get(f"{PATH}by_n?include_docs=true")
    assert len(found["rows"]) == found["total_rows"] == 3009
    assert all(row["doc"]["n"] == row["key"] for row in found["rows"])


# ── documents in rows ──────────────────────────────────────────────────────────────────────────────────────


async def test_include_docs(views: Couch) -> None:
    row = (await rows(views, "by_n", key=1, include_docs=True))[0]
    assert row["doc"]["_id"] == "d1" and row["doc"]["n"] == 1
    assert (await rows(views, "pairs", reduce=False, limit=1, include_docs=True))[0]["doc"]["n"] == 0
    assert "doc" not in (await rows(views, "by_n", key=1, include_docs=False))[0]


async def test_linked_documents(views: Couch) -> None:
    first = (await views.get("/d1"))["_rev"]
    await views.put("/d1", {"_rev": first, "n": 100})
    gone = await views.put("/gone", {})
    await views.ask("DELETE", f"/gone?rev={gone}")
    await views.put("/l1", {"to": "d1"})
    await views.put("/l2", {"to": "d1", "rev": first})
    await views.put("/l3", {"to": "nobody"})
    await views.put("/l4", {"to": "gone"})
    await views.put("/l5", {"to": "_design/d"})
    await views.put("/l6", {"to": "d1", "rev": "no revision"})
    found = {row["id"]: row["doc"] for row in await rows(views, "linked", include_docs=True)}
    assert found["l1"]["n"] == 100
    assert (found["l2"]["n"], found["l2"]["_rev"]) == (1, first)
    assert found["l3"] is None and found["l4"] is None
    assert found["l5"]["_id"] == "_design/d"
    assert found["l6"]["n"] == 100


async def test_conflicts_and_attachments(views: Couch) -> None:
    await views.graft("c", "1-aa", any=1)
    await views.graft("c", "1-bb", any=1)
    await views.put("/a", {"any": 2, "_attachments": {"t": {"content_type": "text/plain", "data": "aGk="}}})
    found = await rows(views, "any", include_docs=True, conflicts=True, attachments=True)
    assert [row["doc"].get("_conflicts") for row in found] == [["1-aa"], None]
    assert found[1]["doc"]["_attachments"]["t"]["data"] == "aGk="
    assert (await rows(views, "any", include_docs=True))[1]["doc"]["_attachments"]["t"]["stub"] is True


async def test_a_map_function_sees_conflicts_and_attachments(couch: Couch) -> None:
    maps = {
        "conflicts": {"map": "doc => { if (doc._conflicts) emit(doc._conflicts, doc._deleted_conflicts) }"},
        "files": {
            "map": "doc => { for (const n in doc._attachments || {}) emit(n, doc._attachments[n].length) }"
        },
    }
    await couch.put("/_design/d", {"views": maps})
    await couch.graft("c", "1-aa", n=1)
    await couch.graft("c", "1-bb", n=1)
    await couch.graft("c", "2-cc", "1-dd", _deleted=True)
    await couch.put("/a", {"_attachments": {"t": {"content_type": "text/plain", "data": "aGk="}}})
    found = (await rows(couch, "conflicts"))[0]
    assert (found["key"], found["value"]) == (["1-aa"], ["2-cc"])
    assert [(row["key"], row["value"]) for row in await rows(couch, "files")] == [("t", 2)]


# ── reductions ─────────────────────────────────────────────────────────────────────────────────────────────

REDUCTIONS: list[tuple[str, dict[str, Any], list[tuple[Any, Any]]]] = [
    ("pairs", {}, [(None, 36)]),
    ("pairs", {"reduce": True}, [(None, 36)]),
    ("pairs", {"group_level": 0}, [(None, 36)]),
    ("pairs", {"group": False}, [(None, 36)]),
    ("pairs", {"group_level": 1}, [([0], 20), ([1], 16)]),
    ("pairs", {"group_level": 1, "descending": True}, [([1], 16), ([0], 20)]),
    ("pairs", {"group_level": 2, "limit": 2, "skip": 1}, [([0, 1], 4), ([0, 2], 10)]),
    ("pairs", {"group_level": 2, "startkey": [0, 2], "endkey": [1, 0, {}]}, [([0, 2], 10), ([1, 0], 3)]),
    ("pairs", {"group_level": 9, "limit": 1}, [([0, 0, 0], 0)]),
    ("pairs", {"group": True, "key": [0, 1, 4]}, [([0, 1, 4], 4)]),
    ("pairs", {"key": [0, 1, 4]}, [(None, 4)]),
    ("pairs", {"key": "none"}, []),
    ("pairs", {"limit": 0}, []),
    ("count", {}, [(None, 9)]),
    ("count", {"group": True}, [(0, 3), (1, 3), (2, 3)]),
    ("count", {"group": True, "keys": [2, 0, 9]}, [(2, 3), (0, 3)]),
    ("count", {"group": True, "keys": [2, 0], "descending": True}, [(0, 3), (2, 3)]),
    ("count", {"group": True, "keys": []}, []),
    ("count", {"group": True, "skip": 1, "limit": 1}, [(1, 3)]),
    ("count", {"group_level": 1}, [(0, 3), (1, 3), (2, 3)]),
    ("stats", {"group": True, "key": 1}, [(1, {"sum": 12, "count": 3, "min": 1, "max": 7, "sumsqr": 66})]),
    ("stats", {}, [(None, {"sum": 36, "count": 9, "min": 0, "max": 8, "sumsqr": 204})]),
    ("own", {}, [(None, 36)]),
    ("own", {"group": True}, [(0, 9), (1, 12), (2, 15)]),
    ("own", {"group": True, "keys": [2, 0]}, [(2, 15), (0, 9)]),
    ("own", {"group": True, "skip": 1, "limit": 1}, [(1, 12)]),
    ("own", {"key": "none"}, []),
]


@pytest.mark.parametrize(("view", "parameters", "expected"), REDUCTIONS)
async def test_reductions(
    views: Couch, view: str, parameters: dict[str, Any], expected: list[tuple[Any, Any]]
) -> None:
    assert [(row["key"], row["value"]) for row in await rows(views, view, **parameters)] == expected


async def test_a_function_of_many_rows_is_reduced_again(views: Couch) -> None:
    docs = [{"_id": f"x{n:05}", "n": n} for n in range(9, 1500)]
    await views.ask("POST", "/_bulk_docs", json={"docs": docs})
    assert (await rows(views, "own"))[0]["value"] == sum(range(1500))
    assert [row["value"] for row in await rows(views, "own", group=True)] == [
        sum(range(start, 1500, 3)) for start in range(3)
    ]


BUILT_IN: list[tuple[str, list[Any], Any]] = [
    ("_sum", [1, 2.5], 3.5),
    ("_sum", [2**53, 2**53], 2**54),
    ("_sum", [[1, 2], [3], 4], [8, 2]),
    ("_sum", [{"a": 1, "b": [1]}, {"b": [2, 3], "c": {"d": 1}}], {"a": 1, "b": [3, 3], "c": {"d": 1}}),
    ("_sum", [9e300, 9e300], 1.8e301),
    ("_count", [None, "x", {}], 3),
    ("_stats", [1, 3], {"sum": 4, "count": 2, "min": 1, "max": 3, "sumsqr": 10}),
    (
        "_stats",
        [[1, 2], [3, 4]],
        [
            {"sum": 4, "count": 2, "min": 1, "max": 3, "sumsqr": 10},
            {"sum": 6, "count": 2, "min": 2, "max": 4, "sumsqr": 20},
        ],
    ),
    (
        "_stats",
        [{"sum": 4, "count": 2, "min": 1, "max": 3, "sumsqr": 10}, 5],
        {"sum": 9, "count": 3, "min": 1, "max": 5, "sumsqr": 35},
    ),
    ("_approx_count_distinct", [1, 1, 1], 3),
    ("_top_2", [3, 1, 2], [3, 2]),
    ("_bottom_2", [3, 1, 2], [1, 2]),
    ("_first", ["a", "b", "c"], "a"),
    ("_last", ["a", "b", "c"], "c"),
]


@pytest.mark.parametrize(("function", "values", "expected"), BUILT_IN)
async def test_built_in_functions(couch: Couch, function: str, values: list[Any], expected: Any) -> None:
    """Over documents `d0`, `d1`, … whose ids are the keys."""
    view = {"map": "function (doc) { emit(doc._id, doc.v) }", "reduce": function}
    await couch.put("/_design/d", {"views": {"v": view}})
    docs = [{"_id": f"d{n}", "v": value} for n, value in enumerate(values)]
    await couch.ask("POST", "/_bulk_docs", json={"docs": docs})
    assert (await rows(couch, "v"))[0]["value"] == expected


async def test_values_that_built_in_functions_cannot_take(couch: Couch) -> None:
    maps = "function (doc) { emit(doc._id, doc.v) }"
    reduces = {"sum": "_sum", "stats": "_stats", "count": "_count"}
    await couch.put("/_design/d", {"views": {n: {"map": maps, "reduce": r} for n, r in reduces.items()}})
    await couch.put("/a", {"v": 1})
    await couch.put("/b", {"v": "text"})
    wrong = (await rows(couch, "sum"))[0]["value"]
    assert wrong["error"] == "builtin_reduce_error"
    assert wrong["reason"].startswith("The _sum function requires that map values be numbers")
    assert wrong["caused_by"] == "text"
    done = await couch.ask("GET", f"{PATH}stats")
    assert (done.status, done.json["error"]) == (500, "invalid_value")
    assert (await rows(couch, "count"))[0]["value"] == 2
    assert (await rows(couch, "sum", key="a"))[0]["value"] == 1


async def test_a_reduction_that_does_not_reduce(couch: Couch) -> None:
    big = "function () { var a = []; for (var i = 0; i < 1000; i++) a.push('wazzap'); return a }"
    await couch.put("/_design/d", {"views": {"v": {"map": "doc => emit(1)", "reduce": big}}})
    await couch.put("/a", {})
    row = (await rows(couch, "v"))[0]
    assert row["error"] == "reduce_overflow_error"
    assert row["reason"].startswith("Reduce output must shrink more rapidly")


# ── words for what makes no sense ──────────────────────────────────────────────────────────────────────────

REFUSALS: list[tuple[str, str, str, str]] = [
    ("by_n?reduce=true", "query_parse_error", "Reduce is invalid for map-only views.", ""),
    ("by_n?group=true", "query_parse_error", "Invalid use of grouping on a map view.", ""),
    ("by_n?group_level=1", "query_parse_error", "Invalid use of grouping on a map view.", ""),
    ("pairs?reduce=false&group=true", "query_parse_error", "Invalid use of grouping on a map view.", ""),
    ("pairs?keys=[1,2]", "query_parse_error", "Multi-key fetches for reduce views must use `group=true`", ""),
    ("pairs?keys=[1,2]&group_level=1", "query_parse_error", "Multi-key fetches for reduce", ""),
    ("pairs?include_docs=true", "query_parse_error", "`include_docs` is invalid for reduce", ""),
    ("pairs?conflicts=true", "query_parse_error", "`conflicts` is invalid for reduce views.", ""),
    (
        "pairs?group=false&group_level=1",
        "query_parse_error",
        "Can't specify group=false and group_level>0",
        "",
    ),
    ("by_n?keys=[1,2]&key=1", "query_parse_error", "`keys` is incompatible with `key`, `start_key`", ""),
    ("by_n?keys=[1,2]&startkey=1", "query_parse_error", "`keys` is incompatible", ""),
    ("by_n?keys=[1,2]&end_key=1", "query_parse_error", "`keys` is incompatible", ""),
    ("by_n?keys=1", "query_parse_error", "`keys` must be an array of strings.", ""),
    (
        "by_n?startkey=2&endkey=1",
        "query_parse_error",
        "No rows can match your key range, reverse your",
        "true",
    ),
    ("by_n?startkey=1&endkey=2&descending=true", "query_parse_error", "No rows can match", "false"),
    ("by_n?limit=-1", "query_parse_error", "Invalid value for positive integer", ""),
    ("by_n?limit=many", "query_parse_error", "Invalid value for integer", ""),
    ("by_n?skip=-1", "query_parse_error", "Invalid value for positive integer", ""),
    ("by_n?descending=maybe", "query_parse_error", "Invalid boolean parameter", ""),
    ("by_n?reduce=maybe", "query_parse_error", "Invalid boolean parameter", ""),
    ("by_n?update=maybe", "query_parse_error", "Invalid value for `update`.", ""),
    ("by_n?stale=maybe", "query_parse_error", "Invalid value for `stale`.", ""),
    ("by_n?stable=maybe", "query_parse_error", "Invalid value for `stable`.", ""),
    (
        "by_n?partition=x",
        "query_parse_error",
        "`partition` parameter is not supported in this design doc",
        "",
    ),
    ("by_n?key=foo", "bad_request", "invalid UTF-8 JSON", ""),
    ("by_n?startkey=%22a", "bad_request", "invalid UTF-8 JSON", ""),
    ("by_n?keys=[1", "bad_request", "invalid UTF-8 JSON", ""),
]


@pytest.mark.parametrize(("address", "error", "reason", "ending"), REFUSALS)
async def test_refusals(views: Couch, address: str, error: str, reason: str, ending: str) -> None:
    done = await views.ask("GET", PATH + address)
    assert (done.status, done.json["error"]) == (400, error)
    assert done.json["reason"].startswith(reason) and done.json["reason"].endswith(ending)


NO_LONGER = "The `queries` parameter is no longer supported at this endpoint"
DOCS = {"include_docs": True}

POSTS: list[tuple[str, Any, int, str, str]] = [
    ("by_n", [], 400, "bad_request", "Request body must be a JSON object"),
    ("by_n", {"keys": 1}, 400, "bad_request", "`keys` member must be an array."),
    ("by_n", {"queries": []}, 400, "bad_request", NO_LONGER),
    ("by_n/queries", {}, 400, "bad_request", "POST body must include `queries` parameter."),
    ("by_n/queries", {"queries": [1]}, 400, "bad_request", "`queries` member must be an array of objects."),
    ("pairs/queries", {"queries": [DOCS]}, 400, "query_parse_error", "`include_docs` is invalid for reduce"),
    ("nothing", {}, 404, "not_found", "missing_named_view"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "status", "error", "reason"), POSTS)
async def test_refused_bodies(
    views: Couch, path: str, body: Any, status: int, error: str, reason: str
) -> None:
    done = await views.ask("POST", PATH + path, json=body)
    assert (done.status, done.json) == (status, {"error": error, "reason": reason})


async def test_a_body_must_say_that_it_is_json(views: Couch) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    done = await views.ask("POST", f"{PATH}by_n", data=b"keys=1", headers=headers)
    assert (done.status, done.json["error"]) == (415, "bad_content_type")


NOT_THERE: list[tuple[str, str, int, str, str]] = [
    ("GET", "/_design/none/_view/v", 404, "not_found", "missing"),
    ("GET", "/_design/d/_view/none", 404, "not_found", "missing_named_view"),
    ("GET", "/_design/d/_view/lib", 404, "not_found", "missing_named_view"),
    ("GET", "/_design/none/_info", 404, "not_found", "missing"),
    ("POST", "/_temp_view", 410, "gone", "Temporary views are not supported in CouchDB"),
    ("GET", "/_design/d/_show/s", 501, "not_implemented", ""),
    ("GET", "/_design/d/_show/s/id/with/more", 501, "not_implemented", ""),
    ("GET", "/_design/d/_list/l/v", 501, "not_implemented", ""),
    ("POST", "/_design/d/_update/u", 501, "not_implemented", ""),
    ("PUT", "/_design/d/_update/u/id", 501, "not_implemented", ""),
    ("GET", "/_design/d/_rewrite/x", 501, "not_implemented", ""),
]


@pytest.mark.parametrize(("method", "path", "status", "error", "reason"), NOT_THERE)
async def test_what_is_not_there(
    views: Couch, method: str, path: str, status: int, error: str, reason: str
) -> None:
    done = await views.ask(method, path, **({"json": {}} if method != "GET" else {}))
    assert (done.status, done.json["error"]) == (status, error)
    assert done.json["reason"].startswith(reason)


async def test_a_deleted_design_document(views: Couch) -> None:
    assert len(await rows(views, "by_n")) == 9
    rev = (await views.get("/_design/d"))["_rev"]
    await views.ask("DELETE", f"/_design/d?rev={rev}")
    done = await views.ask("GET", f"{PATH}by_n")
    assert (done.status, done.json) == (404, {"error": "not_found", "reason": "deleted"})


# ── an index that follows ──────────────────────────────────────────────────────────────────────────────────


async def test_the_index_follows_every_change(views: Couch) -> None:
    assert [row["key"] for row in await rows(views, "by_n", startkey=7)] == [7, 8]
    revs = {n: (await views.get(f"/d{n}"))["_rev"] for n in (7, 8)}
    await views.put("/d7", {"_rev": revs[7], "n": 70})
    await views.ask("DELETE", f"/d8?rev={revs[8]}")
    await views.put("/d9", {"n": 9})
    found = await views.get(f"{PATH}by_n?startkey=7")
    assert [row["key"] for row in found["rows"]] == [9, 70]
    assert found["total_rows"] == 9


async def test_a_row_of_the_data_face_is_a_document(views: Couch) -> None:
    await views.server.services.apps.opened["shop"].database.insert("db", [{"n": 500}])
    assert [row["key"] for row in await rows(views, "by_n", startkey=100)] == [500]


async def test_the_index_as_it_is(views: Couch) -> None:
    assert await rows(views, "by_n", update="false") == []
    assert len(await rows(views, "by_n")) == 9
    await views.put("/late", {"n": 100})
    assert len(await rows(views, "by_n", stale="ok")) == 9
    assert len(await rows(views, "by_n", update="lazy")) == 9
    async with asyncio.timeout(20):
        while len(await rows(views, "by_n", update="false")) < 10:
            await asyncio.sleep(0)


async def test_a_design_document_that_changes(views: Couch) -> None:
    assert len(await rows(views, "by_n")) == 9
    found = await views.get("/_design/d")
    await views.put("/_design/d", {**found, "views": {"by_n": {"map": "doc => { emit(-doc.n) }"}}})
    assert [row["key"] for row in await rows(views, "by_n", limit=2)] == [-8, -7]


async def test_a_design_document_that_changes_while_its_index_is_built(views: Couch) -> None:
    slow = "doc => { const end = Date.now() + 20; while (Date.now() < end); emit('old') }"
    found = await views.get("/_design/d")
    rev = await views.put("/_design/d", {**found, "views": {"by_n": {"map": slow}}})
    old = asyncio.ensure_future(rows(views, "by_n"))
    await asyncio.sleep(0)
    await views.put("/_design/d", {"_rev": rev, "views": {"by_n": {"map": "doc => emit('new')"}}})
    assert {row["key"] for row in await rows(views, "by_n")} == {"new"}
    assert {row["key"] for row in await old} <= {"old", "new"}


async def test_a_design_document_that_was_replicated(couch: Couch) -> None:
    await couch.put("/a", {"n": 1})
    await couch.graft("_design/d", "1-aa", views={"v": {"map": "doc => emit(doc.n)"}})
    assert [row["key"] for row in await rows(couch, "v")] == [1]
    await couch.graft("_design/d", "2-bb", "1-aa", views={"v": {"map": "doc => emit(-doc.n)"}})
    assert [row["key"] for row in await rows(couch, "v")] == [-1]


async def test_modules_of_a_view(couch: Couch) -> None:
    lib = {"twice": "exports.of = n => 2 * n", "deep": {"er": "module.exports = require('../twice').of(21)"}}
    maps = "doc => emit(require('views/lib/twice').of(doc.n), require('views/lib/deep/er'))"
    await couch.put("/_design/d", {"views": {"lib": lib, "v": {"map": maps}}})
    await couch.put("/a", {"n": 4})
    assert [(row["key"], row["value"]) for row in await rows(couch, "v")] == [(8, 42)]


async def test_options_of_an_index(couch: Couch) -> None:
    options = {"include_design": True, "local_seq": True}
    maps = {"v": {"map": "doc => emit(doc._id, doc._local_seq)"}}
    await couch.put("/_design/d", {"views": maps, "options": options})
    await couch.put("/a", {})
    found = await rows(couch, "v")
    assert [row["key"] for row in found] == ["_design/d", "a"]
    assert [type(row["value"]) for row in found] == [int, int]
    await couch.put("/_design/e", {"views": maps})
    assert [row["key"] for row in (await couch.get("/_design/e/_view/v"))["rows"]] == ["a"]


async def test_raw_collation(couch: Couch) -> None:
    """Erlang's order of types, of one view; another with the same function has CouchDB's usual one."""
    source = "doc => emit(doc.k, 1)"
    raw = {"map": source, "options": {"collation": "raw"}, "reduce": "_count"}
    await couch.put("/_design/d", {"views": {"raw": raw, "usual": {"map": source}}})
    ordered = [1, False, None, True, {"a": 1}, [1], ["a", 1], ["a", 2], "a"]
    await couch.ask("POST", "/_bulk_docs", json={"docs": [{"k": key} for key in reversed(ordered)]})
    assert [row["key"] for row in await rows(couch, "raw", reduce=False)] == ordered
    assert [row["key"] for row in await rows(couch, "usual")][:4] == [None, False, True, 1]
    found = await rows(couch, "raw", reduce=False, startkey=None, endkey=[1])
    assert [row["key"] for row in found] == [None, True, {"a": 1}, [1]]
    assert [
        row["value"] for row in await rows(couch, "raw", group_level=1, startkey=["a"], endkey=["b"])
    ] == [2]


async def test_facts_and_cleaning_up(views: Couch) -> None:
    await rows(views, "by_n")
    facts = await views.get("/_design/d/_info")
    assert facts["name"] == "d"
    index = facts["view_index"]
    assert len(index["signature"]) == 32 and index["language"] == "javascript"
    assert index["updater_running"] is False and index["sizes"]["active"] > 0
    rev = (await views.get("/_design/d"))["_rev"]
    await views.put("/_design/d", {"_rev": rev, "views": {"by_n": VIEWS["by_n"]}})
    assert len(await rows(views, "by_n")) == 9
    file = await views.database.views()
    done = await views.ask("POST", "/_view_cleanup", json={})
    assert (done.status, done.json) == (202, {"ok": True})
    number = views.database.collection("db").number
    assert await file.clean_up(number, set()) == 1  # the one that is in use was left
    assert len(await rows(views, "by_n")) == 9


async def test_a_build_is_an_active_task(views: Couch) -> None:
    slow = "doc => { const end = Date.now() + 100; while (Date.now() < end); emit(1) }"
    await views.put("/_design/slow", {"views": {"v": {"map": slow}}})
    building = asyncio.ensure_future(views.get("/_design/slow/_view/v"))
    tasks: list[Any] = []
    while not tasks and not building.done():
        tasks = (await views.server.ask("GET", "/apps/shop/couch/_active_tasks")).json
    assert [(t["type"], t["database"], t["design_document"]) for t in tasks] == [
        ("indexer", "db", "_design/slow")
    ]
    assert 0 <= tasks[0]["progress"] <= 100
    assert len((await building)["rows"]) == 9
    assert (await views.server.ask("GET", "/apps/shop/couch/_active_tasks")).json == []


async def test_the_sequence_of_a_view_is_its_databases(views: Couch) -> None:
    """Though all databases of an app count together."""
    await views.server.ask("PUT", "/apps/shop/couch/other")
    await views.server.ask("PUT", "/apps/shop/couch/other/x", json={})
    found = await views.get(f"{PATH}by_n?update_seq=true&limit=0")
    assert found["update_seq"] == (await views.get(""))["update_seq"]


# ── functions that misbehave ───────────────────────────────────────────────────────────────────────────────


async def test_a_map_function_that_throws_skips_the_document(couch: Couch) -> None:
    await couch.put("/_design/d", {"views": {"v": {"map": "doc => { emit(1); emit(doc.a.b) }"}}})
    await couch.put("/bad", {})
    await couch.put("/good", {"a": {"b": 2}})
    assert [row["id"] for row in await rows(couch, "v")] == ["good", "good"]


@pytest.fixture
async def hasty(couch: Couch) -> AsyncIterator[Couch]:
    """A database whose functions are given two seconds."""
    services = couch.server.services
    javascript = JavaScript(program(), patience_s=2.0)
    views = Views(javascript)
    services.extra[Views] = views
    yield couch
    await views.close()
    await javascript.close()


async def test_a_map_function_without_end(hasty: Couch) -> None:
    maps = {"loop": {"map": "doc => { if (doc.loop) while (true) emit(doc._id) }"}}
    await hasty.put("/_design/d", {"views": maps})
    await hasty.put("/_design/e", {"views": {"v": {"map": "doc => emit(1)"}}})
    await hasty.put("/a", {"loop": True})
    loop = asyncio.ensure_future(hasty.ask("GET", f"{PATH}loop"))
    assert (await hasty.get("/_design/e/_view/v"))["total_rows"] == 1  # nobody else waits
    done = await loop
    assert done.status == 500
    assert done.json["error"] in ("os_process_error", "InternalError")


async def test_an_index_that_failed_rests(hasty: Couch) -> None:
    maps = {"loop": {"map": "doc => { if (doc.loop) while (true); emit(doc._id) }"}}
    await hasty.put("/_design/d", {"views": maps})
    rev = await hasty.put("/a", {"loop": True})
    said = {"error": "os_process_error", "reason": "OS process timed out."}
    assert (await hasty.ask("GET", f"{PATH}loop")).json == said
    clock = asyncio.get_running_loop().time
    began = clock()
    assert [(await hasty.ask("GET", f"{PATH}loop")).json for _ in range(5)] == [said] * 5
    assert clock() - began < 2.0  # nobody's function ran
    assert (await hasty.get(f"{PATH}loop?update=false"))["rows"] == []
    # The document is mended; once the index has rested, a query tries again.
    await hasty.put("/a", {"_rev": rev})
    views: Views = hasty.server.services.extra[Views]
    for job in views._jobs[hasty.database].values():
        assert job.failure is not None
        job.failure.rests_until = 0.0
    assert [row["id"] for row in await rows(hasty, "loop")] == ["a"]


HOGS = {
    "memory": "doc => { var a = []; while (true) a.push('x'.repeat(1e5) + a.length) }",
    "fatal": "doc => { throw 'fatal_error' }",
}


@pytest.mark.parametrize("source", HOGS.values(), ids=HOGS)
async def test_a_map_function_that_fails_as_a_whole(couch: Couch, source: str) -> None:
    await couch.put("/_design/d", {"views": {"v": {"map": source}}})
    await couch.put("/a", {})
    done = await couch.ask("GET", f"{PATH}v")
    assert (done.status, done.json["error"]) in ((500, "InternalError"), (500, "map_runtime_error"))
    assert (await couch.get("/a"))["_id"] == "a"


async def test_a_function_that_keeps_what_it_sees(couch: Couch) -> None:
    """Its memory is used up again and again, and it gets a fresh process each time."""
    keep = (
        "doc => { (globalThis.kept = globalThis.kept || []).push(new Uint8Array(40e6)); emit(kept.length) }"
    )
    await couch.put("/_design/d", {"views": {"v": {"map": keep}}})
    await couch.ask("POST", "/_bulk_docs", json={"docs": [{"_id": f"d{n}"} for n in range(12)]})
    found = await rows(couch, "v")
    assert len(found) == 12
    assert max(row["key"] for row in found) < 12


async def test_a_reduce_function_that_throws(couch: Couch) -> None:
    view = {"map": "doc => emit(1)", "reduce": "(keys) => keys[0].foo.bar"}
    await couch.put("/_design/d", {"views": {"v": view}})
    await couch.put("/a", {})
    assert (await rows(couch, "v", group=True)) == [{"key": 1, "value": None}]


async def test_a_reduce_function_without_end(hasty: Couch) -> None:
    view = {"map": "doc => emit(1)", "reduce": "() => { while (true); }"}
    await hasty.put("/_design/d", {"views": {"v": view}})
    await hasty.put("/a", {})
    done = await hasty.ask("GET", f"{PATH}v")
    assert (done.status, done.json) == (500, {"error": "os_process_error", "reason": "OS process timed out."})
    assert len(await rows(hasty, "v", reduce=False)) == 1


async def test_another_language(couch: Couch) -> None:
    await couch.put("/_design/d", {"language": "erlang", "views": {"v": {"map": "fun() -> ok end."}}})
    done = await couch.ask("GET", f"{PATH}v")
    assert (done.status, done.json) == (500, {"error": "unknown_query_language", "reason": "erlang"})


async def test_reading_needs_the_scope_of_reading(views: Couch) -> None:
    views.token = await views.server.key("shop", "db:write")
    done = await views.ask("GET", f"{PATH}by_n")
    assert (done.status, done.json["error"]) == (403, "forbidden")
    views.token = await views.server.key("shop", "db:read")
    assert len(await rows(views, "by_n")) == 9
    done = await views.ask("POST", "/_view_cleanup", json={})
    assert done.status == 403
