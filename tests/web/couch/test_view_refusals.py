"""Questions to views that make no sense, and views that are not there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.couch import Couch
from tests.support.views import PATH, rows

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
