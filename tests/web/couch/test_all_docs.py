"""`_all_docs`, `_design_docs`, `_local_docs`: which rows, in which order, and what they hold."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.couch import Couch

IDS = ["B", "_design/d", "_design/e", "a", "b", "c", "ä", "日"]
LOCAL = ["_local/x", "_local/y"]


@pytest.fixture
async def shop(couch: Couch) -> Couch:
    """Eight documents, two of them design documents; two local ones; `gone` deleted; `b` in conflict."""
    docs = [{"_id": ident, "n": n} for n, ident in enumerate([*IDS, *LOCAL, "gone"])]
    rows = (await couch.ask("POST", "/_bulk_docs", json={"docs": docs})).json
    assert (await couch.ask("DELETE", f"/gone?rev={rows[-1]['rev']}")).status == 200
    await couch.graft("b", "1-0", n=0)
    return couch


def query(parameters: dict[str, Any]) -> str:
    """A query string; what is no text is JSON, and so are keys."""
    parts = [
        f"{name}={quote(json.dumps(value) if 'key' in name or not isinstance(value, str) else value)}"
        for name, value in parameters.items()
    ]
    return "?" + "&".join(parts) if parts else ""


RANGES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, IDS),
    ({"descending": True}, IDS[::-1]),
    ({"limit": 2}, IDS[:2]),
    ({"limit": 0}, []),
    ({"skip": 6}, IDS[6:]),
    ({"skip": 99}, []),
    ({"skip": 1, "limit": 2}, IDS[1:3]),
    ({"skip": 1, "limit": 2, "descending": True}, ["ä", "c"]),
    ({"key": "b"}, ["b"]),
    ({"key": "gone"}, []),
    ({"key": "none"}, []),
    ({"key": 5}, []),
    ({"startkey": "b"}, ["b", "c", "ä", "日"]),
    ({"start_key": "b", "end_key": "c"}, ["b", "c"]),
    ({"startkey": "b", "endkey": "c", "inclusive_end": False}, ["b"]),
    ({"startkey": "c", "endkey": "b", "descending": True}, ["c", "b"]),
    ({"startkey": "c", "endkey": "b", "descending": True, "inclusive_end": False}, ["c"]),
    ({"startkey": "c", "endkey": "b"}, []),
    ({"startkey": "_design/", "endkey": "_design0"}, ["_design/d", "_design/e"]),
    ({"startkey": "a", "endkey": "a\ufff0"}, ["a"]),
    ({"startkey": "b", "endkey": {}}, ["b", "c", "ä", "日"]),
    ({"startkey": None, "endkey": "B"}, ["B"]),
    ({"startkey": 7, "endkey": "B"}, ["B"]),
    ({"startkey": []}, []),
    ({"startkey": "b", "startkey_docid": "b", "sorted": False, "stable": True, "update": "lazy"},
     ["b", "c", "ä", "日"]),
]  # fmt: skip


@pytest.mark.parametrize(("parameters", "found"), RANGES, ids=[str(r[0]) for r in RANGES])
async def test_ranges(shop: Couch, parameters: dict[str, Any], found: list[str]) -> None:
    """The same in the address, in a body, and as one of several queries."""
    listed = await shop.get("/_all_docs" + query(parameters))
    assert [row["id"] for row in listed["rows"]] == found
    assert all(row["key"] == row["id"] and set(row["value"]) == {"rev"} for row in listed["rows"])
    assert listed["total_rows"] == len(IDS)
    by_body = await shop.ask("POST", "/_all_docs", json=parameters)
    assert by_body.json == listed
    several = await shop.ask("POST", "/_all_docs/queries", json={"queries": [parameters, {"limit": 1}]})
    first, second = several.json["results"]
    assert first == listed and [row["id"] for row in second["rows"]] == IDS[:1]


KEYS: list[tuple[dict[str, Any], list[Any]]] = [
    ({"keys": ["c", "a"]}, ["c", "a"]),
    ({"keys": ["a", "a"]}, ["a", "a"]),
    ({"keys": []}, []),
    ({"keys": ["c", "a"], "descending": True}, ["a", "c"]),
    ({"keys": ["c", "a", "b"], "skip": 1, "limit": 1}, ["a"]),
    ({"keys": ["_design/d", "none", 5]}, ["_design/d", ("none", "not_found"), (5, "not_found")]),
]


@pytest.mark.parametrize(("parameters", "found"), KEYS, ids=[str(k[0]) for k in KEYS])
async def test_keys(shop: Couch, parameters: dict[str, Any], found: list[Any]) -> None:
    listed = await shop.get("/_all_docs" + query(parameters))
    told = [row.get("id") or (row["key"], row["error"]) for row in listed["rows"]]
    assert told == found
    assert (listed["total_rows"], listed["offset"]) == (len(IDS), None)
    assert (await shop.ask("POST", "/_all_docs", json=parameters)).json == listed


async def test_what_the_address_says_goes_before_the_body(shop: Couch) -> None:
    answer = await shop.ask("POST", "/_all_docs?limit=1", json={"keys": ["c", "a"], "limit": 2})
    assert [row["id"] for row in answer.json["rows"]] == ["c"]


async def test_documents_in_the_rows(shop: Couch) -> None:
    attached = {"t": {"content_type": "text/plain", "data": "aGk="}}
    rev = await shop.put("/new", {"_attachments": attached})
    asked = query({"keys": ["b", "gone", "new", "none"], "include_docs": True, "conflicts": True})
    both, gone, new, none = (await shop.get("/_all_docs" + asked))["rows"]
    assert both["doc"]["_conflicts"] == ["1-0"] and both["doc"]["n"] == 4
    assert gone["value"]["deleted"] is True and gone["doc"] is None
    assert new["doc"]["_rev"] == rev and new["doc"]["_attachments"]["t"]["stub"] is True
    assert none == {"key": "none", "error": "not_found"}
    whole = await shop.get('/_all_docs?include_docs=true&attachments=true&key="new"')
    assert whole["rows"][0]["doc"]["_attachments"]["t"]["data"] == "aGk="
    ranged = await shop.get("/_all_docs?include_docs=true")
    assert [row["doc"]["_id"] for row in ranged["rows"]] == sorted([*IDS, "new"])


async def test_offset_and_sequence(shop: Couch) -> None:
    assert (await shop.get('/_all_docs?startkey="b"&skip=1'))["offset"] == 5
    assert (await shop.get("/_all_docs?descending=true"))["offset"] == 0
    last = (await shop.get("/_changes"))["last_seq"]
    assert (await shop.get("/_all_docs?update_seq=true&limit=0"))["update_seq"] == last


async def test_design_and_local_documents(shop: Couch) -> None:
    designs, local = ["_design/d", "_design/e"], LOCAL
    for path, names in (("/_design_docs", designs), ("/_local_docs", local)):
        cases: list[tuple[dict[str, Any], list[str]]] = [
            ({}, names),
            ({"descending": True}, names[::-1]),
            ({"limit": 1, "skip": 1}, names[1:]),
            ({"startkey": names[1]}, names[1:]),
            ({"endkey": names[0]}, names[:1]),
            ({"endkey": names[1], "inclusive_end": False}, names[:1]),
            ({"key": names[1]}, names[1:]),
            ({"startkey": "z"}, []),
            ({"endkey": "A"}, []),
            ({"startkey": "z", "descending": True}, names[::-1]),
            ({"keys": [names[1], names[0]], "limit": 1}, names[1:]),
            ({"keys": [names[1], "a", "none"]}, names[1:]),
        ]
        for parameters, found in cases:
            listed = await shop.get(path + query(parameters))
            assert [row["id"] for row in listed["rows"]] == found, (path, parameters)
            assert listed["total_rows"] == (2 if path == "/_design_docs" else None)
            posted = await shop.ask("POST", path, json=parameters)
            assert posted.json == listed
        with_docs = await shop.get(path + "?include_docs=true")
        assert [row["doc"]["_id"] for row in with_docs["rows"]] == names
        several = await shop.ask("POST", f"{path}/queries", json={"queries": [{}, {"limit": 1}]})
        assert [len(one["rows"]) for one in several.json["results"]] == [2, 1]


async def test_a_long_list_comes_in_parts(couch: Couch) -> None:
    docs = [{"_id": f"{n:05}", "n": n, "text": "x" * 200} for n in range(2500)]
    await couch.ask("POST", "/_bulk_docs", json={"docs": docs})
    for parameters, wanted in (
        ("", docs),
        ("&descending=true", docs[::-1]),
        ("&limit=1203&skip=2", docs[2:1205]),
    ):
        answer = await couch.ask("GET", f"/_all_docs?include_docs=true{parameters}")
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert [row["doc"]["n"] for row in answer.json["rows"]] == [doc["n"] for doc in wanted]
        head = await couch.ask("HEAD", f"/_all_docs?include_docs=true{parameters}")
        assert (head.status, head.body) == (200, b"")
    keys = {"keys": [doc["_id"] for doc in docs]}
    assert len((await couch.ask("POST", "/_all_docs", json=keys)).json["rows"]) == 2500


WRONG: list[tuple[str, str, Any, int, str]] = [
    ("GET", "?limit=x", None, 400, "query_parse_error"),
    ("GET", "?limit=-1", None, 400, "query_parse_error"),
    ("GET", "?skip=1.5", None, 400, "query_parse_error"),
    ("GET", "?descending=yes", None, 400, "query_parse_error"),
    ("GET", "?include_docs=", None, 400, "query_parse_error"),
    ("GET", "?startkey=x", None, 400, "bad_request"),
    ("GET", '?key="a', None, 400, "bad_request"),
    ("GET", '?keys=["a"]&key="a"', None, 400, "query_parse_error"),
    ("GET", '?keys="a"', None, 400, "bad_request"),
    ("GET", "?partition=x", None, 400, "bad_request"),
    ("POST", "", {"keys": 1}, 400, "bad_request"),
    ("POST", "", [], 400, "bad_request"),
    ("POST", "/queries", {}, 400, "bad_request"),
    ("POST", "/queries", {"queries": [1]}, 400, "bad_request"),
    ("POST", "/queries", {"queries": [{"limit": -1}]}, 400, "query_parse_error"),
    ("PUT", "", {}, 405, "method_not_allowed"),
]


@pytest.mark.parametrize("path", ["/_all_docs", "/_design_docs", "/_local_docs"])
@pytest.mark.parametrize(("method", "rest", "body", "status", "error"), WRONG)
async def test_refusals(
    couch: Couch, path: str, method: str, rest: str, body: Any, status: int, error: str
) -> None:
    options = {} if body is None else {"json": body}
    answer = await couch.ask(method, path + rest, **options)
    assert (answer.status, answer.json["error"]) == (status, error), answer.body
    missing = await couch.server.ask("GET", f"/apps/shop/couch/none{path}")
    assert (missing.status, missing.json["reason"]) == (404, "Database does not exist.")
