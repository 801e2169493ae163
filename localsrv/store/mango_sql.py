"""Selectors as SQL conditions over a collection's table.

`Compiler.condition` gives SQL that holds for every document that matches, and says whether it holds for no
other. Where it is not exact, `Selector.matches` looks at the candidates. Values are compared by their keys
(see `mango_values`), so that the conditions can use the expression indexes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from localsrv.model.selector_nodes import At, Elements, Every, Negation, Neither, Node, Path, Some, Test
from localsrv.store.mango_values import (
    Source,
    SqlKey,
    element,
    name_of_element,
    prefix_end,
    source_at,
    span_of,
    sql_literal,
)

MAX_CONDITIONS = 300
"""Conditions of one selector that are written in SQL; the rest is checked in memory."""

MAX_CONSTANTS = 2_000
"""Values of all lists of one selector (`$in`, `$nin`, `$all`) that are written in SQL."""

MAX_ELEMENTS = 8
"""How deep conditions on elements may lie in each other in SQL: it takes expressions of limited depth."""

_JSON_TYPES = {
    "null": "'null'",
    "boolean": "'true', 'false'",
    "number": "'integer', 'real'",
    "string": "'text'",
    "array": "'array'",
    "object": "'object'",
}


class Condition(NamedTuple):
    """SQL that holds for all matches; `is_exact` when for these alone."""

    sql: str
    is_exact: bool


ALWAYS, NEVER, UNKNOWN = Condition("1", True), Condition("0", True), Condition("1", False)


class Compiler:
    """Compiles one statement's selectors and collects its parameters by name.

    With `literals` constants are written out, and neither sub-queries nor our own functions are used: what
    the WHERE of a partial index may hold. `number` is the collection's, for conditions on `_conflicts` and
    `_attachments`, which are no part of the body.
    """

    def __init__(self, number: int, *, literals: bool = False) -> None:
        self.parameters: dict[str, SqlKey] = {}
        self._number = number
        self._literals = literals
        self._aliases = 0
        self._left = MAX_CONDITIONS
        self._constants_left = MAX_CONSTANTS
        self._depth = 0

    def bind(self, value: SqlKey) -> str:
        """A constant in SQL."""
        if self._literals:
            return sql_literal(value)
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f":{name}"

    def condition(self, node: Node | None) -> Condition:
        """A selector's normal form as a condition on a row of the table."""
        return ALWAYS if node is None else self._node(node, self._of_document)

    # ---- the tree

    def _node(self, node: Node, source_of: Callable[[Path], Source | None]) -> Condition:
        if isinstance(node, (Every, Some)):
            if not node.parts:
                return ALWAYS
            parts = [self._node(part, source_of) for part in node.parts]
            return _joined(parts, "AND" if isinstance(node, Every) else "OR")
        if isinstance(node, Neither):
            if not node.parts:
                return ALWAYS
            return _negated(_joined([self._node(part, source_of) for part in node.parts], "OR"))
        if isinstance(node, Negation):
            return _negated(self._node(node.part, source_of))
        assert isinstance(node, At)
        self._left -= 1
        if self._left < 0:
            return UNKNOWN
        return self._at(node, source_of)

    def _at(self, node: At, source_of: Callable[[Path], Source | None]) -> Condition:
        if source_of == self._of_document and node.path[:1] and node.path[0].startswith("_"):
            special = self._special(node)
            if special is not None:
                return special
        source = source_of(node.path)
        if source is None or (node.path == ("_id",) and not source.is_column):
            return UNKNOWN  # a field `_id` within an element is compared as no other
        if node.condition == Test("$exists", False):
            return self._absent(node.path, source, source_of)
        return self._holds(node.condition, source)

    def _special(self, node: At) -> Condition | None:
        """A condition on a field that CouchDB adds to the body; None for `_id` and `_rev`."""
        name, test = node.path[0], node.condition
        if name in ("_id", "_rev"):
            return None
        if name == "_conflicts":
            sql = f"SELECT id FROM localsrv_revisions WHERE collection = {self._number} AND state = 2"
            exists = Condition(f"_id IN ({sql})", False)
        elif name == "_attachments":
            sql = f"SELECT id FROM localsrv_attachments WHERE collection = {self._number}"
            exists = Condition(f"_id IN ({sql} AND rev = _rev)", len(node.path) == 1)
        else:
            exists = NEVER
        if self._literals and exists is not NEVER:
            return UNKNOWN
        if test == Test("$exists", False):
            return _negated(exists)
        return exists if test == Test("$exists", True) else Condition(exists.sql, exists is NEVER)

    def _absent(self, path: Path, source: Source, source_of: Callable[[Path], Source | None]) -> Condition:
        """`$exists: false`: it is an object that lacks the field, and not a scalar that cannot have one."""
        if not path:
            return NEVER
        if source.is_text:
            return NEVER
        terms = [f"{source.kind} IS NULL"]
        is_exact = True
        for depth in range(1 if source_of == self._of_document else 0, len(path)):
            parent = source_of(path[:depth])
            if parent is None or any(step.lstrip("+-").isdigit() for step in path):
                is_exact = False
            else:
                terms.append(f"coalesce({parent.kind}, 'object') = 'object'")
        return Condition(f"({' AND '.join(terms)})", is_exact)

    def _holds(self, node: Node, source: Source) -> Condition:
        """A condition on one value."""
        if isinstance(node, Negation):
            return _present_and_not(source, self._holds(node.part, source))
        if isinstance(node, Elements):
            return self._elements(node, source)
        assert isinstance(node, Test)
        return _TESTS[node.operator](self, source, node.argument)

    def _elements(self, node: Elements, source: Source) -> Condition:
        is_map = node.operator == "$keyMapMatch"
        if source.is_text:
            return NEVER
        kind = f"{source.kind} = '{'object' if is_map else 'array'}'"
        if self._literals or source.each is None or self._depth == MAX_ELEMENTS:
            return Condition(kind, False)
        self._aliases += 1
        alias = f"e{self._aliases}"
        own = name_of_element(alias) if is_map else element(alias)

        def source_of(path: Path) -> Source | None:
            if not path:
                return own
            if is_map:
                return None
            return source_at(path, own.scalar, f"{own.kind} IN ('array', 'object')")

        self._depth += 1
        inner = self._node(node.part, source_of)
        self._depth -= 1
        rows = f"SELECT 1 FROM {source.each} AS {alias} WHERE"
        if node.operator == "$allMatch":
            if not inner.is_exact:
                return Condition(f"({kind} AND {source.size} > 0)", False)
            every = f"NOT EXISTS ({rows} ({inner.sql}) IS NOT TRUE)"
            return Condition(f"({kind} AND {source.size} > 0 AND {every})", True)
        # A scalar has no parts, and json_each would give it itself as the only one: `kind` comes first.
        return Condition(f"(CASE WHEN {kind} THEN EXISTS ({rows} {inner.sql}) END)", inner.is_exact)

    def _of_document(self, path: Path) -> Source | None:
        return source_at(path) if path else None

    # ---- operators

    def exists(self, source: Source, argument: bool) -> Condition:
        return _present(source) if argument else NEVER

    def equals(self, source: Source, argument: Any) -> Condition:
        if source.is_column and not isinstance(argument, str):
            return NEVER
        return Condition(self.is_equal(source.key, argument), span_of(argument).is_exact)

    def is_equal(self, key: str, argument: Any) -> str:
        """SQL that holds for a key that may be the key of `argument`."""
        span = span_of(argument)
        if span.is_exact:
            return f"{key} = {self.bind(span.low)}"
        return f"{key} BETWEEN {self.bind(span.low)} AND {self.bind(span.high)}"

    def differs(self, source: Source, argument: Any) -> Condition:
        if source.is_column and not isinstance(argument, str):
            return ALWAYS
        span = span_of(argument)
        if not span.is_exact:
            return _present(source)._replace(is_exact=False)
        return Condition(f"{source.key} <> {self.bind(span.low)}", True)

    def above(self, source: Source, argument: Any, sign: str) -> Condition:
        if source.is_column and not isinstance(argument, str):
            is_below = source.scalar != "_id" and isinstance(argument, (list, dict))
            return NEVER if is_below else ALWAYS  # an id is above all that is no string: `raw_order_key`
        span = span_of(argument)
        sql = f"{source.key} {sign if span.is_exact else '>='} {self.bind(span.low)}"
        return Condition(sql, span.is_exact)

    def below(self, source: Source, argument: Any, sign: str) -> Condition:
        if source.is_column and not isinstance(argument, str):
            is_below = source.scalar != "_id" and isinstance(argument, (list, dict))
            return ALWAYS if is_below else NEVER
        span = span_of(argument)
        sql = f"{source.key} {sign if span.is_exact else '<='} {self.bind(span.high)}"
        return Condition(sql, span.is_exact)

    def is_in(self, source: Source, argument: list[Any]) -> Condition:
        if source.is_column:
            argument = [item for item in argument if isinstance(item, str)]
        if not argument:
            return NEVER
        self._constants_left -= len(argument)
        spans = [span_of(item) for item in argument[: MAX_CONSTANTS + 1]]
        if self._constants_left < 0 or not all(span.is_exact for span in spans):
            return _present(source)._replace(is_exact=False)
        itself = f"{source.key} IN ({', '.join(self.bind(span.low) for span in spans)})"
        if source.is_text:
            return Condition(itself, True)
        if self._literals or source.each is None:
            return Condition(f"({itself} OR {source.kind} = 'array')", False)
        self._aliases += 1
        own = element(f"e{self._aliases}")
        values = ", ".join(self.bind(span.low) for span in spans)
        some = f"EXISTS (SELECT 1 FROM {source.each} AS e{self._aliases} WHERE {own.key} IN ({values}))"
        return Condition(f"(CASE {source.kind} WHEN 'array' THEN {some} ELSE {itself} END)", True)

    def is_not_in(self, source: Source, argument: list[Any]) -> Condition:
        return _present_and_not(source, self.is_in(source, argument))

    def has_all(self, source: Source, argument: list[Any]) -> Condition:
        if not argument or source.is_text:
            return NEVER
        kind = f"{source.kind} = 'array'"
        self._constants_left -= len(argument)
        self._left -= len(argument)
        if self._literals or source.each is None or min(self._left, self._constants_left) < 0:
            return Condition(kind, False)
        if not all(span_of(item).is_exact for item in argument):
            return Condition(kind, False)
        terms = []
        for item in argument:
            self._aliases += 1
            alias = f"e{self._aliases}"
            found = self.is_equal(element(alias).key, item)
            terms.append(f"EXISTS (SELECT 1 FROM {source.each} AS {alias} WHERE {found})")
        return Condition(f"(CASE WHEN {kind} THEN {_balanced(terms, 'AND')} END)", True)

    def has_size(self, source: Source, argument: int) -> Condition:
        if source.is_text:
            return NEVER
        if source.size is None or argument >= 2**63:
            return Condition(f"{source.kind} = 'array'", False)
        return Condition(f"({source.kind} = 'array' AND {source.size} = {argument})", True)

    def has_rest(self, source: Source, argument: list[int]) -> Condition:
        if source.is_text:
            return NEVER
        kind = f"{source.kind} = 'integer'"
        if not all(-(2**63) <= number < 2**63 for number in argument):
            return Condition(kind, False)
        divisor, rest = argument
        return Condition(f"({kind} AND {source.scalar} % {self.bind(divisor)} = {self.bind(rest)})", True)

    def is_type(self, source: Source, argument: str) -> Condition:
        if source.is_text:
            return ALWAYS if argument == "string" else NEVER
        kinds = _JSON_TYPES.get(argument)
        return NEVER if kinds is None else Condition(f"{source.kind} IN ({kinds})", True)

    def begins(self, source: Source, argument: str) -> Condition:
        end = self.bind(prefix_end(argument))
        return Condition(f"({source.key} >= {self.bind(argument)} AND {source.key} < {end})", True)

    def fits(self, source: Source, argument: str) -> Condition:
        kind = f"{source.kind} = 'text'"
        if self._literals:
            return UNKNOWN if source.is_text else Condition(kind, False)
        found = f"localsrv_match({self.bind(argument)}, {source.scalar})"
        return Condition(f"(CASE WHEN {kind} THEN {found} END)", True)


_Operator = Callable[[Compiler, Source, Any], Condition]

_TESTS: Mapping[str, _Operator] = {
    "$exists": Compiler.exists,
    "$eq": Compiler.equals,
    "$ne": Compiler.differs,
    "$gt": lambda compiler, source, argument: compiler.above(source, argument, ">"),
    "$gte": lambda compiler, source, argument: compiler.above(source, argument, ">="),
    "$lt": lambda compiler, source, argument: compiler.below(source, argument, "<"),
    "$lte": lambda compiler, source, argument: compiler.below(source, argument, "<="),
    "$in": Compiler.is_in,
    "$nin": Compiler.is_not_in,
    "$all": Compiler.has_all,
    "$size": Compiler.has_size,
    "$mod": Compiler.has_rest,
    "$type": Compiler.is_type,
    "$beginsWith": Compiler.begins,
    "$regex": Compiler.fits,
}


def _present(source: Source) -> Condition:
    return ALWAYS if source.is_text else Condition(f"{source.kind} IS NOT NULL", True)


def _present_and_not(source: Source, inner: Condition) -> Condition:
    present = _present(source)
    if not inner.is_exact:
        return present._replace(is_exact=False)
    return _joined([present, _negated(inner)], "AND")


def _joined(parts: list[Condition], word: str) -> Condition:
    """Conditions joined by AND or OR; constants are resolved, since no partial index can be proved by one."""
    is_exact = all(part.is_exact for part in parts)
    ruling, neutral = ("0", "1") if word == "AND" else ("1", "0")
    terms = [part.sql for part in parts if part.sql != neutral]
    if ruling in terms:
        return NEVER if word == "AND" else Condition("1", is_exact)
    return Condition(_balanced(terms, word) if terms else neutral, is_exact)


def _balanced(terms: Iterable[str], word: str) -> str:
    """Terms joined as a balanced tree: SQLite refuses expressions that are 1,000 deep."""
    found = list(terms)
    while len(found) > 1:
        pairs = [found[i : i + 2] for i in range(0, len(found), 2)]
        found = [f"({f' {word} '.join(pair)})" if len(pair) > 1 else pair[0] for pair in pairs]
    return found[0]


def _negated(inner: Condition) -> Condition:
    if not inner.is_exact:
        return UNKNOWN
    if inner.sql in ("0", "1"):
        return ALWAYS if inner.sql == "0" else NEVER
    return Condition(f"(({inner.sql}) IS NOT TRUE)", True)
