"""A database that speaks CouchDB's protocol: Apache CouchDB, PouchDB Server, another localsrv.

Everything that can be done for many documents at once is: feeds bring the documents with them, `_bulk_get`
fetches the rest of a page, `_bulk_docs` writes it. Large attachments alone go one by one, as streams.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import orjson

from localsrv.base.errors import InvalidValue
from localsrv.model.checkpoints import Sequence_
from localsrv.model.exchange import (
    PAGE_BYTES,
    HasAttachments,
    Information,
    Page,
    PageSize,
    Refusal,
    Revision,
    Row,
    Stub,
    Wanted,
    Written,
    has_whole_history,
    parsed_revision,
)
from localsrv.model.replication import Credentials, Endpoint, Replication
from localsrv.outbound import attachments, multipart
from localsrv.outbound.errors import (
    NO_COUCHDB,
    PeerError,
    PeerGarbage,
    PeerMissing,
    PeerTooLarge,
    raise_passing,
)
from localsrv.outbound.gather import gather
from localsrv.outbound.paths import attachment_path, document_path
from localsrv.outbound.session import Session

HEARTBEAT_MS = 25_000
"""How often a waiting feed says that it is alive; `session.SILENCE_S` is more than twice that."""

FETCHED_AT_ONCE = 200
AT_ONCE = 4
"""Requests for single documents and attachments in flight."""

_NOT_A_SHAPE = (ValueError, KeyError, TypeError, AttributeError, IndexError)
_NO_BULK_GET = frozenset({"peer-400", "peer-405", "peer-missing", "peer-501", "peer-415"})
T = TypeVar("T")


class CouchPeer:
    """One side of a replication, over HTTP. Every method raises `errors.PeerError`."""

    is_local = False

    def __init__(self, endpoint: Endpoint, credentials: Credentials, options: Replication) -> None:
        self.label = endpoint.label
        self.peer_id = endpoint.peer_id
        self._session = Session(endpoint.url, credentials)
        self._options = options
        self._size = PageSize()
        self._with_documents = True
        self._has_bulk_get = options.use_bulk_get
        self._streams = asyncio.Semaphore(AT_ONCE)

    @property
    def moved(self) -> int:
        """Bytes of bodies that went over the network, both ways."""
        return self._session.sent + self._session.received

    async def close(self) -> None:
        await self._session.close()

    # ── the database ───────────────────────────────────────────────────────────────────────────────────────

    async def information(self) -> Information:
        """Raises PeerMissing when there is no such database."""
        told = await self._session.json("GET")
        if isinstance(told, dict) and "couchdb" in told and "update_seq" not in told:
            raise PeerGarbage(
                f"{self.label} is the address of a server, not of a database.",
                code="peer-no-database",
                hint=f"Put the database's name at its end, as {self.label.rstrip('/')}/name.",
            )
        with self._shape():
            seq = told["update_seq"]
            if isinstance(seq, list):  # Cloudant's older form
                seq = orjson.dumps(seq).decode()
            documents, deleted = int(told["doc_count"]), told.get("doc_del_count")
            is_fresh = str(seq).partition("-")[0] == "0" if deleted is None else int(deleted) == 0
            return Information(seq, documents == 0 and is_fresh)

    async def create(self) -> None:
        """Makes the database; that it exists already is fine."""
        try:
            await self._session.json("PUT")
        except PeerError as error:
            if error.code != "peer-412":
                raise

    async def checkpoint(self, name: str) -> dict[str, Any] | None:
        """A local document, or None."""
        try:
            found = await self._session.json("GET", f"/_local/{name}")
        except PeerMissing:
            return None
        return found if isinstance(found, dict) else None

    async def record(self, name: str, document: Mapping[str, Any]) -> None:
        """Writes a local document over what is there."""
        for left in (1, 0):
            there = await self.checkpoint(name)
            body = {**document, "_id": f"_local/{name}"} | ({"_rev": there["_rev"]} if there else {})
            try:
                await self._session.json("PUT", f"/_local/{name}", body=orjson.dumps(body))
            except PeerError as error:
                if error.code != "peer-409" or not left:  # one whose answer was lost, sent again, conflicts
                    raise
            else:
                return

    # ── as a source ────────────────────────────────────────────────────────────────────────────────────────

    def expect(self, missing: int, checked: int) -> None:
        """Told after each page: a feed brings documents along while the target lacks a good part of them."""
        if checked:
            self._with_documents = missing * 4 >= checked

    async def page(self, since: Sequence_, *, wait: bool) -> Page:
        """The changes after `since`. `wait`: when there are none, does not return before there are some."""
        limit = self._size.rows if self._with_documents else max(self._size.rows, 1000)
        query = {
            "feed": "longpoll" if wait else "normal",
            "style": "main_only" if self._options.winning_only else "all_docs",
            "since": str(since),
            "limit": str(limit),
            "heartbeat": str(HEARTBEAT_MS),
        }
        if self._with_documents:
            query |= {"include_docs": "true", "revs": "true"}
        before = self._session.received
        try:
            told = await self._changes(query)
        except PeerTooLarge:
            if not self._with_documents:
                raise
            self._with_documents, self._size = False, PageSize()
            return await self.page(since, wait=wait)
        with self._shape():
            entries = told["results"]
            if not isinstance(entries, list):
                raise TypeError("results")
            last, pending = told["last_seq"], told.get("pending")
            if isinstance(last, list):
                last = orjson.dumps(last).decode()
            if not isinstance(last, str | int) or not isinstance(pending, int | None):
                raise TypeError("last_seq")
        if self._with_documents:
            self._size.saw(len(entries), self._session.received - before)
        is_end = len(entries) < limit if pending is None else pending == 0
        if pending is None and is_end:  # PouchDB Server does not tell
            pending = 0
        return Page(len(entries), partial(self._rows, entries), last, pending, is_end)

    def _rows(self, entries: list[Any]) -> list[Row]:
        """The rows of a feed. Raises PeerGarbage."""
        with self._shape():
            return [_row(entry) for entry in entries]

    async def _changes(self, query: dict[str, str]) -> Any:
        kept = self._options.filter
        body: bytes | None = None
        if kept.doc_ids is not None:
            query["filter"], body = "_doc_ids", orjson.dumps({"doc_ids": kept.doc_ids})
        elif kept.selector is not None:
            query["filter"], body = "_selector", orjson.dumps({"selector": dict(kept.selector)})
        elif kept.function is not None:
            query["filter"] = kept.function
            for name, value in kept.parameters.items():
                query[name] = value if isinstance(value, str) else orjson.dumps(value).decode()
        # Where a waiting feed is compressed, the signs that it is alive stay in the other side's buffer.
        headers = {"Accept-Encoding": "identity"} if query["feed"] == "longpoll" else None
        return await self._session.json(
            "GET" if body is None else "POST", "/_changes", query=query, body=body, headers=headers
        )

    async def fetch(self, wanted: Sequence[Wanted]) -> list[Revision]:
        """Revisions with their history and stubs of their attachments. What the peer no longer has is left
        out: a newer leaf comes later in its feed."""
        parts = [wanted[at : at + FETCHED_AT_ONCE] for at in range(0, len(wanted), FETCHED_AT_ONCE)]
        return [revision for part in parts for revision in await self._fetch(part)]

    async def _fetch(self, wanted: Sequence[Wanted]) -> list[Revision]:
        if not self._has_bulk_get:
            return await self._fetch_singly(wanted)
        asked = [{"id": want.id, "rev": rev} for want in wanted for rev in want.revs]
        try:
            told = await self._session.json(
                "POST",
                "/_bulk_get",
                query={"revs": "true", "latest": "true"},
                body=orjson.dumps({"docs": asked}),
            )
        except PeerTooLarge:
            if len(wanted) == 1:
                return await self._fetch_singly(wanted)
            half = len(wanted) // 2
            return await self._fetch(wanted[:half]) + await self._fetch(wanted[half:])
        except PeerError as error:
            if error.code not in _NO_BULK_GET:
                raise
            await self.information()  # a database that is gone is another matter
            self._has_bulk_get = False
            return await self._fetch_singly(wanted)
        with self._shape():
            return _found(entry for result in told["results"] for entry in result["docs"])

    async def _fetch_singly(self, wanted: Sequence[Wanted]) -> list[Revision]:
        async def one(want: Wanted) -> list[Revision]:
            query = {"revs": "true", "latest": "true", "open_revs": orjson.dumps(want.revs).decode()}
            try:
                told = await self._session.json("GET", document_path(want.id), query=query)
            except PeerMissing:
                return []
            with self._shape():
                return _found(told)

        return [revision for part in await gather(one, wanted, AT_ONCE) for revision in part]

    @contextlib.asynccontextmanager
    async def attachment(self, revision: Revision, stub: Stub) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of an attachment, uncompressed; their digest is checked when they end.

        Raises:
            PeerMissing: the peer no longer has that revision. PeerGarbage: the digest is another one.
        """
        path = attachment_path(revision.id, stub.name)
        headers = {"Accept": "*/*", "Accept-Encoding": "gzip, identity"}
        async with (
            self._streams,
            self._session.stream(
                "GET", path, query={"rev": revision.rev}, headers=headers, auto_decompress=False
            ) as response,
        ):
            yield attachments.checked(response, stub, self._session)

    # ── as a target ────────────────────────────────────────────────────────────────────────────────────────

    async def missing(self, asked: Mapping[str, Sequence[str]]) -> dict[str, Wanted]:
        """Of these leaves, those that the target lacks, by id."""
        told = await self._session.json("POST", "/_revs_diff", body=orjson.dumps(asked))
        with self._shape():
            return {
                i: Wanted(i, tuple(entry["missing"]), tuple(entry.get("possible_ancestors") or ()))
                for i, entry in told.items()
                if i in asked and entry["missing"]
            }

    async def write(self, revisions: Sequence[Revision], source: HasAttachments) -> Written:
        """Stores revisions as they are. `source` has their attachments."""
        done = Written()
        batch, size = list[str](), 0
        for revision in revisions:
            if revision.attachments:
                continue
            text = revision.full_text()
            if batch and size + len(text) > PAGE_BYTES:
                done.refused += await self._write_texts(batch)
                batch, size = [], 0
            batch.append(text)
            size += len(text)
        if batch:
            done.refused += await self._write_texts(batch)
        # A few at a time: each may hold attachments in memory.
        with_files = [revision for revision in revisions if revision.attachments]
        for one in await gather(lambda r: multipart.write(self._session, r, source), with_files, AT_ONCE):
            done.add(one)
        return done

    async def mark(self, peer_id: str, revisions: Iterable[tuple[str, str]]) -> None:
        """What the other side has is noted there alone."""

    async def _write_texts(self, texts: Sequence[str]) -> list[Refusal]:
        body = f'{{"new_edits":false,"docs":[{",".join(texts)}]}}'.encode()
        try:
            told = await self._session.json("POST", "/_bulk_docs", body=body)
        except PeerTooLarge:
            if len(texts) > 1:
                half = len(texts) // 2
                return await self._write_texts(texts[:half]) + await self._write_texts(texts[half:])
            document = orjson.loads(texts[0])
            return [Refusal(document["_id"], document["_rev"], "too_large", "the document is too large")]
        with self._shape():
            return self._refusals(told)

    def _refusals(self, told: Any) -> list[Refusal]:
        if not isinstance(told, list):
            raise TypeError("_bulk_docs")
        failed = [entry for entry in told if entry.get("error") and entry["error"] != "conflict"]
        raise_passing(((str(e["error"]), str(e.get("reason", ""))) for e in failed), self._session.where)
        return [
            Refusal(str(e.get("id")), str(e.get("rev", "")), str(e["error"]), str(e.get("reason", "")))
            for e in failed
        ]

    @contextlib.contextmanager
    def _shape(self) -> Any:
        """An answer of the wrong shape is the peer's error, never ours."""
        try:
            yield
        except PeerError:
            raise
        except (*_NOT_A_SHAPE, InvalidValue) as error:
            raise PeerGarbage(
                f"{self._session.where} answers in another form than CouchDB's.",
                details=type(error).__name__,
                hint=NO_COUCHDB,
            ) from error


def _row(entry: Any) -> Row:
    changes, document, document_id = entry["changes"], entry.get("doc"), entry["id"]
    revs = (changes[0]["rev"],) if len(changes) == 1 else tuple([change["rev"] for change in changes])
    if not revs or not isinstance(document_id, str):
        raise TypeError("changes")
    whole = None
    if document and document.get("_id") == document_id and has_whole_history(document, revs):
        whole = parsed_revision(document)
    return Row(document_id, revs, entry.get("deleted") is True, whole)


def _found(entries: Iterable[Any]) -> list[Revision]:
    """The documents of `_bulk_get` or `open_revs`. With `latest` one leaf may come for several asked."""
    found = [parsed_revision(entry["ok"]) for entry in entries if "ok" in entry]
    return list({(revision.id, revision.rev): revision for revision in found}.values())
