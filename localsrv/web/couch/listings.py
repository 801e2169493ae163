"""Lists of documents by id: the rows of `_all_docs`, `_design_docs` and `_local_docs`.

Source: `couch_mrview_http.erl` and `fabric_view_all_docs.erl`. Ids are ordered by code point. `stale`,
`stable`, `update` and `sorted` are accepted and change nothing: the list is always fresh and always sorted.
Long lists are read and sent page after page, so that memory stays bounded whatever their length; each page
is then of its own moment.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from localsrv.store.database import Database
from localsrv.store.listing import AllDocs
from localsrv.store.reading import Document
from localsrv.web.couch.answers import text_of
from localsrv.web.couch.contents import Segment
from localsrv.web.couch.errors import CouchError, query_parse_error
from localsrv.web.couch.id_ranges import IdRange, id_range, limited_to, without
from localsrv.web.couch.included import Included
from localsrv.web.couch.local import PREFIX as LOCAL
from localsrv.web.couch.local import local_text
from localsrv.web.couch.parameters import Parameters, flag, json_value, natural
from localsrv.web.couch.sequences import newest_seq, token_of

DESIGN = "_design/"

PAGE = 1000
"""Rows that are read at once; bodies are larger."""
PAGE_OF_BODIES = 200


@dataclass(frozen=True, slots=True)
class Listing:
    """One query. `keys` asks for these documents alone. `prefix` limits the list to ids that begin so."""

    range: IdRange
    keys: Sequence[Any] | None
    skip: int
    limit: int | None
    included: Included | None
    with_update_seq: bool
    prefix: str

    @classmethod
    def of(cls, parameters: Parameters, prefix: str, *, decoded: bool = False) -> Listing:
        """The query that parameters of a query string, or (`decoded`) of a JSON body, make.

        Raises:
            CouchError: a parameter that cannot be read, or two that exclude each other.
        """
        if "partition" in parameters:
            raise CouchError(400, "bad_request", "database is not partitioned")
        for name in ("stable", "sorted"):
            flag(parameters, name)
        keys = json_value(parameters, "keys", decoded=decoded)
        if keys is not None and not isinstance(keys, list):
            raise CouchError(400, "bad_request", "`keys` parameter must be an array.")
        chosen = id_range(parameters, decoded=decoded)
        if keys is not None and not (chosen.start is None and chosen.end is None):
            raise query_parse_error("`keys` is incompatible with `key`, `start_key` and `end_key`")
        included = Included.of(parameters)
        return cls(
            chosen,
            keys,
            natural(parameters, "skip", 0) or 0,
            natural(parameters, "limit"),
            included if flag(parameters, "include_docs") else None,
            flag(parameters, "update_seq"),
            prefix,
        )


# ── rows ───────────────────────────────────────────────────────────────────────────────────────────────────

Row = list[Segment]


async def listing_parts(db: Database, name: str, listing: Listing) -> AsyncGenerator[list[Segment], None]:
    """The whole answer to one query in parts. Raises NotFound before the first."""
    total: int | None = None
    offset: int | None = None
    if listing.prefix == LOCAL:
        pages = _local_pages(db, name, listing)
    elif listing.keys is not None:
        total, pages = _total(db, name, listing.prefix), _keyed_pages(db, name, listing, listing.keys)
    else:
        query = _first_page(listing)
        first = await db.all_docs(name, query)
        total = _total(db, name, listing.prefix)
        offset = min(first.offset, total)
        pages = _ranged_pages(db, name, listing, query, first.rows)
    head: dict[str, Any] = {"total_rows": total, "offset": offset}
    if listing.with_update_seq:
        head["update_seq"] = token_of(db, name, await newest_seq(db, name))
    yield [f'{text_of(head)[:-1]},"rows":['.encode()]
    before = b"\n"
    async for page in pages:
        part: list[Segment] = []
        for row in page:
            part.append(before)
            part += row
            before = b",\n"
        yield part
    yield [b"\n]}\n"]


def _total(db: Database, name: str, prefix: str) -> int:
    state = db.collection(name)
    if prefix == DESIGN:
        return 0 if state.design is None else state.design.documents
    return sum(part.documents for part in state.parts)


def _first_page(listing: Listing) -> AllDocs:
    chosen = limited_to(DESIGN, listing.range) if listing.prefix == DESIGN else listing.range
    size = PAGE if listing.included is None else PAGE_OF_BODIES
    return AllDocs(
        chosen.start,
        chosen.end,
        chosen.inclusive_end,
        chosen.descending,
        listing.skip,
        size if listing.limit is None else min(size, listing.limit),
        with_bodies=listing.included is not None,
        with_offset=True,
    )


async def _ranged_pages(
    db: Database, name: str, listing: Listing, query: AllDocs, rows: Sequence[Document]
) -> AsyncGenerator[list[Row], None]:
    left = listing.limit
    while rows:
        yield await _rows(db, name, listing, rows)
        if left is not None:
            left -= len(rows)
        if query.limit is None or len(rows) < query.limit or left == 0:
            return
        limit = query.limit if left is None else min(query.limit, left)
        query = replace(query, start=rows[-1].id, after_start=True, skip=0, limit=limit, with_offset=False)
        rows = (await db.all_docs(name, query)).rows


async def _rows(db: Database, name: str, listing: Listing, documents: Sequence[Document]) -> list[Row]:
    if listing.included is None:
        return [[_row(text_of(d.id), d.rev).encode() + b"}"] for d in documents]
    shown = await listing.included.segments(db, name, documents)
    return [
        [_row(text_of(d.id), d.rev).encode() + b',"doc":', *doc, b"}"]
        for d, doc in zip(documents, shown, strict=True)
    ]


def _row(ident: str, rev: str) -> str:
    return f'{{"id":{ident},"key":{ident},"value":{{"rev":"{rev}"}}'


async def _keyed_pages(
    db: Database, name: str, listing: Listing, keys: Sequence[Any]
) -> AsyncGenerator[list[Row], None]:
    chosen = list(reversed(keys)) if listing.range.descending else list(keys)
    chosen = chosen[listing.skip :]
    if listing.limit is not None:
        chosen = chosen[: listing.limit]
    if listing.prefix:
        chosen = [key for key in chosen if isinstance(key, str) and key.startswith(listing.prefix)]
    size = PAGE if listing.included is None else PAGE_OF_BODIES
    for at in range(0, len(chosen), size):
        page = chosen[at : at + size]
        found = iter(await db.get_documents(name, [key for key in page if isinstance(key, str)]))
        documents = [next(found) if isinstance(key, str) else None for key in page]
        alive = [None if d is None or d.deleted else d for d in documents]
        shown: list[Row] = [[]] * len(page)
        if listing.included is not None:
            shown = await listing.included.segments(db, name, alive)
        yield [
            _keyed_row(key, document, doc) for key, document, doc in zip(page, documents, shown, strict=True)
        ]


def _keyed_row(key: Any, document: Document | None, doc: Row) -> Row:
    if document is None:
        return [f'{{"key":{text_of(key)},"error":"not_found"}}'.encode()]
    ident = text_of(document.id)
    row = _row(ident, document.rev)
    if document.deleted:
        row = row[:-1] + ',"deleted":true}'
    return [row.encode() + b',"doc":', *doc, b"}"] if doc else [row.encode() + b"}"]


async def _local_pages(db: Database, name: str, listing: Listing) -> AsyncGenerator[list[Row], None]:
    if listing.keys is not None:
        ids = [key for key in listing.keys if isinstance(key, str) and key.startswith(LOCAL)]
        if listing.range.descending:
            ids.reverse()
        ids = ids[listing.skip :][: listing.limit]
        single = [db.get_local(name, ident.removeprefix(LOCAL)) for ident in ids]
        found = [one for one in single if one is not None]
    else:
        chosen = without(LOCAL, listing.range)
        found = await db.local_documents(
            name,
            AllDocs(
                chosen.start,
                chosen.end,
                chosen.inclusive_end,
                chosen.descending,
                listing.skip,
                listing.limit,
            ),
        )
    rows: list[Row] = []
    for one in found:
        doc = b"" if listing.included is None else b',"doc":' + local_text(one).encode()
        rows.append([_row(text_of(LOCAL + one.id), one.rev).encode() + doc + b"}"])
    yield rows
