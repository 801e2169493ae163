"""Mango: queries over a collection's documents, answered by SQL indexes where one serves.

A query is planned as CouchDB plans it (`model.mango_planner`), compiled (`mango_query`), and read page by
page, so that a large answer is never whole in memory: each page goes on where the one before it ended, in a
read transaction of its own. Indexes that a design document defines and that are not built yet are built
first (`mango_indexes`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from localsrv.model.mango_index import Index
from localsrv.model.mango_planner import Plan, make_plan
from localsrv.model.mango_request import FindRequest
from localsrv.store import mango_indexes
from localsrv.store.catalog import CollectionState, newest_change
from localsrv.store.driver import Connection
from localsrv.store.mango_indexes import SqlIndex, is_built, sql_index
from localsrv.store.mango_position import Position, parse_bookmark
from localsrv.store.mango_query import Query
from localsrv.store.mango_rows import Row, Rows, conflicts_of
from localsrv.store.reading import Document, attachments_of

if TYPE_CHECKING:
    from localsrv.store.database import Database

PAGE_ROWS, PAGE_BYTES = 1_000, 2 << 20
"""A page ends when it has so many results, or bodies of so many bytes."""


FIRST_CHUNK, CHUNK = 2_000, 20_000
"""Rows that the first page and each further one look at, at most, when not every one is a result.

So a search through a large collection never keeps a reader thread for long, nor runs into the deadline.
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A result. `covered` has what the index knows of the document when that is all that was asked for.

    `conflicts` are the live losing leaves, when they were asked for.
    """

    document: Document
    conflicts: tuple[str, ...] = ()
    covered: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Page:
    """`seen` counts the results with those left out, `last` is the place of the latest of them.

    The next page goes on behind `resume`; it is None when this one is the last.
    """

    found: list[Found]
    last: Position | None
    seen: int
    examined: int
    resume: Position | None


@dataclass(frozen=True, slots=True)
class _Definitions:
    """What a collection's design documents defined when `version` was their newest change."""

    version: int
    indexes: tuple[Index, ...]


class Mango:
    """The queries and indexes of one open file; `Database.mango`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[int, _Definitions] = {}

    async def find(self, name: str, request: FindRequest) -> Search:
        """Begins a query; its first page is read.

        Raises:
            MangoError: `no_usable_index`, `invalid_index`, `invalid_bookmark`. NotFound: no such collection.
            QueryTimeout: a page takes longer than queries may.
        """
        state = self._database.collection(name)
        for attempt in (1, 2, 3):
            may_build = request.may_update and attempt < 3  # others may drop what was just built
            query, page = await self._database.read(
                partial(self._first, state=state, request=request, may_build=may_build)
            )
            if page is not None:
                break
            await self.build_indexes(name)
        assert page is not None
        return Search(self._database, query, page)

    async def plan(self, name: str, request: FindRequest) -> Plan:
        """How a query would be answered. Raises MangoError (`invalid_index`)."""
        return make_plan(await self.indexes(name), request, for_explain=True)

    async def indexes(self, name: str) -> tuple[Index, ...]:
        """The indexes that the collection's design documents define."""
        state = self._database.collection(name)
        definitions = await self._database.read(lambda c: self._definitions(c, state))
        return definitions.indexes

    async def build_indexes(self, name: str) -> None:
        """Makes the SQL indexes that are defined and missing, one after the other."""
        state = self._database.collection(name)
        for index in await self._database.read(lambda c: mango_indexes.missing(c, state)):
            await self._database.write(name, partial(mango_indexes.build, name=index))

    # ---- in a reader thread

    def _definitions(self, connection: Connection, state: CollectionState) -> _Definitions:
        version = 0 if state.design is None else newest_change(connection, state.design)
        known = self._known.get(state.number)
        if known is None or known.version != version:
            indexes = tuple(mango_indexes.defined(connection, state))
            known = self._known[state.number] = _Definitions(version, indexes)
        return known

    def _first(
        self, connection: Connection, state: CollectionState, request: FindRequest, may_build: bool
    ) -> tuple[Query, _Page | None]:
        """The first page; None in its place when an index must be built before."""
        plan = make_plan(self._definitions(connection, state).indexes, request)
        assert plan.index is not None
        index: SqlIndex | None = None if plan.index.is_special else sql_index(state, plan.index)
        is_there = index is None or is_built(connection, index.name)
        query = Query(state, plan, index if is_there else None)
        if not is_there and may_build:
            return query, None
        start, was_exact = None, None
        if request.bookmark is not None:
            start, was_exact = parse_bookmark(request.bookmark, len(query.keys))
        if not query.is_exact:  # the pages of one result are in one order, whatever is written between them
            query.is_exact = query.has_few_arrays(connection) if was_exact is None else was_exact
        if plan.finds_nothing:
            return query, _Page([], None, 0, 0, None)
        return query, read_page(connection, query, start, request.skip, request.limit, FIRST_CHUNK)


class Search:
    """One query while it is answered. `plan` says how; the rest is known when the last page was read."""

    def __init__(self, database: Database, query: Query, first: _Page) -> None:
        self._database = database
        self._query = query
        self._page = first
        self.plan = query.plan
        self.bookmark = query.plan.request.bookmark or "nil"
        self.returned = 0
        self.examined = 0
        self._left = query.plan.request.limit
        self._skip = query.plan.request.skip
        self._take(first)

    @property
    def first(self) -> list[Found]:
        """The first page."""
        return self._page.found

    @property
    def is_complete(self) -> bool:
        """Whether the pages read so far are all."""
        return self._page.resume is None

    async def rest(self) -> AsyncIterator[list[Found]]:
        """The pages behind the first."""
        while not self.is_complete:
            read = partial(
                read_page,
                query=self._query,
                after=self._page.resume,
                skip=self._skip,
                limit=self._left,
                chunk=CHUNK,
            )
            self._page = page = await self._database.read(read)
            self._take(page)
            yield page.found

    def statements(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The SQL that found the first page, with its parameters."""
        bookmark = self.plan.request.bookmark
        start = None if bookmark is None else parse_bookmark(bookmark, len(self._query.keys))[0]
        return self._query.statements(start)

    def warnings(self) -> list[str]:
        """What the answer warns of."""
        if self.plan.finds_nothing:
            return []
        return self.plan.warnings(0 if self._query.is_covered else self.examined, self.returned)

    def statistics(self) -> dict[str, int]:
        """The counts of `execution_stats`."""
        is_quorum = self.plan.request.r > 1 and not self._query.is_covered
        documents = 0 if self._query.is_covered else self.examined
        return {
            "total_keys_examined": self.examined,
            "total_docs_examined": 0 if is_quorum else documents,
            "total_quorum_docs_examined": documents if is_quorum else 0,
            "results_returned": self.returned,
        }

    def _take(self, page: _Page) -> None:
        self.examined += page.examined
        self.returned += len(page.found)
        self._left -= len(page.found)
        self._skip -= page.seen - len(page.found)
        if page.last is not None:
            self.bookmark = page.last.bookmark(is_exact=self._query.is_exact)


def read_page(
    connection: Connection, query: Query, after: Position | None, skip: int, limit: int, chunk: int
) -> _Page:
    """The results behind a place, `skip` of them left out, until `limit` or the page's own bounds.

    Where each row that is looked at is a result, one more than `limit` is looked at, as CouchDB does and
    counts.
    """
    if not limit:
        return _Page([], None, 0, 0, None)
    edge = None if query.is_tight else query.edge(connection, after, chunk)
    rows = Rows(query, connection)
    found: list[Found] = []
    last, seen, size = after, 0, 0
    for row in rows.between(after, edge):
        if len(found) == limit:
            return _Page(found, last, seen, seen + 1, None)
        seen, last = seen + 1, row.position
        if seen <= skip:
            continue
        found.append(_found(connection, query, rows, row))
        size += len(row.body or "")
        is_enough = len(found) == limit and not query.is_tight
        if is_enough or (len(found) < limit and (len(found) >= PAGE_ROWS or size >= PAGE_BYTES)):
            return _Page(found, last, seen, query.count(connection, after, last), None if is_enough else last)
    examined = seen if query.is_tight else query.count(connection, after, edge)
    return _Page(found, last, seen, examined, edge)


def _found(connection: Connection, query: Query, rows: Rows, row: Row) -> Found:
    state, document_id = query.state, row.position.id
    if row.body is None:
        return Found(Document(document_id, row.revision, False, None), covered=rows.document(row))
    attachments = attachments_of(connection, state, document_id, row.revision)
    document = Document(document_id, row.revision, False, row.body, attachments)
    asks = query.plan.request.conflicts
    return Found(document, tuple(conflicts_of(connection, state, document_id)) if asks else ())
