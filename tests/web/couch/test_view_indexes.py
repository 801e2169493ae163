"""Indexes of views follow every change, and are cleaned up."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.couch import Couch
from tests.support.views import PATH, VIEWS, rows


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
