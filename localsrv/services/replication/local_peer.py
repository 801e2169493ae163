"""A database of this server as one side of a replication: straight to the store, no HTTP."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO, Protocol

import orjson

from localsrv.base.errors import Conflict, LocalsrvError, NotFound
from localsrv.model.checkpoints import Sequence_
from localsrv.model.exchange import (
    Information,
    Page,
    PageSize,
    Refusal,
    Revision,
    Row,
    Stub,
    Wanted,
    Written,
)
from localsrv.model.replication import Endpoint, Replication
from localsrv.outbound.couch_peer import AT_ONCE
from localsrv.outbound.errors import PeerMissing
from localsrv.outbound.gather import gather
from localsrv.services.replication.peer import Peer
from localsrv.store.database import Database
from localsrv.store.document_changes import ChangesQuery, DocumentChange
from localsrv.store.editing import Edit, NewAttachment
from localsrv.store.reading import AttachmentInfo, Document

_PIECE = 1 << 18
FILED_AT_ONCE = 32
"""Documents with attachments in one write: small attachments wait for it in memory."""


class Rules(Protocol):
    """What an app's design documents and filters say; the JavaScript behind it is none of this module's."""

    async def check(self, name: str, edits: Sequence[Edit]) -> list[LocalsrvError | None]:
        """For each edit why `validate_doc_update` refuses it, or None."""

    async def lets_through(self, name: str, revisions: Sequence[Revision]) -> list[bool]:
        """Whether the replication's filter wants each of these winners."""


class LocalPeer:
    """One side of a replication, in an app of this server."""

    is_local = True

    def __init__(self, database: Database, endpoint: Endpoint, options: Replication, rules: Rules) -> None:
        assert endpoint.database is not None
        self.label = self.name = endpoint.database
        self.peer_id = endpoint.peer_id
        self.moved = 0
        self._database = database
        self._options = options
        self._rules = rules
        self._size = PageSize()
        self._pending: int | None = None
        self._with_histories = True
        self._number: int | None = None

    async def close(self) -> None:
        """The database belongs to its app."""

    # ── the database ───────────────────────────────────────────────────────────────────────────────────────

    async def information(self) -> Information:
        found = await self._database.information(self.name)
        self._number = found.number
        is_empty = found.documents == 0 and found.deleted == 0
        return Information(self._database.encode_seq(found.last_seq), is_empty)

    async def create(self) -> None:
        with contextlib.suppress(Conflict):
            await self._database.create_database(self.name)

    async def checkpoint(self, name: str) -> dict[str, Any] | None:
        found = self._database.get_local(self.name, name)
        parsed = None if found is None else orjson.loads(found.body)
        return parsed if isinstance(parsed, dict) else None

    async def record(self, name: str, document: Mapping[str, Any]) -> None:
        """Raises NotFound: the database was deleted since `information` was asked, perhaps made again. A
        checkpoint in the new one would say that it has what went with the old one."""
        if self._number not in (None, (await self._database.information(self.name)).number):
            raise NotFound(f"The database {self.name} was deleted and made again.", details=self.name)
        there = self._database.get_local(self.name, name)
        body = orjson.dumps(dict(document)).decode()
        await self._database.put_local(self.name, name, body, there.rev if there else None)

    # ── as a source ────────────────────────────────────────────────────────────────────────────────────────

    def expect(self, missing: int, checked: int) -> None:
        """Bodies cost nothing here; histories do, and are read along while the target lacks a good part."""
        if checked:
            self._with_histories = missing * 4 >= checked

    async def page(self, since: Sequence_, *, wait: bool) -> Page:
        """Raises EpochChanged, BadRequest: `since` is none of this file's."""
        number = 0 if since in (0, "0") else self._database.decode_seq(str(since))
        while True:
            newest = self._database.last_seq  # before the look, so that no change falls between the two
            page, number = await self._page(number)
            if page.count or not page.is_end or not wait:
                return page
            await self._database.wait_for_change(newest)

    async def _page(self, since: int) -> tuple[Page, int]:
        ids = self._options.filter.doc_ids
        query = ChangesQuery(
            since=since,
            limit=self._size.rows,
            all_leaves=not self._options.winning_only,
            with_bodies=True,
            with_pending=self._pending is None,
            ids=None if ids is None else frozenset(ids),
        )
        found = await self._database.document_changes(self.name, query)
        changes = await self._filtered(found.changes)
        size = sum(len(c.document.body or "") for c in found.changes if c.document)
        self._size.saw(len(found.changes), size)
        self.moved += size
        if found.pending is not None:
            self._pending = found.pending
        else:
            self._pending = max((self._pending or 0) - len(found.changes), 0) if found.more else 0
        rows = await self._rows(changes)
        page = Page(
            len(rows), lambda: rows, self._database.encode_seq(found.last_seq), self._pending, not found.more
        )
        return page, found.last_seq

    async def _rows(self, changes: list[DocumentChange]) -> list[Row]:
        documents = {c.document.id: c.document for c in changes if c.document is not None and _is_whole(c)}
        if not self._with_histories:
            documents = {i: d for i, d in documents.items() if d.rev.startswith("1-")}
        asked = [(d.id, d.rev) for d in documents.values() if not d.rev.startswith("1-")]
        found = await self._database.paths(self.name, asked) if asked else []
        histories = {i: path for (i, _), path in zip(asked, found, strict=True)}
        return [_row(c, documents.get(c.id), histories.get(c.id)) for c in changes]

    async def _filtered(self, changes: list[DocumentChange]) -> list[DocumentChange]:
        kept = self._options.filter
        if not changes or (kept.selector is None and kept.function is None):
            return changes
        winners = [
            _revision(c.document, (c.document.rev,))
            if c.document is not None
            else Revision(c.id, (c.revs[0],), deleted=c.deleted, fields={})
            for c in changes
        ]
        wanted = await self._rules.lets_through(self.name, winners)
        return [change for change, wants in zip(changes, wanted, strict=True) if wants]

    async def fetch(self, wanted: Sequence[Wanted]) -> list[Revision]:
        asked = [(want.id, rev) for want in wanted for rev in want.revs]
        found = await self._database.open_many(self.name, asked, latest=not self._options.winning_only)
        out = {
            (document.id, document.rev): _revision(document, path)
            for entries in found
            for document, path in entries
            if document.body is not None or document.deleted
        }
        return list(out.values())

    @contextlib.asynccontextmanager
    async def attachment(self, revision: Revision, stub: Stub) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of an attachment. Raises NotFound."""
        content = self._database.attachment(self.name, revision.id, stub.name, revision.rev)
        if content is None:
            raise NotFound(f"`{revision.id[:200]}` has no attachment `{stub.name[:200]}` any more.")
        if content.path is None:
            yield _one(content.data or b"")
            return
        try:
            file = await asyncio.to_thread(content.path.open, "rb")
        except FileNotFoundError as error:
            raise NotFound(f"The bytes of `{stub.name[:200]}` are gone.") from error
        with file:
            yield _pieces(file)

    # ── as a target ────────────────────────────────────────────────────────────────────────────────────────

    async def missing(self, asked: Mapping[str, Sequence[str]]) -> dict[str, Wanted]:
        found = await self._database.missing_revisions(self.name, asked)
        return {i: Wanted(i, tuple(absent), tuple(known)) for i, (absent, known) in found.items()}

    async def write(self, revisions: Sequence[Revision], source: Peer) -> Written:
        origin = _origin(source)
        plain = [revision for revision in revisions if not revision.attachments]
        edits = [_plain_edit(revision, origin) for revision in plain]
        done = await self._put(plain, edits, source) if plain else Written()
        with_files = [revision for revision in revisions if revision.attachments]
        for at in range(0, len(with_files), FILED_AT_ONCE):
            part = with_files[at : at + FILED_AT_ONCE]
            received = await gather(lambda r: self._edit(r, source), part, AT_ONCE)
            pairs = list(zip(part, received, strict=True))
            done.gone += [r for r, edit in pairs if edit is None]
            there = [(r, edit) for r, edit in pairs if edit is not None]
            done.add(await self._put([r for r, _ in there], [edit for _, edit in there], source))
        return done

    async def _put(self, revisions: Sequence[Revision], edits: Sequence[Edit], source: Peer) -> Written:
        """Writes `edits`, which are the `revisions` in their order."""
        done = Written()
        verdicts = await self._rules.check(self.name, edits)
        if any(verdicts):
            judged = list(zip(revisions, edits, verdicts, strict=True))
            done.refused = [_refusal(r, verdict) for r, _, verdict in judged if verdict is not None]
            revisions = [r for r, _, verdict in judged if verdict is None]
            edits = [edit for _, edit, verdict in judged if verdict is None]
        if not edits:
            return done
        results = await self._database.put_many(self.name, edits, new_edits=False)
        for revision, result in zip(revisions, results, strict=True):
            if not isinstance(result, Exception):
                continue
            if isinstance(result, NotFound) and revision.since:
                revision.since = 0  # what it keeps was forgotten here: take in all of it
                done.add(await self.write([revision], source))
            elif isinstance(result, LocalsrvError) and result.status < 500:
                done.refused.append(_refusal(revision, result))
            else:
                raise result
        return done

    async def _edit(self, revision: Revision, source: Peer) -> Edit | None:
        """The edit with its attachments received; None when the source no longer has one."""
        received = []
        try:
            for stub in revision.attachments:
                if stub.revpos > revision.since:
                    async with source.attachment(revision, stub) as chunks:
                        blob = await self._database.receive(chunks)
                    received.append(NewAttachment(stub.name, stub.content_type, blob, stub.revpos))
        except (NotFound, PeerMissing):
            return None
        kept = tuple(stub.name for stub in revision.attachments if stub.revpos <= revision.since)
        return replace(_plain_edit(revision, _origin(source)), attachments=tuple(received), kept=kept)

    async def mark(self, peer_id: str, revisions: Iterable[tuple[str, str]]) -> None:
        """Compaction keeps these as ancestors of later merges."""
        await self._database.mark_synced(self.name, peer_id, revisions)


def _origin(source: Peer) -> str:
    """What a change that `source` brought says of itself in the change feed."""
    return f"peer:{source.peer_id}"


def _plain_edit(revision: Revision, origin: str) -> Edit:
    return Edit(
        revision.id,
        revision.fields,
        None,
        revision.deleted,
        path=revision.path,
        source=origin,
        text=revision.known_text,
    )


def _is_whole(change: DocumentChange) -> bool:
    """Whether the winner and its history say all there is of a document."""
    document = change.document
    return (
        document is not None
        and len(change.revs) == 1
        and not document.attachments
        and (document.body is not None or document.deleted)
    )


def _row(change: DocumentChange, document: Document | None, path: tuple[str, ...] | None) -> Row:
    whole = None if document is None else _revision(document, path or (document.rev,))
    return Row(change.id, change.revs, change.deleted, whole, change.source)


def _revision(document: Document, path: Sequence[str]) -> Revision:
    return Revision(
        document.id,
        tuple(path),
        deleted=document.deleted,
        text=document.body or "{}",
        attachments=tuple(map(_stub, document.attachments)),
    )


def _stub(info: AttachmentInfo) -> Stub:
    md5 = base64.b64encode(info.md5).decode()
    return Stub(info.name, info.content_type, info.length, md5, info.revpos, is_exact=True)


def _refusal(revision: Revision, error: LocalsrvError) -> Refusal:
    word = {401: "unauthorized", 403: "forbidden"}.get(error.status, error.code.replace("-", "_"))
    return Refusal(revision.id, revision.rev, word, error.message)


async def _one(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, _PIECE):
        yield piece
