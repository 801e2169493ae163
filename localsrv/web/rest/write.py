"""POST, PATCH, PUT and DELETE of a collection's rows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

import orjson
from aiohttp import hdrs, web

from localsrv.base.errors import BadRequest, PreconditionFailed
from localsrv.model.query import Select
from localsrv.model.scopes import read
from localsrv.store.database import Database, InsertOptions, UpdateOptions, WriteResult
from localsrv.store.query_table import TableInfo
from localsrv.web.context import database, param, require
from localsrv.web.rest.answers import answer, body_of, content_range, not_singular
from localsrv.web.rest.bodies import Row, read_object, read_rows, with_columns
from localsrv.web.rest.identity import identity_of_pairs
from localsrv.web.rest.media import Form, negotiate
from localsrv.web.rest.parameters import query_pairs, read_select
from localsrv.web.rest.preferences import NONE, Preferences, Return, parse_preferences
from localsrv.web.rest.read import check_schema
from localsrv.web.users import reviewer

_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*").fullmatch
"""What a URL's query holds as it is, such as a UUID."""


@dataclass(slots=True)
class _Write:
    """What all writes begin with."""

    db: Database
    table: TableInfo
    form: Form
    preferences: Preferences
    pairs: list[tuple[str, str]]
    select: Select

    @property
    def returning(self) -> Select | None:
        """What to answer with; nothing unless the rows are wanted."""
        return self.select if self.preferences.returns is Return.REPRESENTATION else None

    @property
    def max_affected(self) -> int | None:
        if self.form.is_object and self.returning is not None:
            return 1
        return self.preferences.max_affected


def _begin(request: web.Request) -> _Write:
    """Raises Forbidden when the write tells what is stored, and the grant may not read.

    As in PostgreSQL, that is when rows are returned or chosen by what they hold: the number of rows that a
    filter found answers a question about them. The revision in `If-Match` is a hash of the content.
    """
    headers = request.headers
    db = database(request)
    name = param(request, "collection")
    table = db.collection(name).info
    check_schema(headers.get("Content-Profile"))
    preferences = parse_preferences(headers.getall("Prefer", ()))
    pairs = query_pairs(request.raw_path.partition("?")[2])
    select = read_select(pairs, None, None)
    chooses = request.method in ("PATCH", "DELETE") and (
        select.shape.where or select.shape.order or select.limit is not None or select.offset
    )
    if chooses or preferences.returns is Return.REPRESENTATION or headers.get(hdrs.IF_MATCH, "*") != "*":
        require(request, read(name))
    return _Write(db, table, negotiate(headers.get(hdrs.ACCEPT)), preferences, pairs, select)


async def post_rows(request: web.Request) -> web.Response:
    """Inserts rows, or with `Prefer: resolution=` merges or skips those that exist."""
    write = _begin(request)
    rows = await read_rows(request)
    _check_revisions(request, rows)
    if write.select.columns is not None:
        keep = write.preferences.missing_default
        rows = with_columns(rows, write.select.columns, write.table, keep_defaults=keep)
    if write.form.is_object and write.returning is not None and len(rows) != 1:
        raise not_singular(len(rows))
    review = await reviewer(request, write.table.name)
    result = await write.db.insert(write.table.name, rows, _insert_options(write), review)
    location = None
    if len(rows) == 1 and result.ids and result.ids[0]:
        location = _location(request, write.table, result.ids[0])
    created = result.created > 0 or write.preferences.resolution == "error"
    total = result.affected if write.preferences.count is not None else None
    return _answer(write, result, 201 if created else 200, f"*/{'*' if total is None else total}", location)


def _check_revisions(request: web.Request, rows: list[Row]) -> None:
    """A `_rev` in the body asks what `If-Match` does. Raises Forbidden."""
    if any("_rev" in row for row in rows):
        require(request, read(param(request, "collection")))


def _insert_options(write: _Write) -> InsertOptions | None:
    preferences, on_conflict = write.preferences, write.select.on_conflict
    if preferences is NONE and on_conflict is None:
        return None
    return InsertOptions(preferences.resolution, on_conflict, write.returning, preferences.rollback)


async def patch_rows(request: web.Request) -> web.Response:
    """Changes fields of every row that the filters choose."""
    write = _begin(request)
    changes = await read_object(request)
    _check_revisions(request, [changes])
    if write.select.columns is not None:
        changes = with_columns([changes], write.select.columns, write.table, keep_defaults=True)[0]
    result = await _change(request, write, changes)
    total = result.affected if write.preferences.count is not None else None
    status = 200 if write.returning is not None else 204
    return _answer(write, result, status, content_range(0, result.affected, total))


async def delete_rows(request: web.Request) -> web.Response:
    """Deletes every row that the filters choose."""
    write = _begin(request)
    result = await _change(request, write, None)
    total = result.affected if write.preferences.count is not None else None
    status = 200 if write.returning is not None else 204
    return _answer(write, result, status, f"*/{'*' if total is None else total}")


async def _change(request: web.Request, write: _Write, changes: Row | None) -> WriteResult:
    """Runs a PATCH, or without `changes` a DELETE."""
    if_match = request.headers.get(hdrs.IF_MATCH)
    options = UpdateOptions(
        if_match=None if if_match in (None, "*") else _revision(if_match),
        returning=write.returning,
        max_affected=write.max_affected,
        rollback=write.preferences.rollback,
    )
    name, review = write.table.name, await reviewer(request, write.table.name)
    try:
        if changes is None:
            result = await write.db.delete(name, write.select, options, review)
        else:
            result = await write.db.update(name, write.select, changes, options, review)
    except BadRequest as error:
        if error.code == "max-affected" and write.max_affected != write.preferences.max_affected:
            raise not_singular("more than one") from error
        raise
    if if_match is not None and result.affected == 0:
        raise PreconditionFailed("The row does not exist, or no longer.", hint="Read it again.")
    return result


def _revision(if_match: str) -> str:
    """The revision in `If-Match`. Raises BadRequest for several: a row has one winner."""
    tags = [tag.strip() for tag in if_match.split(",")]
    if len(tags) != 1 or not tags[0]:
        raise BadRequest("If-Match must name one revision.", hint='Send If-Match: "<_rev>" or *.')
    return tags[0].removeprefix("W/").strip('"')


async def put_row(request: web.Request) -> web.Response:
    """Creates or updates the one row that the filters and the body both name by its key."""
    write = _begin(request)
    if write.select.limit is not None or write.select.offset:
        raise BadRequest("limit/offset querystring parameters are not allowed for PUT", code="put-with-page")
    row = await read_object(request)
    _check_revisions(request, [row])
    named = identity_of_pairs([p for p in write.pairs if p[0] not in ("select", "columns")], write.table)
    if named is None:
        raise _put_error("Filters must include all and only primary key columns with 'eq' operators")
    literals = {n: v[3:] for n, v in write.pairs if n in write.table.identity}
    for name, literal in literals.items():
        if name not in row:
            row[name] = literal
        elif _spelt(row[name]) != literal:
            raise _put_error("Payload values do not match URL in primary key column(s)")
    if_match = request.headers.get(hdrs.IF_MATCH)
    if if_match is not None and if_match != "*":
        row["_rev"] = _revision(if_match)
    options = InsertOptions(
        resolution="merge", returning=write.returning, rollback=write.preferences.rollback
    )
    review = await reviewer(request, write.table.name)
    result = await write.db.insert(write.table.name, [row], options, review)
    fresh = result.created > 0
    status = 201 if fresh else 200 if write.returning is not None else 204
    location = _location(request, write.table, result.ids[0]) if fresh else None
    return _answer(write, result, status, None, location)


def _put_error(message: str) -> BadRequest:
    return BadRequest(message, code="put-key-mismatch")


def _spelt(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _location(request: web.Request, table: TableInfo, row_id: str) -> str:
    """The relative address of one row, by its key."""
    names, path = table.identity, request.raw_path.partition("?")[0]
    if len(names) == 1:
        return f"{path}?{_quoted(names[0])}=eq.{_quoted(row_id)}"
    pairs = zip(names, orjson.loads(row_id), strict=True)
    return f"{path}?{'&'.join(f'{_quoted(n)}=eq.{_quoted(_spelt(value))}' for n, value in pairs)}"


def _quoted(text: str) -> str:
    return text if _PLAIN(text) else quote(text, safe="")


def _answer(
    write: _Write, result: WriteResult, status: int, range_text: str | None, location: str | None = None
) -> web.Response:
    body = None
    if write.returning is not None:
        body = body_of(result.rows, write.form, write.select, write.table)
    return answer(
        body, write.form, write.preferences, status=status, range_text=range_text, location=location
    )
