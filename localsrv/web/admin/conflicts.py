"""/api/v1/apps/{app}/conflicts: documents in conflict, what their sides say, and settling them by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

import orjson
from aiohttp import web

from localsrv.base.errors import BadRequest, InvalidValue, NotFound
from localsrv.model.differences import ABSENT, Difference, differences, same
from localsrv.model.merge import ATTACHMENTS, live_leaves
from localsrv.model.merge_base import History, Version
from localsrv.model.scopes import read, write
from localsrv.services.conflicts import taken_over
from localsrv.store.conflicts import leaves_changed
from localsrv.store.database import Database, Edit
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import ANY_VALUE, FLAG, TEXT, TEXT_OR_NULL, Json, array, obj
from localsrv.web.body import read_object
from localsrv.web.context import app, database, grant, require
from localsrv.web.routes import ANY, Route
from localsrv.web.users import reviewer

USUAL_LIMIT = 20
HIGHEST_LIMIT = 200


async def list_conflicts(request: web.Request) -> web.Response:
    """A page goes through the collections by name, and through each by id."""
    db, query = database(request), request.query
    if (wanted := query.get("id")) is not None:
        if "collection" not in query:
            raise BadRequest("`id` needs `collection` beside it.", details="id")
        (name,) = _readable(request, query["collection"])
        return json_answer({"conflicts": await _described(db, name, [wanted]), "next": None})
    limit, place = _limit(query.get("limit")), _place(query.get("after"))
    found: list[Json] = []
    following = None
    for name in _readable(request, query.get("collection")):
        if name < place[0]:
            continue
        room = limit - len(found)
        start = place[1] if name == place[0] else None
        ids = [document.id for document in await db.conflicts(name, start, room + 1)]
        found += await _described(db, name, ids[:room])
        if ids[:room]:
            place = (name, ids[:room][-1])
        if len(ids) > room:
            following = "/".join(quote(part, safe="") for part in place)
            break
    return json_answer({"conflicts": found, "next": following})


def _readable(request: web.Request, wanted: str | None) -> list[str]:
    known = database(request).collections
    if wanted is not None:
        require(request, read(wanted))
        database(request).collection(wanted)
        return [wanted]
    here, holder = app(request), grant(request)
    return sorted(name for name in known if holder.allows(here.id, read(name)))


def _limit(text: str | None) -> int:
    if text is None:
        return USUAL_LIMIT
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and 0 < int(text) <= HIGHEST_LIMIT):
        raise InvalidValue(f"`limit` must be 1 to {HIGHEST_LIMIT}.", details="limit")
    return int(text)


def _place(text: str | None) -> tuple[str, str]:
    collection, slash, document_id = (text or "/").partition("/")
    if not slash:
        raise InvalidValue("`after` is none that a page gave as `next`.", details="after")
    return unquote(collection), unquote(document_id)


async def _described(db: Database, name: str, ids: list[str]) -> list[Json]:
    policy = db.collection(name).definition.conflict.value
    found = await db.examine(name, ids, _conflict)
    # One that was settled since its id was read is none any more.
    return [{"collection": name, "policy": policy, **one} for one in found if len(one["sides"]) > 1]


def _conflict(document_id: str, history: History) -> Json:
    live = live_leaves(history.tree)
    versions = {revision: history.version(revision) or Version({}) for revision in live}
    ancestor = history.common(live) if live else None
    before = None if ancestor is None else history.version(ancestor)
    return {
        "id": document_id,
        "ancestor": None
        if ancestor is None
        else {"rev": ancestor, "document": None if before is None else before.body},
        "sides": [
            {"rev": revision, "document": version.body, "attachments": _files(version)}
            for revision, version in versions.items()
        ],
        "differences": [_difference(found, live) for found in _differences(before, list(versions.values()))],
    }


def _files(version: Version) -> dict[str, Json]:
    return {
        name: {"content_type": content_type, "sha256": sha256}
        for name, (content_type, sha256) in version.attachments.items()
    }


def _differences(before: Version | None, sides: list[Version]) -> list[Difference]:
    fields = differences(before.body if before else None, *(side.body for side in sides))
    files = [_whole_files(side) for side in sides]
    return fields + differences(_whole_files(before) if before else None, *files)


def _whole_files(version: Version) -> Mapping[str, Any]:
    """Attachments as one value each, below a name that no field can have."""
    return {ATTACHMENTS: {name: list(found) for name, found in version.attachments.items()}}


def _difference(found: Difference, live: list[str]) -> Json:
    """`disputed`: merging cannot bring it together, since not only one side changed it."""
    shown: Json = {
        "path": list(found.path),
        "sides": [{"rev": r, **_value(found, v)} for r, v in zip(live, found.values, strict=True)],
        "disputed": _is_disputed(found),
    }
    if found.ancestor is not ABSENT:
        shown["ancestor"] = _value(found, found.ancestor)["value"]
    return shown


def _value(found: Difference, value: Any) -> Json:
    if value is ABSENT:
        return {}
    if found.path[0] == ATTACHMENTS:
        return {"value": {"content_type": value[0], "sha256": value[1]}}
    return {"value": value}


def _is_disputed(found: Difference) -> bool:
    changed = [value for value in found.values if not same(value, found.ancestor)]
    return any(not same(value, changed[0]) for value in changed)


# ── settling by hand ───────────────────────────────────────────────────────────────────────────────────────


async def resolve_conflict(request: web.Request) -> web.Response:
    body = await read_object(
        request, collection=str, id=str, leaves=list, choose=str, document=dict, attachments=dict
    )
    name, document_id, leaves = (_member(body, key) for key in ("collection", "id", "leaves"))
    require(request, write(name))
    db = database(request)
    if not all(isinstance(leaf, str) for leaf in leaves):
        raise InvalidValue("`leaves` must be the revisions that stand in conflict.", details="leaves")
    if ("choose" in body) == ("document" in body):
        raise BadRequest("Either `choose` a revision or send a `document`.")
    known = db.revisions(name, document_id)
    live = live_leaves(known.tree) if known is not None else []
    if not live:
        raise NotFound("There is no such document.", code="document-not-found", details=document_id[:200])
    if frozenset(leaves) != frozenset(live) or len(live) < 2:
        raise leaves_changed(live)
    # Leaves that come up from here on are found by the store, in the operation that writes.
    review = await reviewer(request, name)
    edit = _edit(db, name, document_id, live, body)
    revision = await db.resolve(name, frozenset(leaves), edit, review)
    return json_answer({"rev": revision, "ended": live[1:]})


def _member(body: Mapping[str, Any], name: str) -> Any:
    if name not in body:
        raise BadRequest(f"`{name}` is missing.", details=name)
    return body[name]


def _edit(db: Database, name: str, document_id: str, live: list[str], body: Mapping[str, Any]) -> Edit:
    if "choose" in body:
        chosen = _side(db, name, document_id, live, body["choose"])
        document, origins = chosen.body, dict.fromkeys(chosen.attachments, body["choose"])
    else:
        document = {k: v for k, v in body["document"].items() if k not in ("_id", "_rev", ATTACHMENTS)}
        if taken := next((k for k in document if k.startswith("_")), None):
            raise InvalidValue(f"`{taken}` cannot be a field's name.", details=taken)
        origins = _origins(db, name, document_id, live, body.get("attachments"))
    return Edit(
        document_id,
        document,
        kept=tuple(file for file, origin in origins.items() if origin == live[0]),
        attachments=tuple(
            taken_over(db, name, document_id, file, origin)
            for file, origin in origins.items()
            if origin != live[0]
        ),
    )


def _origins(
    db: Database, name: str, document_id: str, live: list[str], given: Mapping[str, Any] | None
) -> dict[str, str]:
    """Attachment → the leaf that it is taken from: as given, else the first that has one of that name."""
    if given is None:
        sides = [(leaf, _side(db, name, document_id, live, leaf)) for leaf in reversed(live)]
        return {file: leaf for leaf, side in sides for file in side.attachments}
    for file, leaf in given.items():
        if not isinstance(leaf, str) or file not in _side(db, name, document_id, live, leaf).attachments:
            raise InvalidValue(
                f"`{file[:200]}` is no attachment of that revision.", details=f"attachments.{file[:200]}"
            )
    return dict(given)


def _side(db: Database, name: str, document_id: str, live: list[str], revision: str) -> Version:
    found = db.get_document(name, document_id, revision) if revision in live else None
    if found is None or found.body is None:
        raise InvalidValue(
            f"{revision[:80]} is none of the revisions in conflict.", details=", ".join(live)[:1000]
        )
    files = {a.name: (a.content_type, a.sha256.hex()) for a in found.attachments}
    return Version(orjson.loads(found.body), files)


_SIDE = obj("*", rev=TEXT, document={"type": "object"}, attachments={"type": "object"})
_DIFFERENCE = obj(
    "path sides disputed",
    path=array(TEXT),
    ancestor=ANY_VALUE,
    sides=array(obj("rev", rev=TEXT, value=ANY_VALUE)),
    disputed=FLAG,
)
_CONFLICT = obj(
    "*",
    collection=TEXT,
    policy={"enum": ["keep", "merge", "latest"]},
    id=TEXT,
    ancestor={
        "anyOf": [
            obj("*", rev=TEXT, document={"type": ["object", "null"]}),
            {"type": "null"},
        ]
    },
    sides=array(_SIDE),
    differences=array(_DIFFERENCE),
)

ROUTES = (
    Route(
        "GET",
        "/api/v1/apps/{app}/conflicts",
        list_conflicts,
        ANY,
        "Documents in conflict: their common ancestor, all sides, and what differs, field by field",
        query={
            "collection": "only this one; without it, all that the token may read",
            "id": "only this document of the collection",
            "after": "`next` of the page before",
            "limit": f"at most this many, up to {HIGHEST_LIMIT}",
        },
        response=obj("*", conflicts=array(_CONFLICT), next=TEXT_OR_NULL),
    ),
    Route(
        "POST",
        "/api/v1/apps/{app}/conflicts",
        resolve_conflict,
        ANY,
        "Settles a conflict: one of its sides stands, or a document that is sent",
        request=obj(
            "collection id leaves",
            collection=TEXT,
            id=TEXT,
            leaves=array(TEXT),
            choose=TEXT,
            document={"type": "object"},
            attachments={"type": "object", "additionalProperties": TEXT},
        ),
        response=obj("*", rev=TEXT, ended=array(TEXT)),
    ),
)
