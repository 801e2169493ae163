"""aiocouch from PyPI, unmodified."""

from __future__ import annotations

import asyncio

import aiocouch
import pytest

from tests.e2e.couch.conftest import Couch

# aiocouch uses what aiohttp calls old; that is theirs to mend.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{text}:DeprecationWarning")
    for text in ("BasicAuth is deprecated", "The 'auth' parameter is deprecated")
]


def connect(couch: Couch) -> aiocouch.CouchDB:
    return aiocouch.CouchDB(couch.url, user=couch.user, password=couch.password)


async def test_databases(couch: Couch) -> None:
    async with connect(couch) as server:
        await server.check_credentials()
        assert (await server.info())["couchdb"] == "Welcome"
        database = await server.create("aio_databases")
        assert "aio_databases" in await server.keys()
        assert (await database.info())["doc_count"] == 0
        with pytest.raises(aiocouch.PreconditionFailedError):
            await server.create("aio_databases")
        assert await server.create("aio_databases", exists_ok=True)
        with pytest.raises(aiocouch.NotFoundError):
            await server["aio_none"]
        assert (await database.security())["admins"] is not None


async def test_a_wrong_password(couch: Couch) -> None:
    async with aiocouch.CouchDB(couch.url, user=couch.user, password="wrong") as server:
        with pytest.raises(aiocouch.UnauthorizedError):
            await server.check_credentials()


async def test_documents(couch: Couch) -> None:
    async with connect(couch) as server:
        database = await server.create("aio_docs")
        ada = await database.create("ada", data={"name": "Ada"})
        await ada.save()
        first = ada.rev
        ada["born"] = 1815
        await ada.save()
        assert (await database["ada"]).data == {
            "_id": "ada",
            "_rev": ada.rev,
            "name": "Ada",
            "born": 1815,
        }
        with pytest.raises(aiocouch.ConflictError):
            await database.create("ada")
        stale = aiocouch.document.Document(database, "ada")
        await stale.fetch(rev=first)
        stale["born"] = 1
        with pytest.raises(aiocouch.ConflictError):
            await stale.save()
        await ada.copy("copy of ada")
        assert (await database["copy of ada"])["born"] == 1815
        assert (await ada.info())["ok"] and (await ada.conflicts()) == []
        await ada.delete()
        with pytest.raises(aiocouch.NotFoundError):
            await database["ada"]


async def test_many_documents_and_queries(couch: Couch) -> None:
    async with connect(couch) as server:
        database = await server.create("aio_queries")
        async with database.create_docs([f"d{n}" for n in range(20)]) as bulk:
            n = 0
            async for document in bulk:
                document["n"], n = n, n + 1
        assert len(bulk.ok) == 20 and bulk.error == []
        assert [key async for key in database.akeys(startkey='"d5"', limit=2)] == ["d5", "d6"]
        await database.index({"fields": ["n"]}, name="by-n")
        found = [doc["n"] async for doc in database.find({"n": {"$gte": 17}}, sort=[{"n": "asc"}])]
        assert found == [17, 18, 19]
        design = await database.design_doc("numbers")
        odd = "function (doc) { if (doc.n % 2) emit(doc.n, 1); }"
        await design.create_view("odd", map_function=odd, reduce_function="_count")
        await design.save()
        rows = await database.view("numbers", "odd").get(reduce=False, descending=True, limit=2)
        assert [row["key"] for row in rows.rows] == [19, 17]


async def test_attachments(couch: Couch) -> None:
    data = bytes(range(256)) * 1000
    async with connect(couch) as server:
        database = await server.create("aio_files")
        document = await database.create("album")
        await document.save()
        attachment = document.attachment("a b.bin")
        await attachment.save(data, "application/octet-stream")
        await document.fetch()
        assert await document.attachment("a b.bin").fetch() == data
        assert document["_attachments"]["a b.bin"]["length"] == len(data)
        await document.attachment("a b.bin").delete()
        assert not await document.attachment("a b.bin").exists()


async def test_the_feed(couch: Couch) -> None:
    """What is written is heard by one who listens already."""
    async with connect(couch) as server:
        database = await server.create("aio_feed")
        heard = asyncio.Queue[str]()

        async def listen() -> None:
            async for event in database.changes(feed="continuous", include_docs=True, heartbeat=1000):
                await heard.put(f"{event.id} {event.json['doc'].get('n')}")

        listening = asyncio.create_task(listen())
        for n in range(3):
            await (await database.create(f"n{n}", data={"n": n})).save()
            assert await asyncio.wait_for(heard.get(), 10) == f"n{n} {n}"
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening
        assert len([event async for event in database.changes()]) == 3
