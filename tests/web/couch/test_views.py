"""Views as clients ask for them: parameters, rows, and the documents in rows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.couch import Couch
from tests.support.views import PATH, rows

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


async def test_reading_needs_the_scope_of_reading(views: Couch) -> None:
    views.token = await views.server.key("shop", "db:write")
    done = await views.ask("GET", f"{PATH}by_n")
    assert (done.status, done.json["error"]) == (403, "forbidden")
    views.token = await views.server.key("shop", "db:read")
    assert len(await rows(views, "by_n")) == 9
    done = await views.ask("POST", "/_view_cleanup", json={})
    assert done.status == 403
