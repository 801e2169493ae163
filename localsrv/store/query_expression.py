"""One filter as an SQL condition.

SQL is put together from `Fragment`s: text with `?` marks and, in the same order, what binds them. Names come
from the table's definition and are quoted; everything a client sent is bound.

What a comparison means depends on the operand. A declared field is a typed column, and a literal that its
type does not take is an error. An undeclared field, or a place inside JSON, has each document's own type:
numbers compare with numbers and texts with texts, as in PostgreSQL's jsonb. After `->>` all is text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import orjson

from localsrv.base.errors import BadRequest, InvalidValue
from localsrv.model.patterns import compiled
from localsrv.model.query import Condition, Filter, Group, Operator, Path, Quantifier
from localsrv.model.query.ast import Literal
from localsrv.store.driver import quoted
from localsrv.store.functions import compiled_like
from localsrv.store.query_fulltext import translate
from localsrv.store.query_table import SEARCH_COLUMN, SYSTEM_COLUMNS, TableInfo, full_text_table
from localsrv.store.query_values import CONVERT, SqlValue, container, json_path, plain_text, untyped

Convert = Callable[[str], SqlValue]

_FLAT = 50


class Binder(NamedTuple):
    """What a `?` stands for: a constant, or the literal number `slot` after conversion."""

    slot: int
    convert: Callable[[Literal], SqlValue] | None = None
    constant: SqlValue = None

    def value(self, values: tuple[Literal, ...]) -> SqlValue:
        return self.constant if self.convert is None else self.convert(values[self.slot])


class Fragment(NamedTuple):
    """SQL text and the binders of its marks, in order."""

    sql: str
    binders: tuple[Binder, ...] = ()


def sql(template: str, *parts: Fragment) -> Fragment:
    """`template` with each `{}` replaced by a part."""
    pieces = template.split("{}")
    out = [pieces[0]]
    binders: list[Binder] = []
    for part, piece in zip(parts, pieces[1:], strict=True):
        out += (part.sql, piece)
        binders += part.binders
    return Fragment("".join(out), tuple(binders))


def joined(separator: str, parts: list[Fragment]) -> Fragment:
    return Fragment(separator.join(p.sql for p in parts), tuple(b for p in parts for b in p.binders))


def balanced(word: str, parts: list[Fragment]) -> Fragment:
    """The parts joined by AND or OR; many of them as a balanced tree, since SQLite limits its depth."""
    if len(parts) <= _FLAT:
        return joined(word, parts)
    half = len(parts) // 2
    return sql(f"({{}}){word}({{}})", balanced(word, parts[:half]), balanced(word, parts[half:]))


def constant(value: SqlValue) -> Fragment:
    return Fragment("?", (Binder(-1, None, value),))


@dataclass(frozen=True, slots=True)
class Operand:
    """The left side of a comparison.

    `value` is its SQL, `text` its SQL where a text is needed, `convert` reads literals for it. `is_mixed`
    says that rows may hold different types there.
    """

    value: Fragment
    text: Fragment
    convert: Convert
    is_mixed: bool = False


_COMPARISON: Mapping[Operator, str] = MappingProxyType(
    {
        Operator.EQ: "=",
        Operator.NEQ: "<>",
        Operator.GT: ">",
        Operator.GTE: ">=",
        Operator.LT: "<",
        Operator.LTE: "<=",
    }
)
_FULL_TEXT = frozenset((Operator.FTS, Operator.PLFTS, Operator.PHFTS, Operator.WFTS))


class Expressions:
    """Compiles conditions and operands over one table.

    `values` are those of the query at hand; only full-text filters look at them, because the shape of their
    SQL depends on the literal. `depends_on_values` tells that it did.
    """

    def __init__(self, table: TableInfo, values: tuple[Literal, ...]) -> None:
        self.table = table
        self.values = values
        self.prefix = quoted(table.name) + "."
        self.depends_on_values = False

    # ---- operands

    def column(self, name: str) -> Fragment:
        """A column of the table: a declared field, a system column, or the identity without a key.

        Raises:
            UnknownName: the name is none of these.
        """
        if name in self.table.fields:
            return Fragment(self.prefix + quoted(name))
        if name in SYSTEM_COLUMNS:
            return Fragment(self.prefix + name)
        if name == "id" and not self.table.is_keyed:
            return Fragment(self.prefix + "_id")
        raise self.table.unknown(name)

    def is_column(self, name: str) -> bool:
        table = self.table
        return name in table.fields or name in SYSTEM_COLUMNS or (name == "id" and not table.is_keyed)

    def check(self, name: str) -> None:
        """Raises UnknownName unless the table has the column, declared or only seen."""
        if name not in self.table.known_fields and not self.is_column(name):
            raise self.table.unknown(name)

    def json(self, path: Path) -> Fragment:
        """The JSON text at a path, NULL when absent."""
        self.check(path.column)
        if path.column not in self.table.known_fields and self.is_column(path.column):
            inner = sql("json_quote({})", self.column(path.column))
            if not path.steps:
                return inner
            return Fragment("NULL")  # nothing is inside an id or a revision
        return sql("({}_body -> {})", Fragment(self.prefix), constant(json_path(path)))

    def json_as_text(self, path: Path) -> Fragment:
        """What `->>` gives: a string without quotes, other JSON as the client wrote it, NULL for null."""
        body, place = Fragment(self.prefix + "_body"), constant(json_path(path))
        self.check(path.column)
        return sql(
            "CASE json_type({}, {}) WHEN 'text' THEN {} ->> {} WHEN 'null' THEN NULL ELSE {} -> {} END",
            body, place, body, place, body, place,
        )  # fmt: skip

    def _mixed(self, path: Path) -> Fragment:
        body, place = Fragment(self.prefix + "_body"), constant(json_path(path))
        return sql(
            "iif(json_type({}, {}) IN ('true', 'false'), {} -> {}, {} ->> {})",
            body, place, body, place, body, place,
        )  # fmt: skip

    def operand(self, path: Path) -> Operand:
        """What a filter or an order compares. Raises UnknownName."""
        if not path.steps and self.is_column(path.column):
            column = self.column(path.column)
            kind = self.table.fields.get(path.column)
            return Operand(column, column, plain_text if kind is None else CONVERT[kind])
        self.check(path.column)
        if path.steps and path.column not in self.table.known_fields:
            return Operand(Fragment("NULL"), Fragment("NULL"), plain_text)
        text = self.json_as_text(path)
        if path.as_text:
            return Operand(text, text, plain_text)
        return Operand(self._mixed(path), text, untyped, is_mixed=True)

    # ---- conditions

    def where(self, conditions: tuple[Condition, ...]) -> Fragment | None:
        """All conditions together, None when there are none."""
        if not conditions:
            return None
        return balanced(" AND ", [self.condition(c) for c in conditions])

    def condition(self, condition: Condition) -> Fragment:
        if isinstance(condition, Group):
            word = " AND " if condition.joined_by == "and" else " OR "
            found = sql("({})", balanced(word, [self.condition(c) for c in condition.parts]))
        elif condition.operator in _FULL_TEXT:
            found = self.full_text(condition)
        else:
            found = sql("({})", self._filter(condition))
        return sql("(NOT {})", found) if condition.negated else found

    def _filter(self, f: Filter) -> Fragment:
        if f.operator in (Operator.CS, Operator.CD, Operator.OV):
            literal = Fragment("?", (Binder(f.value, _one(container)),))
            return sql(f"localsrv_{f.operator}({{}}, {{}})", self.json(f.path), literal)
        operand = self.operand(f.path)
        if f.operator is Operator.IS:
            return _is(operand, f.argument)
        if f.operator is Operator.IN or (f.operator is Operator.EQ and f.quantifier is Quantifier.ANY):
            return sql("{} IN (SELECT value FROM json_each({}))", operand.value, _members(f, operand))
        if f.quantifier is not None:
            return _quantified(f, operand)
        if f.operator in (Operator.EQ, Operator.NEQ, Operator.ISDISTINCT) and operand.is_mixed:
            return _mixed_equality(f, operand)
        return _compare(f, operand, Fragment("?", (Binder(f.value, _one(_reader(f, operand))),)))

    # ---- full text

    def full_text(self, f: Filter) -> Fragment:
        """Rows whose index entry matches. Raises BadRequest when the field has no full-text index."""
        query, complement = self.match(f)
        if query is None:
            return Fragment("0")
        index = quoted(full_text_table(self.table.name))
        found = sql(
            f"{self.prefix}_row {'NOT IN' if complement else 'IN'} "
            f"(SELECT rowid FROM {index} WHERE {index} MATCH {{}})",
            constant(query),
        )
        if complement and f.path.column != SEARCH_COLUMN:
            return sql("({} IS NOT NULL AND {})", self.column(f.path.column), found)
        return found

    def match(self, f: Filter) -> tuple[str | None, bool]:
        """A full-text filter's FTS5 query (None: matches nothing), and whether its complement is meant."""
        self.depends_on_values = True
        table = self.table
        name = f.path.column
        if name != SEARCH_COLUMN:
            self.check(name)
        if f.path.steps or (name != SEARCH_COLUMN and name not in table.full_text) or not table.full_text:
            raise BadRequest(
                f"`{name[:100]}` of `{table.name}` has no full-text index.",
                code="no-full-text-index",
                hint="Searchable are: " + ", ".join(table.full_text)
                if table.full_text
                else "Declare `full_text` for the collection.",
            )
        literal = self.values[f.value]
        assert isinstance(literal, str)
        found = translate(f.operator, literal)
        if not found.query:
            return None, False
        return (
            found.query if name == SEARCH_COLUMN else f"{quoted(name)} : ({found.query})"
        ), found.complement


def _one(convert: Convert) -> Callable[[Literal], SqlValue]:
    def bind(literal: Literal) -> SqlValue:
        return convert(literal)  # type: ignore[arg-type]  # the grammar gives these operators one text

    return bind


def _many(convert: Callable[[str], list[SqlValue]]) -> Callable[[Literal], SqlValue]:
    """A list literal as a JSON array, which keeps the SQL the same for any length."""

    def bind(literal: Literal) -> SqlValue:
        return orjson.dumps([value for text in literal for value in convert(text)]).decode()

    return bind


def _both(text: str) -> list[SqlValue]:
    """A literal for a place of mixed types: it may be meant as a number or as a text."""
    value = untyped(text)
    return [text] if value == text else [value, text]


def _members(f: Filter, operand: Operand) -> Fragment:
    convert = operand.convert
    return Fragment("?", (Binder(f.value, _many(_both if operand.is_mixed else lambda t: [convert(t)])),))


def _mixed_equality(f: Filter, operand: Operand) -> Fragment:
    pair = Fragment("?, ?", (Binder(f.value, _one(untyped)), Binder(f.value, _one(plain_text))))
    if f.operator is Operator.EQ:
        return sql("{} IN ({})", operand.value, pair)
    if f.operator is Operator.NEQ:
        return sql("{} NOT IN ({})", operand.value, pair)
    return sql("{} IS NULL OR {} NOT IN ({})", operand.value, operand.value, pair)


def _is(operand: Operand, word: str | None) -> Fragment:
    if word in ("null", "unknown"):
        return sql("{} IS NULL", operand.value)
    if word == "not_null":
        return sql("{} IS NOT NULL", operand.value)
    return sql("{} IS {}", operand.value, constant(word if operand.is_mixed else int(word == "true")))


def _reader(f: Filter, operand: Operand) -> Convert:
    """What reads one literal of this filter."""
    if f.operator in (Operator.LIKE, Operator.ILIKE):
        if f.is_simple_pattern:
            return glob_pattern if f.operator is Operator.LIKE else like_pattern
        return like_pattern
    if f.operator in (Operator.MATCH, Operator.IMATCH):
        return _regex
    return operand.convert


def _compare(f: Filter, operand: Operand, right: Fragment) -> Fragment:
    match f.operator:
        case Operator.ISDISTINCT:
            return sql("{} IS NOT {}", operand.value, right)
        case Operator.LIKE if f.is_simple_pattern:
            return sql("{} GLOB {}", operand.text, right)
        case Operator.ILIKE if f.is_simple_pattern:
            return sql("{} LIKE {} ESCAPE '\\'", operand.text, right)
        case Operator.LIKE | Operator.ILIKE | Operator.MATCH | Operator.IMATCH:
            return sql(f"localsrv_{f.operator}({{}}, {{}})", right, operand.text)
    comparison = sql(f"{{}} {_COMPARISON[f.operator]} {{}}", operand.value, right)
    if not operand.is_mixed:
        return comparison
    return sql(
        "CASE WHEN (typeof({}) = 'text') = (typeof({}) = 'text') THEN {} END",
        operand.value,
        right,
        comparison,
    )


def _quantified(f: Filter, operand: Operand) -> Fragment:
    reader = _reader(f, operand)
    items = Fragment("?", (Binder(f.value, _many(lambda text: [reader(text)])),))
    test = _compare(f, operand, Fragment("_item.value"))
    if f.quantifier is Quantifier.ANY:
        found = sql("EXISTS (SELECT 1 FROM json_each({}) AS _item WHERE {})", items, test)
    else:
        found = sql("NOT EXISTS (SELECT 1 FROM json_each({}) AS _item WHERE NOT ({}))", items, test)
    return sql("CASE WHEN {} IS NOT NULL THEN {} END", operand.value, found)


def like_pattern(text: str) -> str:
    """A LIKE pattern after a check. Raises InvalidValue."""
    compiled_like(text, False)
    return text


def _regex(text: str) -> str:
    """A regular expression after a check. Raises InvalidValue."""
    compiled(text, False)
    return text


def glob_pattern(text: str) -> str:
    """A LIKE pattern as GLOB has it, which compares with case and can use an index for a leading text."""
    out: list[str] = []
    escaped = False
    for char in text:
        if escaped or char not in "%_\\":
            out.append(f"[{char}]" if char in "*?[" else char)
            escaped = False
        elif char == "\\":
            escaped = True
        else:
            out.append("*" if char == "%" else "?")
    if escaped:
        raise InvalidValue("LIKE pattern must not end with escape character", code="invalid-pattern")
    return "".join(out)
