"""What design documents have a say in: every write (`validate_doc_update`) and change feeds (filters).

Design documents come with replication, so whoever may write them decides what their functions are; the
functions run in child processes (`javascript`). Source: CouchDB's docs, «Design Functions», and where they
are silent `couch_query_servers.erl` and `couch_db.erl`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from localsrv.store.database import AllDocs, Database, Document, Edit
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
        if not ordinary or database.design_seq(name) == 0:
            return refused
        validators = [d for d in (await self.documents(database, name)).values() if d.validates]
        if not validators:
            return refused
        candidates = [_candidate(database, name, edits[at], new_edits=new_edits) for at in ordinary]
        security = orjson.dumps(database.setting(name, "security") or _OPEN_SECURITY).decode()
        options = {"user": user.text(name), "security": security}
        for design in validators:
            asked = [n for n, at in enumerate(ordinary) if refused[at] is None]
            answers = await self._validate(database, name, design, options, [candidates[n] for n in asked])
            for n, answer in zip(asked, answers, strict=True):
                refused[ordinary[n]] = answer
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
    path = list(edit.path) if not new_edits else _ancestors(database, name, edit)
    new: dict[str, Any] = {"_id": edit.id}
    if path:
        new["_rev"] = path[0]
    if edit.deleted:
        new["_deleted"] = True
    if path:
        new["_revisions"] = {
            "start": parse_revision(path[0])[0],
            "ids": [parse_revision(r)[1] for r in path[:_PATH_SHOWN]],
        }
    old = _old(database, name, edit, path if new_edits else path[1:])
    stubs: dict[str, Any] = {
        a.name: {"content_type": a.content_type, "revpos": a.revpos, "length": a.blob.length, "stub": True}
        for a in edit.attachments
    }
    if edit.kept and old is not None:
        there: dict[str, Any] = orjson.loads(stubs_text(old.attachments))
        stubs |= {kept: there[kept] for kept in edit.kept if kept in there}
    if stubs:
        new["_attachments"] = stubs
    return b"[" + orjson.dumps({**new, **edit.document}) + b"," + _text(old) + b"]"


def _ancestors(database: Database, name: str, edit: Edit) -> list[str]:
    if edit.parent is None:
        return []
    known = database.revisions(name, edit.id)
    return (list(ancestry(known.tree, edit.parent)) if known else []) or [edit.parent]


def _old(database: Database, name: str, edit: Edit, path: Sequence[str]) -> Document | None:
    """What the edit changes: the nearest of its ancestors that is known here."""
    for revision in path[:_PATH_SHOWN]:
        found = database.get_document(name, edit.id, revision)
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
