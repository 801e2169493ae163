"""The rows of a query of the data face, by whichever way is quickest."""

from __future__ import annotations

from dataclasses import dataclass

from localsrv.base.errors import QueryTimeout
from localsrv.model.query import Count, Select
from localsrv.store.driver import Connection
from localsrv.store.open_file import OpenFile
from localsrv.store.query_sql import compile_count, compile_select


@dataclass(frozen=True, slots=True)
class RowPage:
    """Rows as JSON texts; `total` when a count was asked for."""

    rows: list[str]
    total: int | None


async def read_rows(file: OpenFile, name: str, select: Select) -> RowPage:
    """See `Database.select`."""
    state = file.collection(name)
    limit = file.options.query_row_limit
    statement = compile_select(select, state.info, max_rows=limit + 1)
    # The live count is kept in memory, so an estimate of the whole collection costs nothing.
    total = state.documents if select.count is not None and not select.shape.where else None
    must_count = select.count is not None and (total is None or select.count is Count.EXACT)
    counting = compile_count(select, state.info) if must_count else None
    if counting is None:
        seen = file.glance(statement.sql, statement.params)
        if seen is not None and len(seen) <= limit:
            return RowPage([statement.finish(row) for row in seen], total)

    def read(connection: Connection) -> RowPage:
        rows = [statement.finish(row) for row in connection.execute(statement.sql, statement.params)]
        if len(rows) > limit:
            raise QueryTimeout(
                f"The query gives more than {limit:,} rows.",
                code="row-limit",
                hint="Ask for pages with limit and offset, or Range.",
            )
        if counting is None:
            return RowPage(rows, total)
        return RowPage(rows, connection.execute(counting.sql, counting.params).fetchone()[0])

    return await file.read(read)
