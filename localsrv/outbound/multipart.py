"""Writing a document with attachments: small ones inside its JSON, large ones as multipart/related.

The multipart form is CouchDB's (docs: api/document/common, «Creating Multiple Attachments»): the document
first, its attachments marked `follows`, then their bytes in the same order.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import orjson

from localsrv.base.errors import NotFound
from localsrv.model.exchange import HasAttachments, Refusal, Revision, Stub, Written
from localsrv.outbound.errors import (
    PeerBusy,
    PeerError,
    PeerGarbage,
    PeerMissing,
    PeerTooLarge,
    raise_passing,
)
from localsrv.outbound.paths import document_path
from localsrv.outbound.session import Body, Session

INLINE_BYTES = 256 << 10
"""Attachments of a document up to this size in all go inside its JSON."""

_REFUSED = {
    "peer-forbidden": "forbidden",
    "peer-unauthorized": "unauthorized",
    "peer-400": "bad_request",
    "peer-412": "missing_stub",
    "peer-415": "bad_content_type",
}


async def write(session: Session, revision: Revision, source: HasAttachments) -> Written:
    """Stores one revision with its attachments.

    Raises:
        PeerError: what may pass.
    """
    try:
        try:
            return Written(await _put(session, revision, source))
        except PeerError as error:
            if error.code != "peer-412" or not revision.since:
                raise
            revision.since = 0  # the target has forgotten what it seemed to have: send every attachment
            return Written(await _put(session, revision, source))
    except (PeerMissing, NotFound):
        return Written(gone=[revision])
    except PeerTooLarge as error:
        return _refused(revision, "too_large", error)
    except PeerError as error:
        # The credentials opened the database a moment ago, so this is about the document.
        if error.code not in _REFUSED:
            raise
        return _refused(revision, _REFUSED[error.code], error)


def _refused(revision: Revision, word: str, error: PeerError) -> Written:
    return Written([Refusal(revision.id, revision.rev, word, error.details or error.message)])


async def _put(session: Session, revision: Revision, source: HasAttachments) -> list[Refusal]:
    sent = [stub for stub in revision.attachments if stub.revpos > revision.since]
    headers: dict[str, str] = {}
    body: Body
    if sum(stub.length for stub in sent) <= INLINE_BYTES:
        body = await _inline(revision, sent, source)
    else:
        boundary = secrets.token_hex(16)
        head, parts, length = _frame(revision, sent, boundary)
        body = partial(_stream, session, revision, source, head, parts, boundary)
        headers["Content-Type"] = f'multipart/related; boundary="{boundary}"'
        headers["Content-Length"] = str(length)
    path = document_path(revision.id)
    told = await session.json("PUT", path, query={"new_edits": "false"}, body=body, headers=headers)
    # PouchDB Server answers as to `_bulk_docs`: with a list of what it refuses.
    if isinstance(told, list):
        raise_passing(map(_words, told), session.where)
        return [Refusal(revision.id, revision.rev, *_words(row)) for row in told if _words(row)[0]]
    if not isinstance(told, dict) or "ok" not in told:
        raise PeerGarbage(f"{session.where} answers in another form than CouchDB's.")
    return []


def _words(row: Any) -> tuple[str, str]:
    told = row if isinstance(row, dict) else {}
    return str(told.get("name") or told.get("error") or ""), str(told.get("reason", ""))


async def _inline(revision: Revision, sent: Sequence[Stub], source: HasAttachments) -> bytes:
    attached = {stub.name: _told(stub) | {"stub": True} for stub in revision.attachments}
    for stub in sent:
        async with source.attachment(revision, stub) as chunks:
            data = b"".join([chunk async for chunk in chunks])
        attached[stub.name] = {
            "content_type": stub.content_type,
            "revpos": stub.revpos,
            "data": base64.b64encode(data).decode(),
        }
    return revision.full_text(orjson.dumps(attached).decode()).encode()


def _frame(
    revision: Revision, sent: Sequence[Stub], boundary: str
) -> tuple[bytes, list[tuple[Stub, bytes]], int]:
    """The beginning with the document, what goes before each attachment, and the length of the whole."""
    attached = {
        stub.name: _told(stub) | {"follows" if stub in sent else "stub": True}
        for stub in sorted(revision.attachments, key=lambda stub: stub not in sent)
    }
    document = revision.full_text(orjson.dumps(attached).decode()).encode()
    head = f"--{boundary}\r\nContent-Type: application/json\r\n\r\n".encode() + document
    parts = [(stub, _part_head(stub, boundary)) for stub in sent]
    length = len(head) + sum(stub.length + len(part) for stub, part in parts)
    return head, parts, length + len(_end(boundary))


def _told(stub: Stub) -> dict[str, Any]:
    told = {"content_type": stub.content_type, "length": stub.length, "revpos": stub.revpos}
    return told | ({"digest": f"md5-{stub.md5}"} if stub.is_exact else {})


def _part_head(stub: Stub, boundary: str) -> bytes:
    name = stub.name.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "%0D").replace("\n", "%0A")
    kind = stub.content_type if stub.content_type.isprintable() else "application/octet-stream"
    return (
        f"\r\n--{boundary}\r\n"
        f'Content-Disposition: attachment; filename="{name}"\r\n'
        f"Content-Type: {kind}\r\n"
        f"Content-Length: {stub.length}\r\n\r\n"
    ).encode()


def _end(boundary: str) -> bytes:
    return f"\r\n--{boundary}--".encode()


async def _stream(
    session: Session,
    revision: Revision,
    source: HasAttachments,
    head: bytes,
    parts: Sequence[tuple[Stub, bytes]],
    boundary: str,
) -> AsyncIterator[bytes]:
    yield head
    for stub, part in parts:
        yield part
        length = 0
        async with source.attachment(revision, stub) as chunks:
            async for chunk in chunks:
                length += len(chunk)
                session.sent += len(chunk)
                yield chunk
        if length != stub.length:  # the length is promised already: the request can only be broken off
            raise PeerBusy("An attachment has another length than its document says.", code="peer-length")
    yield _end(boundary)
