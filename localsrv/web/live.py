"""/api/v1/apps/{app}/changes: the live feed, as server-sent events for programs and a WebSocket for pages.

Theory of operation. A feed is a number: the last change it told. It asks the store for what came after,
sends that, and sleeps until the store commits something newer. Nothing is queued for a reader, so a slow one
costs no memory: a frame that cannot be handed to the network within `SEND_SECONDS` ends the feed, and the
client goes on from the last `seq` it saw, without gap or duplicate. A feed ends as well when its grant is
revoked or expires, and when the server leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from aiohttp import WSCloseCode, WSMsgType, hdrs, web

from localsrv.base.errors import BadRequest, InvalidValue, LocalsrvError, Unauthenticated, Unavailable
from localsrv.model.query import Select, parse_query
from localsrv.model.scopes import Grant, read
from localsrv.store.changes import Change, ChangeBatch, EpochChanged
from localsrv.store.database import Database
from localsrv.web import auth
from localsrv.web.admin.info import FLAG, TEXT, TEXT_OR_NULL, obj
from localsrv.web.context import APPLICATION, CALL, CORS, call, database, grant, require, services
from localsrv.web.headers import decorate
from localsrv.web.replication_frames import ReplicationFrames
from localsrv.web.rest.parameters import query_pairs
from localsrv.web.routes import ADMIN, ANY, Route

HEARTBEAT_SECONDS = 25.0
SEND_SECONDS = 10.0
TOKEN_SECONDS = 10.0
CLOSE_SECONDS = 2.0
MOST_COLLECTIONS = 100
INCLUDED = frozenset({"row", "replications"})
LONGEST_MESSAGE = 16 * 1024

REFUSED = 4401
"""WebSocket close code of a feed whose token is missing, wrong, revoked or expired."""

Send = Callable[[bytes, str | None], Awaitable[None]]
"""Hands a JSON text, and its sequence token if it has one, to the client. An empty text is a heartbeat."""


@dataclass(slots=True, eq=False)
class Ending:
    """Why and when a feed ends. `error` is told to the client."""

    event: asyncio.Event = field(default_factory=asyncio.Event)
    error: LocalsrvError | None = None

    def end(self, error: LocalsrvError | None = None) -> None:
        if not self.event.is_set():
            self.error = error
            self.event.set()

    def revoke(self) -> None:
        self.end(Unauthenticated("This token was revoked or has expired.", code="bad-token"))


ENDINGS = web.AppKey("endings", set[Ending])


async def end_all(app: web.Application) -> None:
    """For `on_shutdown`: feeds would otherwise hold the server until it loses patience."""
    endings = app[ENDINGS]
    for ending in list(endings):
        ending.end()


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


def _error_frame(error: LocalsrvError) -> bytes:
    return orjson.dumps({"type": "error", **error.as_dict()})


async def changes(request: web.Request) -> web.StreamResponse:
    if services(request).flight.is_landing:
        raise Unavailable("The server is stopping.", code="closing", hint="Connect again in a moment.")
    wanted = Wanted.of(request)
    if auth.is_websocket(request):
        return await _websocket(request, wanted)
    wanted.check(request)
    return await _events(request, wanted)


def _feed(request: web.Request, wanted: Wanted) -> Feed:
    followed = ReplicationFrames(request) if wanted.with_replications else None
    return Feed(database(request), wanted, followed)


@contextlib.contextmanager
def ending_of(request: web.Request, holder: Grant) -> Iterator[Ending]:
    """An `Ending` that the grant's revocation and the server's leaving set."""
    ending, endings = Ending(), request[APPLICATION][ENDINGS]
    endings.add(ending)
    try:
        with services(request).grants.watch(holder, ending.revoke):
            yield ending
    finally:
        endings.discard(ending)


def still_live(request: web.Request, holder: Grant) -> Callable[[], bool]:
    grants = services(request).grants
    return lambda: grants.by_id(holder.id) is not None


# ── server-sent events ─────────────────────────────────────────────────────────────────────────────────────


async def _events(request: web.Request, wanted: Wanted) -> web.StreamResponse:
    holder = grant(request)
    feed = _feed(request, wanted)
    await feed.start()
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8",
            hdrs.CACHE_CONTROL: "no-store",
            "X-Accel-Buffering": "no",
        }
    )
    decorate(response, request.get(CORS))
    await response.prepare(request)

    async def send(text: bytes, seq: str | None) -> None:
        frame = b": heartbeat\n\n"
        if text:
            head = b"" if seq is None else b"id: " + seq.encode() + b"\n"
            frame = head + b"data: " + text + b"\n\n"
        async with asyncio.timeout(SEND_SECONDS):
            await response.write(frame)

    with ending_of(request, holder) as ending:
        await _run(request, feed, send, ending, still_live(request, holder))
    if request.transport is not None and not request.transport.is_closing():
        await response.write_eof()
    return response


async def _run(
    request: web.Request, feed: Feed, send: Send, ending: Ending, is_live: Callable[[], bool]
) -> None:
    """Runs the feed, tells the client why it ended, and cuts off a reader that takes nothing."""
    try:
        try:
            await feed.run(send, ending, is_live)
        except LocalsrvError as error:  # a dropped collection, a damaged file
            ending.end(error)
        if ending.error is not None:
            await send(_error_frame(ending.error), None)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    except ConnectionError:
        pass  # the reader left, which is how feeds usually end


# ── WebSocket ──────────────────────────────────────────────────────────────────────────────────────────────


async def _websocket(request: web.Request, wanted: Wanted) -> web.StreamResponse:
    here = call(request)
    if here.grant is not None:
        wanted.check(request)
    socket = web.WebSocketResponse(
        heartbeat=HEARTBEAT_SECONDS, max_msg_size=LONGEST_MESSAGE, compress=False, timeout=CLOSE_SECONDS
    )
    decorate(socket, request.get(CORS))
    await socket.prepare(request)

    async def send(text: bytes, seq: str | None) -> None:
        if text:  # the socket pings by itself
            async with asyncio.timeout(SEND_SECONDS):
                await socket.send_str(text.decode())

    try:
        if here.grant is None:
            await _take_token(request, socket)
            wanted.check(request)
        feed = _feed(request, wanted)
        await feed.start()
    except LocalsrvError as error:
        with contextlib.suppress(ConnectionError, TimeoutError):
            await send(_error_frame(error), None)
        await socket.close(code=REFUSED, message=error.code.encode())
        return socket
    holder = grant(request)
    with ending_of(request, holder) as ending:
        reader = asyncio.ensure_future(_read_to_end(socket, ending))
        try:
            await _run(request, feed, send, ending, still_live(request, holder))
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
    if not socket.closed:
        code, reason = (REFUSED, ending.error.code) if ending.error else (WSCloseCode.GOING_AWAY, "closing")
        await socket.close(code=code, message=reason.encode())
    return socket


async def _take_token(request: web.Request, socket: web.WebSocketResponse) -> None:
    """A page's first message is {"token": …}: browsers cannot send headers here. Raises Unauthenticated."""
    try:
        message = await socket.receive(timeout=TOKEN_SECONDS)
        token: Any = orjson.loads(message.data)["token"] if message.type is WSMsgType.TEXT else None
    except (TimeoutError, orjson.JSONDecodeError, KeyError, TypeError):
        token = None
    if not isinstance(token, str):
        raise Unauthenticated('The first message must be {"token": "…"}.')
    here = call(request)
    own = services(request)
    app = here.params["app"]
    holder = auth.late(own.grants, request, token, here.site, app)
    request.protocol.is_trusted = True  # type: ignore[attr-defined] # `web.protocol`
    request[CALL] = replace(here, grant=holder, app=await own.apps.open(app))


async def _read_to_end(socket: web.WebSocketResponse, ending: Ending) -> None:
    """Takes what the client sends (answers to pings; nothing else matters) until it leaves."""
    async for _ in socket:
        pass
    ending.end()


CHANGE: Mapping[str, Any] = obj(
    "type seq",
    type={"enum": ["ready", "change", "reset", "replications", "error"]},
    seq=TEXT,
    collection=TEXT,
    id=TEXT,
    rev=TEXT,
    deleted=FLAG,
    matches=FLAG,
    source=TEXT,
    cause=TEXT_OR_NULL,
    at=TEXT_OR_NULL,
    row={"type": ["object", "null"]},
)

ROUTES = (
    Route(
        "GET",
        "/api/v1/apps/{app}/changes",
        changes,
        ANY,
        "The live feed: server-sent events, or a WebSocket when the request asks for one",
        query={
            "collections": "names, separated by commas; all that there are when left out",
            "since": "the `seq` to go on from; from now on when left out",
            "include": "`row` to get the rows too; `replications` to be told how they fare, which needs "
            "`admin`; or both, separated by a comma",
            "filter": "a filter as the data face takes it, percent-encoded, such as `CategoryID=eq.3`; what "
            "does not match comes with `matches` false and without its row",
        },
        response=CHANGE,
        late_token=True,
    ),
)
