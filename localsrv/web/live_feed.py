"""One client's place in an app's live feed, whichever way its frames travel.

A feed is a number: the last change it told. It asks the store for what came after, sends that, and sleeps
until the store commits something newer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from localsrv.base.errors import BadRequest, InvalidValue, LocalsrvError
from localsrv.model.query import Select, parse_query
from localsrv.model.scopes import read
from localsrv.store.changes import Change, ChangeBatch, EpochChanged
from localsrv.store.database import Database
from localsrv.web.context import database, require
from localsrv.web.endings import Ending
from localsrv.web.replication_frames import ReplicationFrames
from localsrv.web.rest.parameters import query_pairs
from localsrv.web.routes import ADMIN

HEARTBEAT_SECONDS = 25.0
MOST_COLLECTIONS = 100
INCLUDED = frozenset({"row", "replications"})

Send = Callable[[bytes, str | None], Awaitable[None]]
"""Hands a JSON text, and its sequence token if it has one, to the client. An empty text is a heartbeat."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the client asked for. `collections` empty means all; `since` None means from now on."""

    collections: tuple[str, ...]
    since: str | None
    with_rows: bool
    where: Select | None
    with_replications: bool = False

    @classmethod
    def of(cls, request: web.Request) -> Wanted:
        """Raises BadRequest, or QuerySyntaxError for the filter."""
        query = request.query
        include = {name for name in query.get("include", "").split(",") if name}
        if not include <= INCLUDED:
            raise InvalidValue("`include` can be `row` and `replications`.", details="include")
        names = tuple(dict.fromkeys(n for n in query.get("collections", "").split(",") if n))
        if len(names) > MOST_COLLECTIONS:
            raise BadRequest(f"A feed takes at most {MOST_COLLECTIONS} collections.", details="collections")
        where = None
        if query.get("filter"):
            where = parse_query(query_pairs(query["filter"]))
        since = query.get("since") or request.headers.get("Last-Event-ID")
        return cls(names, since, "row" in include, where, "replications" in include)

    def check(self, request: web.Request) -> None:
        """Raises Forbidden when the grant may not read them all, NotFound when one does not exist."""
        require(request, *(read(name) for name in self.collections or ("*",)))
        if self.with_replications:
            require(request, ADMIN)
        for name in self.collections:
            database(request).collection(name)

    def names(self, db: Database) -> Sequence[str]:
        return self.collections or tuple(db.collections)


class Feed:
    """One client's place in the change feed."""

    def __init__(self, db: Database, wanted: Wanted, followed: ReplicationFrames | None) -> None:
        self._db = db
        self._wanted = wanted
        self._followed = followed
        self._since = 0
        self._is_reset = False
        self._first: ChangeBatch | None = None

    async def start(self) -> None:
        """Finds the place and reads the first changes; what is wrong shows before the answer begins."""
        self._since = self._db.last_seq
        if self._wanted.since is not None:
            try:
                self._since = self._db.decode_seq(self._wanted.since)
            except EpochChanged:
                self._is_reset = True
        self._first = await self._read()

    async def run(self, send: Send, ending: Ending, is_live: Callable[[], bool]) -> None:
        """Sends frames until `ending`. Raises what `send` raises, and the store's errors."""
        if self._is_reset:
            await send(self._note("reset"), self._token(self._since))
        await send(self._note("ready"), self._token(self._since))
        batch, self._first = self._first, None
        while not ending.event.is_set():
            if batch is None:
                batch = await self._read()
            for change in batch.changes:
                await send(_frame(change, self._token(change.seq)), self._token(change.seq))
                if ending.event.is_set():
                    return
            self._since = batch.last_seq
            more, batch = batch.more, None
            while not more and not ending.event.is_set():
                more = await self._changed(ending)
                if not more and not ending.event.is_set() and not is_live():
                    ending.revoke()
                    return
                if ending.event.is_set():
                    return
                if self._followed is not None and self._followed.is_due:
                    await send(await self._followed.frame(self._token(self._since)), None)
                elif not more:
                    await send(b"", None)

    async def _read(self) -> ChangeBatch:
        names = self._wanted.names(self._db)
        where = {} if self._wanted.where is None else dict.fromkeys(names, self._wanted.where)
        return await self._db.changes(self._since, names, with_rows=self._wanted.with_rows, where=where)

    async def _changed(self, ending: Ending) -> bool:
        """Waits for a newer change, news of replications, the end, or the time of a heartbeat; whether there
        is a newer change."""
        change = asyncio.ensure_future(self._db.wait_for_change(self._since))
        end: asyncio.Future[Any] = asyncio.ensure_future(ending.event.wait())
        tasks: list[asyncio.Future[Any]] = [change, end]
        if self._followed is not None:
            tasks.append(asyncio.ensure_future(self._followed.wait()))
        try:
            await asyncio.wait(tasks, timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if change.done() and change.cancelled():  # the app's file was closed
                ending.end()
            return change.done()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _token(self, seq: int) -> str:
        return self._db.encode_seq(seq)

    def _note(self, kind: str) -> bytes:
        return orjson.dumps({"type": kind, "seq": self._token(self._since)})


def _frame(change: Change, token: str) -> bytes:
    """The change as JSON; the row's text goes in as the store gave it."""
    told = {
        "type": "change",
        "seq": token,
        "collection": change.collection,
        "id": change.id,
        "rev": change.rev,
        "deleted": change.deleted,
        "matches": change.matches,
        "source": change.source,
        "cause": change.cause,
        "at": change.at,
    }
    row = b"null" if change.row is None else change.row.encode()
    return orjson.dumps(told)[:-1] + b',"row":' + row + b"}"


def error_frame(error: LocalsrvError) -> bytes:
    return orjson.dumps({"type": "error", **error.as_dict()})
