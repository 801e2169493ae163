"""One query as SQL: where its rows are searched, in which order, and how many were looked at.

The rows come from the SQL index of the plan's index (`INDEXED BY`: SQLite refuses rather than choose another
way). Without one, they come from the whole table, in order of `_id` unless a sort says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from localsrv.model.mango_errors import MangoError
from localsrv.model.mango_planner import Plan
from localsrv.model.mango_ranges import Range
from localsrv.model.selector_nodes import At, Every, Node, Test
from localsrv.store.catalog import CollectionState
from localsrv.store.driver import Connection, quoted
from localsrv.store.mango_indexes import SqlIndex
from localsrv.store.mango_position import Position, band_of, segments
from localsrv.store.mango_sql import Compiler
from localsrv.store.mango_values import ARRAYS, TEXT_COLUMNS, SqlKey, prefix_end, source_at, span_of

MOST_SORTED = 1_000
"""Arrays and objects that an unsorted query puts in order: CouchDB's order, where it costs little."""

_RANGED = frozenset({"$eq", "$gt", "$gte", "$lt", "$lte", "$beginsWith"})


class Query:
    """A plan for one collection; `index` is the SQL index that it uses, None when the table is scanned.

    `keys` is the SQL of what orders the result before `_id`; the first `constant` of them are the same in all
    rows. `is_exact` says that arrays and objects are in order among themselves, too: always where a sort was
    asked for, and where `has_few_arrays`. `required` is what every document in the plan's index fulfils: it
    has its fields, and its filter holds.

    Raises:
        MangoError: `no_usable_index`, when the result shall be sorted by a field that SQL cannot say.
    """

    def __init__(self, state: CollectionState, plan: Plan, index: SqlIndex | None) -> None:
        assert plan.index is not None
        self.state = state
        self.plan = plan
        self.index = index
        self.descending = plan.request.descending
        self.keys = self._order()
        self.is_exact = bool(plan.request.sort)
        self.constant = 0
        parts: list[Node] = []
        if not plan.index.is_special:
            parts = [At(path, Test("$exists", True)) for path in plan.index.paths]
        if plan.index.partial_filter is not None and plan.index.partial_filter.root is not None:
            parts.append(plan.index.partial_filter.root)
        self.required = Every(tuple(parts))
        if index is not None:
            for each in plan.ranges[: len(self.keys)]:
                if not (each.is_equality and each.low is not None and span_of(each.low.value).is_exact):
                    break
                self.constant += 1

    def _order(self) -> tuple[str, ...]:
        index = self.plan.index
        if self.index is not None:
            keys = self.index.keys
        elif index is None or index.is_special or not self.plan.request.sort:
            return ()
        else:
            sources = [source_at(path) for path in index.paths]
            if any(s is None for s in sources) or any(
                p[0] in ("_conflicts", "_attachments") for p in index.paths
            ):
                raise MangoError(
                    "no_usable_index",
                    "A field of this sort has a name or place that cannot be sorted by here.",
                )
            keys = tuple(source.key for source in sources if source is not None)
        return keys[:-1] if keys[-1:] == ("_id",) else keys  # the id orders the rest anyway

    # ---- rows

    def statements(
        self, after: Position | None, upto: Position | None = None
    ) -> Iterator[tuple[str, dict[str, SqlKey]]]:
        """The searches that together give, in order, the candidates behind a place and up to another.

        Their rows are `_id`, `_rev`, `_body` (NULL when the index has all that is asked for) and the keys.
        """
        direction = " DESC" if self.descending else ""
        selected = "".join(f", {_operand(key)}" for key in self.keys)
        for behind in segments(
            self.keys,
            after,
            descending=self.descending,
            constant=self.constant,
            exact=self.is_exact,
        ):
            compiler = Compiler(self.state.number)
            terms = self._searched(compiler)
            # SQLite would sort by a key that it does not know to be the same in all rows.
            constant = max(self.constant, sum(term.sign == "=" for term in behind))
            ordered = (*self.keys[constant:], "_id")
            order = ", ".join(f"{_operand(key)}{direction}" for key in ordered)
            terms += [f"{column} {sign} {compiler.bind(bound)}" for column, sign, bound in behind]
            terms += self._between(compiler, None, upto)
            terms.append(f"({compiler.condition(self.plan.request.selector.root).sql})")
            body = "NULL" if self.is_covered else "_body"
            sql = f"SELECT _id, _rev, {body}{selected} FROM {self._source} WHERE {' AND '.join(terms)}"
            yield f"{sql} ORDER BY {order}", compiler.parameters

    @property
    def _source(self) -> str:
        if self.index is not None:
            return f"{self.state.table} INDEXED BY {quoted(self.index.name)}"
        if self.keys:
            return self.state.table
        return f"{self.state.table} INDEXED BY {quoted(f'sqlite_autoindex_{self.state.name}_1')}"

    def _searched(self, compiler: Compiler) -> list[str]:
        """The part of the index, or of the ids, that is searched."""
        index = self.plan.index
        if self.index is not None:
            terms, columns = list(self.index.terms), self.index.keys
        elif index is not None and index.is_special:
            terms, columns = [], ("_id",)
        else:
            return [f"({compiler.condition(self.required).sql})"]
        for column, each in zip(columns, self.plan.ranges, strict=False):
            terms += _range(compiler, column, each)
            if not each.is_equality:
                break
        return terms

    @property
    def is_covered(self) -> bool:
        """Whether the answer is made of the index alone."""
        return self.index is not None and self.plan.is_covering

    # ---- exactness

    @cached_property
    def selector_is_exact(self) -> bool:
        """Whether SQL gives the documents that the selector chooses, and no others."""
        return Compiler(self.state.number).condition(self.plan.request.selector.root).is_exact

    @cached_property
    def required_is_exact(self) -> bool:
        """Whether SQL gives only documents that fulfil `required`."""
        if self.index is not None:
            return self.index.filter_is_exact
        return Compiler(self.state.number).condition(self.required).is_exact

    def has_few_arrays(self, connection: Connection) -> bool:
        """Whether so few of the index's rows have an array or object that they can be sorted in memory.

        Only where one key orders the result: such is nearly every index.
        """
        if self.index is None or len(self.keys) != self.constant + 1:
            return False
        compiler = Compiler(self.state.number)
        terms = list(self.index.terms)
        for column, each in zip(self.keys[:-1], self.plan.ranges, strict=False):
            terms += _range(compiler, column, each)
        terms.append(f"{_operand(self.keys[-1])} >= {compiler.bind(ARRAYS)}")
        rows = f"SELECT 1 FROM {self._source} WHERE {' AND '.join(terms)} LIMIT {MOST_SORTED + 1}"
        found = connection.execute(f"SELECT count(*) FROM ({rows})", compiler.parameters).fetchone()[0]
        return 0 < int(found) <= MOST_SORTED

    # ---- how much is looked at

    @cached_property
    def is_tight(self) -> bool:
        """Whether every row of the searched range is a result, so that nothing need be counted."""
        index = self.plan.index
        if index is None or index.partial_filter is not None or (self.index is None and not index.is_special):
            return False
        if index.is_special and self.state.design is not None:
            return False  # design documents are counted and are no results
        ranged = []
        for path, each in zip(index.paths, self.plan.ranges, strict=False):
            ranged.append(path)
            if not each.is_equality:
                break
        parts = _conjuncts(self.plan.request.selector.root)
        return all(
            isinstance(part, At)
            and isinstance(part.condition, Test)
            and (
                (part.path in ranged and part.condition.operator in _RANGED)
                or (part.path in index.paths and part.condition == Test("$exists", True))
            )
            for part in parts
        )

    def edge(self, connection: Connection, after: Position | None, size: int) -> Position | None:
        """The place of the `size`-th row to look at behind `after`; None when so many are not left.

        Also None where a search cannot be parted: without an index of its order, and amid rows that are
        sorted in memory.
        """
        if self.index is None and not (self.plan.index is not None and self.plan.index.is_special):
            return None
        compiler = Compiler(self.state.number)
        terms = [*self._searched(compiler), *self._between(compiler, after, None)] or ["1"]
        columns = ", ".join(map(_operand, (*self.keys, "_id")))
        direction = " DESC" if self.descending else ""
        order = ", ".join(f"{_operand(key)}{direction}" for key in (*self.keys[self.constant :], "_id"))
        sql = f"SELECT {columns} FROM {self._source} WHERE {' AND '.join(terms)} ORDER BY {order}"
        row = connection.execute(f"{sql} LIMIT 1 OFFSET {size - 1}", compiler.parameters).fetchone()
        if row is None or (self.is_exact and any(isinstance(key, bytes) for key in row)):
            return None
        return Position(row[:-1], row[-1])

    def count(self, connection: Connection, after: Position | None, upto: Position | None) -> int:
        """How many rows are looked at from behind `after` to `upto` (None: the ends)."""
        found = self._count(connection, self._source, after, upto)
        design = self.state.design
        if self.plan.index is not None and self.plan.index.is_special and design is not None:
            # They are passed over, but they are among `_all_docs`, and CouchDB's figures have them.
            found += self._count(connection, design.table, after, upto)
        return found

    def _count(
        self, connection: Connection, source: str, after: Position | None, upto: Position | None
    ) -> int:
        compiler = Compiler(self.state.number)
        terms = [*self._searched(compiler), *self._between(compiler, after, upto)] or ["1"]
        sql = f"SELECT count(*) FROM {source} WHERE {' AND '.join(terms)}"
        return int(connection.execute(sql, compiler.parameters).fetchone()[0])

    def _between(self, compiler: Compiler, after: Position | None, upto: Position | None) -> list[str]:
        """The rows behind a place and up to another, as SQL terms."""
        beyond, within = ("<", ">=") if self.descending else (">", "<=")
        columns = [_operand(key) for key in (*self.keys, "_id")]
        terms = []
        for bound, sign, is_start in ((after, beyond, True), (upto, within, False)):
            if bound is not None:
                ends = self._ends(bound, is_start=is_start)
                names = ", ".join(columns[self.constant : len(ends)])
                values = ", ".join(map(compiler.bind, ends[self.constant :]))
                terms.append(f"({names}) {sign} ({values})")
        return terms

    def _ends(self, bound: Position, *, is_start: bool) -> list[SqlKey]:
        """A place as the end of what was looked at: rows that are sorted in memory are all looked at."""
        for place, key in enumerate(bound.keys):
            if self.is_exact and isinstance(key, bytes):
                low, high = band_of(key)
                return [*bound.keys[:place], low if is_start != self.descending else high]
        return [*bound.keys, bound.id]


def _operand(key: str) -> str:
    return key if key in TEXT_COLUMNS else f"({key})"


def _range(compiler: Compiler, column: str, each: Range) -> list[str]:
    """A range as SQL terms that hold for all its values, perhaps for a few others."""
    if each.is_empty:
        return ["0"]
    operand, terms = _operand(column), []
    low, high = each.low, each.high
    is_text = column in TEXT_COLUMNS
    if low is not None and (not is_text or isinstance(low.value, str)):
        span = span_of(low.value)
        if span.is_exact and each.is_equality:
            return [f"{operand} = {compiler.bind(span.low)}"]
        sign = ">" if span.is_exact and not low.inclusive else ">="
        terms.append(f"{operand} {sign} {compiler.bind(span.low)}")
    if high is not None and high.is_prefix:
        terms.append(f"{operand} < {compiler.bind(prefix_end(high.value))}")
    elif high is not None and (not is_text or isinstance(high.value, str)):
        span = span_of(high.value)
        sign = "<" if span.is_exact and not high.inclusive else "<="
        terms.append(f"{operand} {sign} {compiler.bind(span.high)}")
    return terms


def _conjuncts(node: Node | None) -> list[Node]:
    """The conditions that all hold."""
    if node is None:
        return []
    if isinstance(node, Every):
        return [found for part in node.parts for found in _conjuncts(part)]
    return [node]
