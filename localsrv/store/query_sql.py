"""A query as one SQL statement, and the rows it gives as JSON texts.

A row is never built in Python when it need not be: named columns come out of SQLite as one JSON object, with
the values as the document has them, and `*` is the stored body itself.

Compiling splits as the query does: the shape gives a `Template`, remembered with the table, and the literals
are converted and bound at each call. Full-text filters are compiled each time: their literal changes the SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from localsrv.base.errors import BadRequest, UnknownName
from localsrv.model.query import Filter, Item, Operator, Order, Path, Select, Shape
from localsrv.store.driver import quoted
from localsrv.store.query_expression import Binder, Expressions, Fragment, constant, joined, sql
from localsrv.store.query_table import RANK_COLUMN, TableInfo, full_text_table
from localsrv.store.query_values import SqlValue, cast_kind

_MAX_TEMPLATES = 512
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Compiled:
    """SQL with the parameters of its `?` marks."""

    sql: str
    params: tuple[SqlValue, ...]


@dataclass(frozen=True, slots=True)
class Statement(Compiled):
    """A statement that gives rows; `finish` turns one of SQLite's rows into the row's JSON text."""

    finish: Callable[[Row], str]


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled shape: all but the literals."""

    sql: str
    binders: tuple[Binder, ...]
    finish: Callable[[Row], str] | None = None


def compile_select(select: Select, table: TableInfo, *, max_rows: int | None = None) -> Statement:
    """The rows that a query asks for. `max_rows` caps its own limit.

    Raises:
        UnknownName: a column, type or relation that does not exist.
        InvalidValue: a literal that its column's type does not take; a bad pattern.
        BadRequest: a full-text filter or order without an index.
    """
    template = _template(select, table, "select")
    limit = select.limit
    if max_rows is not None and (limit is None or limit > max_rows):
        limit = max_rows
    page = (-1 if limit is None else limit, select.offset)
    assert template.finish is not None
    return Statement(template.sql, (*_bound(template, select), *page), template.finish)


def compile_where(select: Select, table: TableInfo) -> Compiled:
    """The filters as a boolean SQL expression over the table under its own name; `1` without filters."""
    template = _template(select, table, "where")
    return Compiled(template.sql, _bound(template, select))


def compile_count(select: Select, table: TableInfo) -> Compiled:
    """How many rows the filters let through, whatever limit and offset are."""
    template = _template(select, table, "count")
    return Compiled(template.sql, _bound(template, select))


def compile_targets(select: Select, table: TableInfo) -> Compiled:
    """`_row, _id, _rev, _body` of the rows that a PATCH or DELETE means: filters, order, limit and offset."""
    template = _template(select, table, "targets")
    limit = -1 if select.limit is None else select.limit
    return Compiled(template.sql, (*_bound(template, select), limit, select.offset))


def compile_rows(select: Select, table: TableInfo, ids: Sequence[str]) -> Statement:
    """The rows of `ids` in their order, in the columns that `select` names; its filters do not count."""
    template = _template(Select(Shape(select.shape.items, select.shape.embeds)), table, "rows")
    assert template.finish is not None
    return Statement(
        template.sql, (*_bound(template, select), orjson.dumps(list(ids)).decode()), template.finish
    )


def finish_row(table: TableInfo, row_id: str, body: str) -> str:
    """The `*` form of a stored document: identity, then its body, then null for absent declared fields."""
    document = orjson.loads(body)
    if table.fields.keys() <= document.keys() and (table.is_keyed or "id" not in document):
        if table.is_keyed:
            return body
        name = orjson.dumps(row_id).decode()
        return f'{{"id":{name}}}' if body == "{}" else f'{{"id":{name},{body[1:]}'
    row: dict[str, object] = {} if table.is_keyed else {"id": row_id}
    if not table.is_keyed:
        document.pop("id", None)
    row.update(document)
    for name in table.fields:
        row.setdefault(name, None)
    return orjson.dumps(row).decode()


def _bound(template: Template, select: Select) -> tuple[SqlValue, ...]:
    values = select.values
    return tuple([b.constant if b.convert is None else b.convert(values[b.slot]) for b in template.binders])


def _template(select: Select, table: TableInfo, kind: str) -> Template:
    key = (select.shape, kind)
    found = table.templates.get(key)
    if found is None:
        expressions = Expressions(table, select.values)
        found = _COMPILE[kind](select.shape, table, expressions)
        if not expressions.depends_on_values:
            if len(table.templates) >= _MAX_TEMPLATES:
                table.templates.clear()
            table.templates[key] = found
    return found


# ---- statements


def _select(shape: Shape, table: TableInfo, expressions: Expressions) -> Template:
    columns, finish = _projection(shape, table, expressions)
    source, rank = _ranked(shape, table, expressions)
    statement = sql("SELECT {} FROM {}", columns, source)
    statement = sql(
        "{}{}{} LIMIT ? OFFSET ?", statement, _where(shape, expressions), _order(shape, expressions, rank)
    )
    return Template(statement.sql, statement.binders, finish)


def _targets(shape: Shape, table: TableInfo, expressions: Expressions) -> Template:
    source, rank = _ranked(shape, table, expressions)
    columns = ", ".join(f"{expressions.prefix}{name}" for name in ("_row", "_id", "_rev", "_body"))
    statement = sql(
        f"SELECT {columns} FROM {{}}{{}}{{}} LIMIT ? OFFSET ?",
        source,
        _where(shape, expressions),
        _order(shape, expressions, rank),
    )
    return Template(statement.sql, statement.binders)


def _count(shape: Shape, table: TableInfo, expressions: Expressions) -> Template:
    statement = sql("SELECT count(*) FROM {}{}", Fragment(quoted(table.name)), _where(shape, expressions))
    return Template(statement.sql, statement.binders)


def _only_where(shape: Shape, table: TableInfo, expressions: Expressions) -> Template:
    found = expressions.where(shape.where) or Fragment("1")
    return Template(found.sql, found.binders)


def _rows(shape: Shape, table: TableInfo, expressions: Expressions) -> Template:
    columns, finish = _projection(shape, table, expressions)
    statement = sql(
        f"SELECT {{}} FROM json_each(?) AS _wanted CROSS JOIN {quoted(table.name)} "
        f"ON {expressions.prefix}_id = _wanted.value ORDER BY _wanted.key",
        columns,
    )
    return Template(statement.sql, statement.binders, finish)


_COMPILE: dict[str, Callable[[Shape, TableInfo, Expressions], Template]] = {
    "select": _select,
    "targets": _targets,
    "count": _count,
    "where": _only_where,
    "rows": _rows,
}


def _where(shape: Shape, expressions: Expressions) -> Fragment:
    found = expressions.where(shape.where)
    return Fragment("") if found is None else sql(" WHERE {}", found)


# ---- columns


def _projection(shape: Shape, table: TableInfo, e: Expressions) -> tuple[Fragment, Callable[[Row], str]]:
    """The returned columns, and what makes the row's text of them."""
    if shape.embeds:
        embed = shape.embeds[0]
        raise UnknownName(
            f"Could not find a relationship between '{table.name}' and '{embed.relation[:100]}'",
            code="unknown-relation",
            details="Embedded resources are not part of this version.",
            hint="Ask for each collection by itself.",
        )
    named = [item for item in shape.items if not item.is_star]
    fields = joined(", ", [sql("{}, {}", constant(item.name), _item(item, e)) for item in named])
    whole = Fragment(f"{e.prefix}_id, {e.prefix}_body")
    if not named:
        return whole, lambda row: finish_row(table, row[0], row[1])
    if len(named) == len(shape.items):
        return sql("json_object({})", fields), _first
    return sql("{}, json_object({})", whole, fields), partial(_merged, table)


def _first(row: Row) -> str:
    return str(row[0])


def _merged(table: TableInfo, row: Row) -> str:
    """The `*` form with further columns."""
    whole = orjson.loads(finish_row(table, row[0], row[1]))
    whole.update(orjson.loads(row[2]))
    return orjson.dumps(whole).decode()


def _item(item: Item, e: Expressions) -> Fragment:
    if item.aggregate is not None or item.path is None:
        raise BadRequest(
            "Use of aggregate functions is not allowed",
            code="aggregates-disabled",
            hint="Ask for a count with `Prefer: count=exact`.",
        )
    found = _value(item.path, e)
    if item.cast is None:
        return found
    as_json = e.json(item.path) if not item.path.as_text else sql("json_quote({})", found)
    return sql("json(localsrv_cast({}, {}))", constant(cast_kind(item.cast)), as_json)


def _value(path: Path, e: Expressions) -> Fragment:
    """A returned value: JSON as the document has it, so that its type survives."""
    if path.as_text:
        e.check(path.column)
        return e.json_as_text(path)
    if not path.steps and path.column not in e.table.known_fields:
        return e.column(path.column)
    return e.json(path)


# ---- order


def _order(shape: Shape, e: Expressions, rank: Fragment | None) -> Fragment:
    if not shape.order:
        return Fragment("")
    return sql(" ORDER BY {}", joined(", ", [_order_term(term, e, rank) for term in shape.order]))


def _order_term(term: Order, e: Expressions, rank: Fragment | None) -> Fragment:
    direction = "DESC" if term.descending else "ASC"
    if term.embed is not None:
        raise UnknownName(
            f"'{term.embed[:100]}' is not an embedded resource in this request",
            code="unknown-embed",
            hint=f"Verify that '{term.embed[:100]}' is included in the 'select' query parameter.",
        )
    if rank is not None and term.path.column == RANK_COLUMN:
        return sql(f"{{}} {direction}", rank)
    operand = e.operand(term.path)
    if operand.value.sql == f"{e.prefix}_id":
        return sql(f"{{}} {direction}", operand.value)
    first = term.nulls_first if term.nulls_first is not None else term.descending
    return sql(f"{{}} {direction} NULLS {'FIRST' if first else 'LAST'}", operand.value)


def _ranked(shape: Shape, table: TableInfo, e: Expressions) -> tuple[Fragment, Fragment | None]:
    """The FROM clause; with `order=_rank`, joined to the scores of the first full-text filter."""
    source = Fragment(quoted(table.name))
    if not any(o.path.column == RANK_COLUMN and o.embed is None for o in shape.order):
        return source, None
    searching = (Operator.FTS, Operator.PLFTS, Operator.PHFTS, Operator.WFTS)
    for condition in shape.where:
        if isinstance(condition, Filter) and condition.operator in searching and not condition.negated:
            break
    else:
        raise BadRequest(
            f"`{RANK_COLUMN}` orders the matches of a full-text filter, and there is none.",
            code="no-full-text-filter",
            hint="Add a filter such as _text=wfts.words.",
        )
    query, complement = e.match(condition)
    if query is None or complement:
        return source, Fragment("NULL")
    index = quoted(full_text_table(table.name))
    weights = ", ".join(repr(float(w)) for w in table.full_text.values())
    scores = sql(
        f"(SELECT rowid AS _row, bm25({index}, {weights}) AS score FROM {index} WHERE {index} MATCH {{}})",
        constant(query),
    )
    return sql("{} JOIN {} AS _match USING (_row)", source, scores), Fragment("_match.score")
