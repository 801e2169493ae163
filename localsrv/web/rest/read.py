"""GET and HEAD of a collection's rows."""

from __future__ import annotations

import orjson
from aiohttp import hdrs, web
from multidict import istr

from localsrv.base.errors import NotAcceptable
from localsrv.store.database import Database
from localsrv.store.query_table import TableInfo
from localsrv.web.context import database, param
from localsrv.web.rest.answers import answer, body_of, content_range, page_status
from localsrv.web.rest.identity import Pairs, identity_of_pairs, plain_columns
from localsrv.web.rest.media import PLAIN, Form, negotiate
from localsrv.web.rest.parameters import query_pairs, read_select
from localsrv.web.rest.preferences import NONE, Preferences, parse_preferences

_ACCEPT_PROFILE, _PREFER = istr("Accept-Profile"), istr("Prefer")


async def get_rows(request: web.Request) -> web.Response:
    """Rows of a collection, filtered, ordered and paged by the query string."""
    headers = request.headers
    db = database(request)
    name = param(request, "collection")
    table = db.collection(name).info
    check_schema(headers.get(_ACCEPT_PROFILE))
    form = negotiate(headers.get(hdrs.ACCEPT))
    pairs = query_pairs(request.raw_path.partition("?")[2])
    preferences = parse_preferences(headers.getall(_PREFER)) if _PREFER in headers else NONE
    if preferences is NONE and not form.is_csv:
        single = identity_of_pairs(pairs, table)
        if single is not None and hdrs.RANGE not in headers:
            found = _by_identity(request, db, table, single[0], single[1], form)
            if found is not None:
                return found
    return await _query(request, db, table, pairs, form, preferences)


def check_schema(profile: str | None) -> None:
    """Raises NotAcceptable: there is one schema, `public`, for clients that name it."""
    if profile is not None and profile != "public":
        raise NotAcceptable(
            f"Invalid schema: {profile[:100]}", code="unknown-schema", hint="The only schema is public."
        )


def _by_identity(
    request: web.Request, db: Database, table: TableInfo, row_id: str, select: str, form: Form
) -> web.Response | None:
    """The answer for one row that exists, read on the event loop; None leaves it to the ordinary way."""
    columns = () if select in ("*", "") else plain_columns(select, table)
    if columns is None:
        return None
    row = db.get_row(table.name, row_id)
    if row is None:
        return None
    text, revision = row
    if is_unchanged(request.headers.get(hdrs.IF_NONE_MATCH), revision):
        return answer(None, form, NONE, status=304, etag=revision)
    if columns:
        document = orjson.loads(text)
        document["_rev"] = revision
        text = orjson.dumps({name: document.get(name) for name in columns}).decode()
    body = f"[{text}]".encode() if form is PLAIN else body_of([text], form, _STAR, table)
    return answer(body, form, NONE, range_text="0-0/*", etag=revision)


_STAR = read_select([], None, None)


def is_unchanged(if_none_match: str | None, revision: str) -> bool:
    """Whether the client's `If-None-Match` names this revision; weak and strong tags are alike here."""
    if if_none_match is None:
        return False
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in if_none_match.split(",")]
    return revision in tags or "*" in tags


async def _query(
    request: web.Request, db: Database, table: TableInfo, pairs: Pairs, form: Form, preferences: Preferences
) -> web.Response:
    select = read_select(pairs, request.headers.get(hdrs.RANGE), preferences.count)
    page = await db.select(table.name, select)
    status = page_status(select.offset, len(page.rows), page.total)
    return answer(
        body_of(page.rows, form, select, table),
        form,
        preferences,
        status=status,
        range_text=content_range(select.offset, len(page.rows), page.total),
    )
