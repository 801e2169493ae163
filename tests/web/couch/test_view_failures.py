"""Functions of views that throw, never end, or eat all memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from localsrv.javascript.pool import JavaScript
from localsrv.services.imports import program
from localsrv.services.views import Views
from tests.support.couch import Couch
from tests.support.views import PATH, rows


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
