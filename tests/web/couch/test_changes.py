"""`_changes`: what is told in which order, its four feeds, and how feeds end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from yarl import URL

from localsrv.store.database import Database
from localsrv.store.document_changes import ChangesQuery, DocumentChanges
from localsrv.web.couch import changes_hub, changes_live
from localsrv.web.couch.changes_live import HUBS
from tests.support.couch import Couch
from tests.web.conftest import WebServer

DESIGN = {
    "_id": "_design/d",
    "filters": {
        "odd": "function (doc) { return doc.n % 2 === 1; }",
        "asked": "function (doc, req) { return String(doc.n) === req.query.n; }",
        "who": "function (doc, req) { return req.userCtx.name === 'owner' && !req.headers.Authorization; }",
        "bad": "function () { throw 'no'; }",
    },
    "views": {"two": {"map": "function (doc) { if (doc.n === 2) emit(null); }"}},
}


@pytest.fixture
async def shop(couch: Couch) -> Couch:
    """`a`, `b`, `c` with `n` 1 to 3, of which `b` has two leaves; the deleted `gone`; a design document."""
    docs = [{"_id": name, "n": n} for n, name in enumerate("abc", 1)]
    assert (await couch.ask("POST", "/_bulk_docs", json={"docs": [*docs, DESIGN]})).status == 201
    grafts = [{"_id": "b", "_rev": "1-0", "n": 9}, {"_id": "gone", "_rev": "2-g", "_deleted": True, "n": 4}]
    done = await couch.ask("POST", "/_bulk_docs", json={"docs": grafts, "new_edits": False})
    assert done.json == []
    return couch


async def ids(couch: Couch, query: str = "", body: Any = None) -> list[str]:
    """The ids that a normal feed tells, in order."""
    method, options = ("GET", {}) if body is None else ("POST", {"json": body})
    answer = await couch.ask(method, f"/_changes{query}", **options)
    assert answer.status == 200, answer.body
    return [row["id"] for row in answer.json["results"]]


TOLD: list[tuple[str, Any, list[str]]] = [
    # query, body, the ids that are told
    ("", None, ["a", "c", "_design/d", "b", "gone"]),
    ("?descending=true", None, ["gone", "b", "_design/d", "c", "a"]),
    ("?limit=2", None, ["a", "c"]),
    ("?limit=0", None, ["a"]),
    ("?descending=true&limit=2", None, ["gone", "b"]),
    ("?since=now", None, []),
    ("?since=now&descending=true&limit=1", None, ["gone"]),
    ("?since=0", None, ["a", "c", "_design/d", "b", "gone"]),
    ("?since=4", None, ["b", "gone"]),
    ('?filter=_doc_ids&doc_ids=["gone","a","x"]', None, ["a", "gone"]),
    ("?filter=_doc_ids", {"doc_ids": ["c"]}, ["c"]),
    ("?filter=_doc_ids", {"doc_ids": []}, []),
    ("?filter=_selector", {"selector": {"n": {"$gt": 2}}}, ["c", "gone"]),
    ("?filter=_selector", {"selector": {"_id": {"$gt": "b"}, "n": 3}}, ["c"]),
    ("?filter=_selector&limit=1", {"selector": {"n": {"$gt": 2}}}, ["c"]),
    ("?filter=_selector&style=all_docs", {"selector": {"n": 9}}, ["b"]),
    ("?filter=_selector", {"selector": {"n": 9}}, []),
    ("?filter=_selector", {"selector": {}}, ["a", "c", "_design/d", "b", "gone"]),
    ("?filter=_selector", {"selector": {"_deleted": True}}, ["gone"]),
    ("?filter=_design", None, ["_design/d"]),
    ("?filter=_view&view=d/two&style=all_docs", None, ["b"]),
    ("?filter=d/odd", None, ["a", "c"]),
    ("?filter=d/odd&style=all_docs", None, ["a", "c", "b"]),
    ("?filter=d/odd&descending=true&limit=1", None, ["c"]),
    ("?filter=d/asked&n=3", None, ["c"]),
    ("?filter=d/asked&n=3", {}, ["c"]),
    ("?filter=d/who&limit=1", None, ["a"]),
    ("?FEED=normal&Limit=1", None, ["a"]),
    ("?unknown=1&limit=1", None, ["a"]),
]


@pytest.mark.parametrize(("query", "body", "told"), TOLD)
async def test_what_is_told(shop: Couch, query: str, body: Any, told: list[str]) -> None:
    assert await ids(shop, query, body) == told


REFUSED = [
    ("?feed=other", None, 400, "bad_request"),
    ("?style=other", None, 400, "bad_request"),
    ("?limit=x", None, 400, "bad_request"),
    ("?limit=-1", None, 400, "bad_request"),
    ("?heartbeat=0", None, 400, "bad_request"),
    ("?heartbeat=-1000", None, 400, "bad_request"),
    ("?heartbeat=x", None, 400, "bad_request"),
    ("?timeout=x", None, 400, "bad_request"),
    ("?seq_interval=0", None, 400, "bad_request"),
    ("?since=x", None, 400, "bad_request"),
    ("?since=x-y-z", None, 400, "bad_request"),
    ("?include_docs=maybe", None, 400, "query_parse_error"),
    ("?descending=1", None, 400, "query_parse_error"),
    ("?filter=_other", None, 400, "bad_request"),
    ("?filter=other", None, 400, "bad_request"),
    ("?filter=_doc_ids", None, 400, "bad_request"),
    ("?filter=_doc_ids&doc_ids=1", None, 400, "bad_request"),
    ("?filter=_doc_ids&doc_ids=[", None, 400, "bad_request"),
    ("?filter=_doc_ids", {"doc_ids": [1]}, 400, "bad_request"),
    ("?filter=_selector", None, 400, "bad_request"),
    ("?filter=_selector", {"selector": 1}, 400, "bad_request"),
    ("?filter=_selector", {"selector": {"a": {"$nothing": 1}}}, 400, None),
    ("?filter=_view", None, 400, "bad_request"),
    ("?filter=_view&view=d/none", None, 404, "not_found"),
    ("?filter=d/none", None, 404, "not_found"),
    ("?filter=none/none", None, 404, "not_found"),
    ("?filter=d/bad", None, 500, None),
]


@pytest.mark.parametrize("feed", ["normal", "continuous", "longpoll", "eventsource"])
@pytest.mark.parametrize(("query", "body", "status", "error"), REFUSED)
async def test_what_cannot_be_told_is_refused_before_the_answer_begins(
    shop: Couch, query: str, body: Any, status: int, error: str | None, feed: str
) -> None:
    if "feed=" not in query:
        query += f"&feed={feed}"
    method, options = ("GET", {}) if body is None else ("POST", {"json": body})
    answer = await shop.ask(method, f"/_changes{query}", **options)
    assert answer.status == status, answer.body
    assert error in (None, answer.json["error"]) and answer.json["reason"]


async def test_rows(shop: Couch) -> None:
    """Each row in full, with leaves, documents, conflicts and attachments."""
    await shop.put("/c2", {"n": 5, "_attachments": {"t": {"content_type": "text/plain", "data": "aGk="}}})
    query = "?style=all_docs&include_docs=true&conflicts=true&attachments=true"
    rows = {row["id"]: row for row in (await shop.get(f"/_changes{query}"))["results"]}
    first, second = rows["b"]["changes"][0]["rev"], "1-0"
    assert rows["b"]["changes"] == [{"rev": first}, {"rev": second}]
    assert rows["b"]["doc"] == {"_id": "b", "_rev": first, "n": 2, "_conflicts": [second]}
    assert rows["gone"]["deleted"] is True
    assert rows["gone"]["doc"] == {"_id": "gone", "_rev": "2-g", "_deleted": True, "n": 4}
    assert "deleted" not in rows["a"] and "_conflicts" not in rows["a"]["doc"]
    assert rows["c2"]["doc"]["_attachments"]["t"]["data"] == "aGk="
    plain = (await shop.get("/_changes?include_docs=true"))["results"]
    stub = next(row for row in plain if row["id"] == "c2")["doc"]["_attachments"]["t"]
    assert stub["stub"] is True and "data" not in stub
    assert all(len(row["changes"]) == 1 for row in plain)


async def test_numbers_and_what_is_pending(shop: Couch) -> None:
    whole = await shop.get("/_changes")
    numbers = [row["seq"] for row in whole["results"]]
    assert whole["pending"] == 0 and whole["last_seq"] == numbers[-1]
    for count in range(1, 6):
        page = await shop.get(f"/_changes?limit={count}")
        assert page["pending"] == 5 - count
        assert page["last_seq"] == numbers[count - 1]
        rest = await shop.get(f"/_changes?since={page['last_seq']}")
        assert page["results"] + rest["results"] == whole["results"]
        back = await shop.get(f"/_changes?limit={count}&descending=true")
        assert back["results"] == whole["results"][::-1][:count] and back["pending"] == 5 - count
    sparse = await shop.get("/_changes?seq_interval=2")
    assert [row["seq"] is None for row in sparse["results"]].count(True) in (2, 3)
    assert sparse["last_seq"] == whole["last_seq"]
    filtered = await shop.ask("POST", "/_changes?filter=_doc_ids", json={"doc_ids": ["a"]})
    assert filtered.json["last_seq"] == whole["last_seq"]  # so that nobody looks through the rest again


async def test_tokens_of_another_database_or_time_start_over(shop: Couch) -> None:
    """Nothing may be missed: CouchDB too begins anew for a token that it cannot place."""
    last = (await shop.get("/_changes"))["last_seq"]
    number, epoch, collection = last.split("-")
    assert await ids(shop, f"?since={last}") == []
    assert await ids(shop, f'?since="{last}"') == []
    assert await ids(shop, f"?since={number}-{epoch}") == []  # as the app's own feed writes it
    everything = await ids(shop)
    other = [f"{number}-{epoch}-{int(collection, 16) + 1:x}", f"{number}-00000000-{collection}", "999999"]
    other += [f"999999-{epoch}-{collection}", f"{number}-00000000", "", "5-g1AAAACLeJ-_x"]
    for token in other:
        assert await ids(shop, f"?since={token}") == everything, token
    assert (await shop.ask("DELETE")).status == 200
    assert (await shop.ask("PUT")).status == 201
    await shop.put("/new", {})
    assert await ids(shop, f"?since={last}") == ["new"]


async def test_a_long_feed_comes_in_parts(couch: Couch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page after page, to the change that was newest at the beginning, each read small."""
    limits = counted(monkeypatch)
    docs = [{"_id": f"{n:05}", "n": n} for n in range(2500)]
    await couch.ask("POST", "/_bulk_docs", json={"docs": docs})
    answer = await couch.ask("GET", "/_changes?include_docs=true")
    assert [row["doc"]["n"] for row in answer.json["results"]] == list(range(2500))
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert len(limits) == 5 and max(limits) <= 500
    limits.clear()
    back = await couch.get("/_changes?descending=true")
    assert [row["id"] for row in back["results"]] == [d["_id"] for d in reversed(docs)]
    assert len(limits) == 3


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The limits of the reads of change feeds from now on."""
    read, limits = Database.document_changes, list[int]()

    async def count(self: Database, name: str, query: ChangesQuery) -> DocumentChanges:
        limits.append(query.limit)
        return await read(self, name, query)

    monkeypatch.setattr(Database, "document_changes", count)
    return limits


# ── live feeds ─────────────────────────────────────────────────────────────────────────────────────────────


class Lines:
    """Lines of an answer that goes on."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def line(self) -> bytes:
        """The next line; b"" at the end."""
        async with asyncio.timeout(10):
            return await self.response.content.readline()

    async def row(self) -> Any:
        """The next line that is no heartbeat, as JSON. Raises EOFError."""
        while (line := await self.line()) == b"\n":
            pass
        if not line:
            raise EOFError
        return json.loads(line)


@asynccontextmanager
async def listening(couch: Couch, query: str, token: str = "", **headers: str) -> AsyncIterator[Lines]:
    server = couch.server
    url = URL(f"{server.url}{couch.base}/_changes{query}", encoded=True)
    async with server.session.get(url, headers=server.headers(token=token, headers=headers)) as response:
        assert response.status == 200, await response.text()
        yield Lines(response)


async def test_continuous(couch: Couch) -> None:
    await couch.put("/old", {})
    async with listening(couch, "?feed=continuous&include_docs=true") as feed:
        assert (await feed.row())["id"] == "old"
        for n in range(3):
            await couch.put(f"/{n}", {"n": n})
            row = await feed.row()
            assert (row["id"], row["doc"]["n"]) == (str(n), n)
    async with listening(couch, "?feed=live&since=now&limit=2&seq_interval=2") as feed:
        for name in "xy":
            await couch.put(f"/{name}", {})
            assert (await feed.row())["id"] == name
        end = await feed.row()
        assert end == {"last_seq": (await couch.get("/_changes"))["last_seq"], "pending": 0}
        assert await feed.line() == b""


async def test_longpoll(couch: Couch) -> None:
    await couch.put("/old", {})
    waiting = asyncio.ensure_future(couch.get("/_changes?feed=longpoll&since=now"))
    at_once = await couch.get("/_changes?feed=longpoll")
    assert [row["id"] for row in at_once["results"]] == ["old"]
    await couch.put("/new", {})
    told = await waiting
    assert [row["id"] for row in told["results"]] == ["new"]
    assert told["last_seq"] == told["results"][0]["seq"] and told["pending"] == 0
    quiet = await couch.get(f"/_changes?feed=longpoll&timeout=1&since={told['last_seq']}")
    assert quiet == {"results": [], "last_seq": told["last_seq"], "pending": 0}


async def test_longpoll_waits_for_what_the_filter_lets_through(couch: Couch) -> None:
    query = "?feed=longpoll&since=now&filter=_doc_ids&heartbeat=5"
    asked = asyncio.ensure_future(couch.ask("POST", f"/_changes{query}", json={"doc_ids": ["b"]}))
    while not couch.server.runner.app[HUBS]:  # until it listens
        await asyncio.sleep(0.01)
    for name in "ab":
        await couch.put(f"/{name}", {})
    answer = await asked
    assert [row["id"] for row in answer.json["results"]] == ["b"]


async def test_eventsource(couch: Couch) -> None:
    await couch.put("/a", {})
    await couch.put("/b", {})
    async with listening(couch, "?feed=eventsource&heartbeat=10") as feed:
        assert feed.response.headers["Content-Type"] == "text/event-stream"
        data, ident, blank = [await feed.line() for _ in range(3)]
        row = json.loads(data.removeprefix(b"data: "))
        assert row["id"] == "a" and blank == b"\n"
        assert json.loads(ident.removeprefix(b"id: ")) == row["seq"]
        assert b'"id":"b"' in await feed.line()
        assert [await feed.line() for _ in range(4)][2:] == [b"event: heartbeat\n", b"data: \n"]
    for seen in (row["seq"], f'"{row["seq"]}"'):
        async with listening(couch, "?feed=eventsource&since=0", **{"Last-Event-ID": seen}) as feed:
            assert b'"id":"b"' in await feed.line()


async def test_heartbeats_and_timeouts(couch: Couch) -> None:
    async with listening(couch, "?feed=continuous&heartbeat=5&timeout=1") as feed:
        assert [await feed.line() for _ in range(3)] == [b"\n"] * 3
        await couch.put("/a", {})
        assert (await feed.row())["id"] == "a"
    async with listening(couch, "?feed=continuous&timeout=5&since=now") as feed:
        assert "last_seq" in await feed.row()
        assert await feed.line() == b""


async def test_descending_feeds_end(shop: Couch) -> None:
    for feed in ("continuous", "longpoll", "eventsource"):
        answer = await shop.ask("GET", f"/_changes?feed={feed}&descending=true&heartbeat=1000")
        assert answer.body.index(b'"gone"') < answer.body.index(b'"a"')


async def test_many_listeners_share_one_read(couch: Couch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each write is read once, whatever the number of those who hear it; the hub goes with the last."""
    hubs = couch.server.runner.app[HUBS]
    opened = [listening(couch, "?feed=continuous&since=now") for _ in range(40)]
    opened += [listening(couch, "?feed=continuous&since=now&include_docs=true") for _ in range(10)]
    feeds = [await one.__aenter__() for one in opened]
    limits = counted(monkeypatch)
    for name in ("x", "y"):
        await couch.put(f"/{name}", {})
        assert {(await feed.row())["id"] for feed in feeds} == {name}
    assert len(limits) <= 2 * 2 and len(hubs) == 2
    for one in opened:
        await one.__aexit__(None, None, None)
    await couch.put("/z", {})  # what is written shows that nobody listens
    async with asyncio.timeout(10):
        while len(hubs):
            await asyncio.sleep(0.01)


async def test_who_is_behind_misses_nothing(couch: Couch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that cannot keep up finds its place again, though the hub kept nothing for it."""
    monkeypatch.setattr(changes_hub, "KEPT", 1)
    seen: list[str] = []
    async with (
        listening(couch, "?feed=continuous&since=now") as feed,
        listening(couch, "?feed=continuous&since=now&heartbeat=1000") as other,
    ):
        wanted = [f"{n:03}" for n in range(120)]

        async def write() -> None:
            for at in range(0, 120, 3):
                docs = [{"_id": name} for name in wanted[at : at + 3]]
                await couch.ask("POST", "/_bulk_docs", json={"docs": docs})

        writing = asyncio.create_task(write())
        while len(seen) < 120:
            seen.append((await feed.row())["id"])
        await writing
        assert [(await other.row())["id"] for _ in range(120)] == wanted
    assert seen == wanted


async def test_a_deleted_database_ends_its_feeds(couch: Couch) -> None:
    async with (
        listening(couch, "?feed=continuous&since=now") as feed,
        listening(couch, "?feed=longpoll&since=now") as poll,
    ):
        assert await poll.line() == b'{"results":[\n'
        assert (await couch.ask("DELETE")).status == 200
        assert set(await feed.row()) == {"last_seq", "pending"}
        assert await feed.line() == b""
        rest = await poll.response.content.read()
        assert json.loads(b'{"results":[' + rest)["results"] == []


async def test_another_database_of_the_same_name_is_another(couch: Couch) -> None:
    async with listening(couch, "?feed=continuous&since=now") as feed:
        assert (await couch.ask("DELETE")).status == 200
        assert (await couch.ask("PUT")).status == 201
        await couch.put("/new", {})
        assert "last_seq" in await feed.row()


async def test_revoking_the_key_ends_its_feeds(couch: Couch) -> None:
    token = await couch.server.key("shop", "db:read")
    key = couch.server.services.grants.all()[0].id
    async with listening(couch, "?feed=continuous&since=now", token) as feed:
        assert (await couch.server.ask("DELETE", f"/api/v1/keys/{key}")).status == 200
        assert "last_seq" in await feed.row()
        assert await feed.line() == b""


async def test_removing_the_app_ends_its_feeds(couch: Couch) -> None:
    async with listening(couch, "?feed=continuous&since=now") as feed:
        assert (await couch.server.ask("DELETE", "/api/v1/apps/shop?data=delete")).status == 200
        assert "last_seq" in await feed.row()


async def test_a_leaving_server_ends_feeds_at_once(couch: Couch) -> None:
    async with listening(couch, "?feed=continuous&since=now&heartbeat=60000") as feed:
        await couch.server.leave()
        assert "last_seq" in await feed.row()
    assert not couch.server.endings


async def test_a_leaving_server_opens_no_new_feeds(couch: Couch) -> None:
    couch.server.services.flight.is_landing = True
    answer = await couch.ask("GET", "/_changes?feed=longpoll")
    assert (answer.status, answer.json["error"]) == (503, "service_unavailable")


async def test_a_filter_that_fails_later_is_told(shop: Couch) -> None:
    async with listening(shop, "?feed=continuous&filter=d/bad&since=now") as feed:
        await shop.put("/new", {})
        assert set(await feed.row()) == {"error", "reason"}


async def test_a_reader_that_takes_nothing_is_dropped(couch: Couch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes_live, "SEND_SECONDS", 0.2)
    server: WebServer = couch.server
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
    target = f"{couch.base}/_changes?feed=continuous&include_docs=true&since=now"
    head = f"GET {target} HTTP/1.1\r\nHost: {server.host()}\r\napikey: {server.owner}\r\n\r\n"
    writer.write(head.encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    for number in range(12):
        docs = [{"_id": f"{number}-{i}", "note": "x" * 100_000} for i in range(9)]
        assert (await couch.ask("POST", "/_bulk_docs", json={"docs": docs})).status == 201
    async with asyncio.timeout(10):
        while server.endings:
            await asyncio.sleep(0.02)
    writer.transport.abort()
