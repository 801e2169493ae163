"""A document that comes as multipart/related: its JSON first, then the attachments that follow.

CouchDB takes the attachments in the order of `_attachments`. Here a part that names its file goes to the
attachment of that name, and only others by their order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

from aiohttp import hdrs, web

from localsrv.base.errors import TooLarge
from localsrv.model.multipart import END_OF_PART, Event, Head, MultipartParser, boundary_of, parameters_of
from localsrv.store.editing import NewAttachment
from localsrv.web.context import database, services
from localsrv.web.couch.bodies import parse
from localsrv.web.couch.drafts import Draft, draft_of
from localsrv.web.couch.enclosures import Enclosure, Kind, enclosures, md5_in
from localsrv.web.couch.errors import JSON, CouchError
from localsrv.web.couch.receiving import receive
from localsrv.web.couch.writing import revpos_of
from localsrv.web.incoming import body_pieces


def is_related(request: web.Request) -> bool:
    """Whether the body is multipart/related.

    Raises:
        CouchError: it is another kind of multipart.
    """
    header = request.headers.get(hdrs.CONTENT_TYPE, JSON)
    if header == JSON:
        return False
    kind = header.partition(";")[0].strip().lower()
    if kind.startswith("multipart/") and kind != "multipart/related":
        raise CouchError(415, "bad_content_type", "Of multipart types only multipart/related is taken")
    return kind == "multipart/related"


async def read_related(
    request: web.Request, *, new_edits: bool, check: Callable[[Draft], None]
) -> tuple[Draft, dict[str, NewAttachment]]:
    """The draft, and the attachments that followed it, received once `check` has let the draft pass.

    Raises:
        BadRequest: no multipart, or one without an end. CouchError: a part too many or too few, or an
        attachment of another length or digest than its document says. TooLarge.
    """
    limits = services(request)
    parts = Parts(request, limits.max_upload)
    head = await parts.head()
    if head is None:
        raise CouchError(400, "bad_request", "The multipart body has no parts")
    if head.get("content-type", JSON).partition(";")[0].strip().lower() != JSON:
        raise CouchError(415, "bad_content_type", "Content-Type must be application/json")
    draft = draft_of(parse(await parts.read(limits.max_body)))
    check(draft)
    waiting = {one.name: one for one in enclosures(draft.attachments) if one.kind is Kind.FOLLOWS}
    followed: dict[str, NewAttachment] = {}
    while (head := await parts.head()) is not None:
        one = _awaited(head, waiting)
        followed[one.name] = await _receive(request, one, head, parts, new_edits=new_edits)
        await asyncio.sleep(0)  # there may be thousands of small ones
    if waiting:
        raise CouchError(
            400, "bad_request", f"Attachment `{next(iter(waiting))[:200]}` was to follow and did not"
        )
    return draft, followed


def _awaited(head: Mapping[str, str], waiting: dict[str, Enclosure]) -> Enclosure:
    """The attachment that a part is, by its file name or else by its place."""
    name = parameters_of(head.get("content-disposition", "")).get("filename")
    if name not in waiting:
        name = next(iter(waiting), None)
    if name is None:
        reason = "The multipart body has more parts than its document has attachments that follow"
        raise CouchError(400, "bad_request", reason)
    return waiting.pop(name)


async def _receive(
    request: web.Request, one: Enclosure, head: Mapping[str, str], parts: Parts, *, new_edits: bool
) -> NewAttachment:
    encoding = head.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise CouchError(415, "bad_content_type", "Only gzip and identity content-encodings are supported")
    digest = one.digest
    if digest is None and "content-md5" in head:
        digest = md5_in(head["content-md5"])
    blob = await receive(
        database(request),
        parts.content(),
        limit=services(request).max_upload,
        sent_length=one.sent_length,
        digest=digest,
        is_gzip=one.is_gzip or encoding == "gzip",
        length=one.length if one.is_gzip else None,
    )
    return NewAttachment(one.name, one.content_type, blob, revpos_of(one, new_edits=new_edits))


class Parts:
    """The parts of a request's multipart body, one after the other."""

    def __init__(self, request: web.Request, limit: int) -> None:
        """`limit` bounds the bytes of the whole body."""
        self._parser = MultipartParser(boundary_of(request.headers.get(hdrs.CONTENT_TYPE, "")))
        self._chunks = body_pieces(request)
        self._events: Iterator[Event] = iter(())
        self._left = limit

    async def head(self) -> Mapping[str, str] | None:
        """The headers of the next part, whatever is left of the one before; None at the end of the body."""
        while (event := await self._next()) is not None:
            if isinstance(event, Head):
                return event.headers
        return None

    async def content(self) -> AsyncIterator[bytes]:
        """What the part holds."""
        while (event := await self._next()) is not None and event is not END_OF_PART:
            if isinstance(event, bytes):
                yield event

    async def read(self, limit: int) -> bytes:
        """What the part holds, at once. Raises TooLarge."""
        data = bytearray()
        async for piece in self.content():
            data += piece
            if len(data) > limit:
                raise TooLarge(f"A document may have {limit:,} bytes.")
        return bytes(data)

    async def _next(self) -> Event | None:
        while (event := next(self._events, None)) is None:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                self._parser.close()
                return None
            self._left -= len(chunk)
            if self._left < 0:
                raise TooLarge("The body is too large.")
            self._events = self._parser.feed(chunk)
        return event
