"""What design documents have a say in: every write (`validate_doc_update`) and change feeds (filters).

Design documents come with replication, so whoever may write them decides what their functions are; the
functions run in child processes (`javascript`). Source: CouchDB's docs, «Design Functions», and where they
are silent `couch_query_servers.erl` and `couch_db.erl`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import orjson

from localsrv.base.errors import DesignError, LocalsrvError
from localsrv.javascript.pool import JavaScript, Program
from localsrv.javascript.worker import JavaScriptError
from localsrv.model.design_document import (
    JAVASCRIPT,
    PREFIX,
    DesignDocument,
    check_design,
    parse_design,
    sources,
)
from localsrv.model.revisions import ancestry, parse_revision
from localsrv.store.catalog import CollectionState
from localsrv.store.database import AllDocs, Database, Document, Edit
from localsrv.store.reading import AttachmentInfo
from localsrv.store.review import Rehearsal, Review, Written
from localsrv.store.view_source import stubs_text

_BEHIND_DESIGN = "_design0"
"""The first id that is behind every design document's."""

_PATH_SHOWN = 20
"""Ancestors that a function is shown: CouchDB's `revs_limit` for query servers."""

_OPEN_SECURITY: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class UserContext:
    """Who writes, as functions are told (`userCtx`)."""

    name: str | None
    roles: tuple[str, ...] = ()

    def text(self, db: str) -> str:
        return orjson.dumps({"db": db, "name": self.name, "roles": self.roles}).decode()


ADMIN = UserContext("owner", ("_admin",))
"""The server itself, on behalf of its owner: replication, for one."""


class Design:
    """The design documents of all apps."""

    def __init__(self, javascript: JavaScript) -> None:
        self._javascript = javascript
        self._known: WeakKeyDictionary[Database, dict[int, tuple[int, Mapping[str, DesignDocument]]]] = (
            WeakKeyDictionary()
        )

    # ── the documents ──────────────────────────────────────────────────────────────────────────────────────

    async def documents(self, database: Database, name: str) -> Mapping[str, DesignDocument]:
        """The live design documents of a collection by id."""
        seq = database.design_seq(name)
        if seq == 0:
            return {}
        known = self._known.setdefault(database, {})
        number = database.collection(name).number
        found = known.get(number)
        if found is None or found[0] != seq:
            page = await database.all_docs(name, AllDocs(PREFIX, _BEHIND_DESIGN, with_bodies=True))
            designs = {d.id: parse_design(d.id, orjson.loads(d.body or "{}"), d.rev) for d in page.rows}
            found = known[number] = (seq, designs)
        return found[1]

    async def document(self, database: Database, name: str, document_id: str) -> DesignDocument:
        """One live design document. Raises DesignError (404, `not_found`)."""
        found = (await self.documents(database, name)).get(document_id)
        if found is None:
            gone = database.get_document(name, document_id)
            raise DesignError("not_found", "missing" if gone is None else "deleted", status=404)
        return found

    # ── writes ─────────────────────────────────────────────────────────────────────────────────────────────

    async def check_updates(
        self,
        database: Database,
        name: str,
        edits: Sequence[Edit],
        user: UserContext,
        *,
        new_edits: bool = True,
    ) -> list[LocalsrvError | None]:
        """Why each edit is refused, or None.

        Design documents are looked at themselves (their form, and whether their functions compile), as in
        CouchDB by nobody else's `validate_doc_update`.
        """
        refused: list[LocalsrvError | None] = [None] * len(edits)
        ordinary: list[int] = []
        for at, edit in enumerate(edits):
            if not edit.id.startswith(PREFIX):
                ordinary.append(at)
            elif not edit.deleted:
                refused[at] = await self._why_no_design(database, name, edit)
        validators = await self._validators(database, name) if ordinary else []
        if not validators:
            return refused
        candidates = [_candidate(database, name, edits[at], new_edits=new_edits) for at in ordinary]
        answers = await self._ask(database, name, validators, user, candidates)
        for at, answer in zip(ordinary, answers, strict=True):
            refused[at] = answer
        return refused

    async def reviewer(self, database: Database, name: str, user: UserContext) -> Review | None:
        """Who has a say in what statements write into a collection; None where nobody has.

        A statement is refused whole. Rows of other collections that relations take along are looked at too.

        The returned review raises DesignError: what the function said, `details` naming the document. Its
        own failure is a JavaScriptError.
        """
        if not database.has_design_documents:
            return None
        database.collection(name)
        for reached in _reach(database.collections, name):
            if await self._validators(database, reached):
                return partial(self._review, database, user)
        return None

    async def _review(self, database: Database, user: UserContext, rehearsal: Rehearsal) -> None:
        by_collection: dict[str, list[Written]] = {}
        for one in rehearsal.written:
            by_collection.setdefault(one.collection, []).append(one)
        for name, written in by_collection.items():
            validators = await self._validators(database, name)
            if not validators:
                continue
            earlier: dict[tuple[str, str], Document] = {}
            candidates = [_rehearsed(database, one, rehearsal.contents, earlier) for one in written]
            answers = await self._ask(database, name, validators, user, candidates)
            for one, refusal in zip(written, answers, strict=True):
                if refusal is not None:
                    refusal.details = f"{name}/{one.id[:200]}"
                    refusal.hint = f"A rule that came with `{name}` (validate_doc_update) says so."
                    raise refusal

    async def _validators(self, database: Database, name: str) -> list[DesignDocument]:
        if database.design_seq(name) == 0:
            return []
        return [d for d in (await self.documents(database, name)).values() if d.validates]

    async def _ask(
        self,
        database: Database,
        name: str,
        validators: Sequence[DesignDocument],
        user: UserContext,
        candidates: Sequence[bytes],
    ) -> list[LocalsrvError | None]:
        """Why each candidate is refused by one of the design documents, or None."""
        security = orjson.dumps(database.setting(name, "security") or _OPEN_SECURITY).decode()
        options = {"user": user.text(name), "security": security}
        refused: list[LocalsrvError | None] = [None] * len(candidates)
        for design in validators:
            asked = [at for at, refusal in enumerate(refused) if refusal is None]
            answers = await self._validate(database, name, design, options, [candidates[at] for at in asked])
            for at, answer in zip(asked, answers, strict=True):
                refused[at] = answer
        return refused

    async def _validate(
        self,
        database: Database,
        name: str,
        design: DesignDocument,
        options: Mapping[str, Any],
        candidates: Sequence[bytes],
    ) -> list[LocalsrvError | None]:
        if not candidates:
            return []
        program = program_of(database, name, design)
        try:
            answers = await self._javascript.run(program, "validate", options, candidates)
        except JavaScriptError as error:
            if len(candidates) > 1:  # one candidate's failure must not be its neighbours'
                return [
                    answer
                    for one in candidates
                    for answer in await self._validate(database, name, design, options, [one])
                ]
            return [error]
        return [None if answer is None else _refusal(answer) for answer in answers]

    async def _why_no_design(self, database: Database, name: str, edit: Edit) -> LocalsrvError | None:
        try:
            check_design(edit.document)
            await self._compile(database, name, edit)
        except DesignError as error:
            return error
        return None

    async def _compile(self, database: Database, name: str, edit: Edit) -> None:
        functions = sources(edit.document)
        if not functions:
            return
        design = parse_design(edit.id, edit.document)
        program = program_of(database, name, design)
        lines = [orjson.dumps(source) for _, _, source in functions]
        try:
            answers = await self._javascript.run(program, "compile", {"every_ms": 0}, lines)
        except JavaScriptError as error:
            raise DesignError("compilation_error", error.message, status=400) from error
        for (kind, view, _), answer in zip(functions, answers, strict=True):
            if answer is not None:
                reason = f"Compilation of the {kind} function in the '{view}' view failed: {answer[1]}"
                raise DesignError("compilation_error", reason, status=400)

    # ── change feeds ───────────────────────────────────────────────────────────────────────────────────────

    async def filter_changes(
        self,
        database: Database,
        name: str,
        path: str,
        documents: Sequence[str],
        request: Mapping[str, Any] | None = None,
        *,
        by_view: bool = False,
    ) -> list[bool]:
        """Which documents (JSON texts) a filter function lets through; `by_view`: a view emits anything for.

        `path` is `design document/function`, without `_design/`.

        Raises:
            DesignError: there is no such function (404), or it failed.
        """
        design_name, slash, function = path.partition("/")
        if not slash or not function:
            what = "view" if by_view else "filter"
            reason = f"`{what}` parameter must be of the form `designname/{what}name`"
            raise DesignError("bad_request", reason, status=400)
        design = await self.document(database, name, PREFIX + design_name)
        if design.language != JAVASCRIPT:
            raise DesignError("unknown_query_language", design.language)
        functions = design.fields.get("views" if by_view else "filters")
        if not isinstance(functions, dict) or function not in functions:
            raise DesignError("not_found", f"missing json key: {function}", status=404)
        if not documents:
            return []
        options: dict[str, Any] = {"view": function}
        if not by_view:
            options = {"filter": function, "request": orjson.dumps(request or {}).decode()}
        answers = await self._javascript.run(
            program_of(database, name, design),
            "filter_view" if by_view else "filter",
            options,
            [text.encode() for text in documents],
        )
        return [bool(answer) for answer in answers]


def program_of(database: Database, name: str, design: DesignDocument) -> Program:
    """A design document's own functions; two collections never share a context."""
    app = database.path.parent
    return Program(
        f"{app} {name} functions {design.text_signature}",
        f"{app.name}/{name}/{design.id}",
        orjson.dumps({"_id": design.id, "_rev": design.rev, **design.fields}),
    )


def _refusal(answer: Any) -> DesignError:
    error, reason = answer
    text = reason if isinstance(reason, str) else orjson.dumps(reason).decode()
    return DesignError(str(error), text, status={"forbidden": 403, "unauthorized": 401}.get(error, 500))


def _candidate(database: Database, name: str, edit: Edit, *, new_edits: bool) -> bytes:
    """`[new document, old document or null]` as JSON."""
    path = list(edit.path) if not new_edits else _ancestors(database, name, edit.id, edit.parent)
    old = _old(database, name, edit.id, path if new_edits else path[1:])
    stubs: dict[str, Any] = {
        a.name: {"content_type": a.content_type, "revpos": a.revpos, "length": a.blob.length, "stub": True}
        for a in edit.attachments
    }
    if edit.kept and old is not None:
        there: dict[str, Any] = orjson.loads(stubs_text(old.attachments))
        stubs |= {kept: there[kept] for kept in edit.kept if kept in there}
    new = _new(edit.id, path, edit.document, deleted=edit.deleted, stubs=stubs)
    return b"[" + new + b"," + _text(old) + b"]"


def _rehearsed(
    database: Database,
    one: Written,
    contents: Mapping[bytes, tuple[int, bytes]],
    earlier: dict[tuple[str, str], Document],
) -> bytes:
    """As `_candidate`, of a revision that a statement would write.

    `earlier` are those that the same statement wrote before it, and gets this one.
    """
    before = None if one.parent is None else earlier.get((one.id, one.parent))
    path = _ancestors(database, one.collection, one.id, one.parent)
    old = before or _old(database, one.collection, one.id, path)
    if old is not None and old.deleted:  # the statement does not know that there was one, as in CouchDB
        path, old = [], None
    generation = parse_revision(one.revision)[0]
    infos = tuple(
        AttachmentInfo(a.name, a.content_type, length, a.sha256, md5, a.revpos or generation)
        for a in one.attachments
        for length, md5 in [contents[a.sha256]]
    )
    document = Document(one.id, one.revision, one.deleted, orjson.dumps(one.document).decode(), infos)
    earlier[one.id, one.revision] = document
    new = _new(one.id, path, one.document, deleted=one.deleted, stubs=orjson.loads(stubs_text(infos)))
    return b"[" + new + b"," + _text(old) + b"]"


def _new(
    document_id: str,
    path: Sequence[str],
    fields: Mapping[str, Any],
    *,
    deleted: bool,
    stubs: Mapping[str, Any],
) -> bytes:
    new: dict[str, Any] = {"_id": document_id}
    if path:
        new["_rev"] = path[0]
    if deleted:
        new["_deleted"] = True
    if path:
        new["_revisions"] = {
            "start": parse_revision(path[0])[0],
            "ids": [parse_revision(r)[1] for r in path[:_PATH_SHOWN]],
        }
    if stubs:
        new["_attachments"] = stubs
    return orjson.dumps({**new, **fields})


def _reach(states: Mapping[str, CollectionState], name: str) -> list[str]:
    """The collections whose rows a change of one's rows may change: those that refer to it, and so on."""
    found = [name]
    for target in found:
        found += [
            other
            for other, state in states.items()
            if other not in found and any(r.to == target for r in state.definition.relations)
        ]
    return found


def _ancestors(database: Database, name: str, document_id: str, parent: str | None) -> list[str]:
    if parent is None:
        return []
    known = database.revisions(name, document_id)
    return (list(ancestry(known.tree, parent)) if known else []) or [parent]


def _old(database: Database, name: str, document_id: str, path: Sequence[str]) -> Document | None:
    """What an edit changes: the nearest of its ancestors that is known here."""
    for revision in path[:_PATH_SHOWN]:
        found = database.get_document(name, document_id, revision)
        if found is not None and found.body is not None:
            return found
    return None


def _text(document: Document | None) -> bytes:
    if document is None:
        return b"null"
    head: dict[str, Any] = {"_id": document.id, "_rev": document.rev}
    if document.deleted:
        head["_deleted"] = True
    if document.attachments:
        head["_attachments"] = orjson.loads(stubs_text(document.attachments))
    body = (document.body or "{}").encode()
    front = orjson.dumps(head)
    return front if len(body) <= 2 else front[:-1] + b"," + body[1:]
