"""A query string's parameters into a `Select`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from localsrv.base.errors import QuerySyntaxError, RangeNotSatisfiable, UnknownName
from localsrv.model.query.ast import Condition, Embed, Literal, Order, Path, Select, Shape
from localsrv.model.query.filters import parse_filter, parse_logic
from localsrv.model.query.scan import Scanner
from localsrv.model.query.selection import column_list, parse_items, parse_order

_PLAIN = re.compile(r"(?:not\.)?(?:eq|neq|gt|gte|lt|lte|isdistinct)\.")
_INTEGER = re.compile(r"-?[0-9]{1,18}\Z")
_TREES = ("and", "or")
_MODIFIERS = frozenset(("select", "order", "limit", "offset", "columns", "on_conflict", "and", "or"))
_MAX_CACHED = 512
MAX_LENGTH = 65_536
"""Longest parameter, name and value together, in characters."""

_cache: dict[tuple[tuple[str, str], ...], Select] = {}


def parse_query(pairs: Iterable[tuple[str, str]]) -> Select:
    """The query that the decoded parameters of a URL ask for.

    Parameters: `select`, `order`, `limit`, `offset`, `columns`, `on_conflict`, `and`, `or`, `not.and`,
    `not.or`; any other name is a column (or JSON path) with a filter. `rel.name` addresses an embedding.

    Raises:
        QuerySyntaxError: with the position inside the parameter.
        UnknownName: a parameter for an embedding that `select` does not name.
        RangeNotSatisfiable: a negative limit or offset.
    """
    # Plain comparisons are the bulk of all queries. Their literals and the page are cut off, and what
    # remains is looked up: a query of a known shape costs one pass over its parameters.
    pairs = list(pairs)
    key: list[tuple[str, str]] = []
    values: list[Literal] = []
    limit: int | None = None
    offset = 0
    for name, value in pairs:
        if len(name) + len(value) > MAX_LENGTH:
            raise QuerySyntaxError(
                f"A parameter is longer than {MAX_LENGTH} characters.", position=MAX_LENGTH
            )
        if name == "limit":
            limit = _page_number("limit", value)
        elif name == "offset":
            offset = _page_number("offset", value)
        elif name not in _MODIFIERS and (plain := _PLAIN.match(value)):
            key.append((name, plain.group()))
            values.append(value[plain.end() :])
        else:
            key.append((name, value))
    shape_key = tuple(key)
    found = _cache.get(shape_key)
    if found is None:
        found = _Parser().parse(pairs)
        if found.values != tuple(values):
            return replace(found, limit=limit, offset=offset)  # literals inside lists or trees: not cut off
        if len(_cache) >= _MAX_CACHED:
            _cache.clear()
        _cache[shape_key] = found
    return Select(found.shape, tuple(values), limit, offset, None, found.columns, found.on_conflict)


def _page_number(name: str, text: str) -> int:
    if not _INTEGER.match(text):
        raise QuerySyntaxError(
            f'"failed to parse {name} ({text[:50]})" (line 1, column 1)', details="expecting a whole number"
        )
    number = int(text)
    if number < 0:
        raise RangeNotSatisfiable(
            "Requested range not satisfiable", details=f"{name} should be greater than or equal to zero."
        )
    return number


@dataclass(slots=True)
class _Level:
    """What the parameters say about one resource, before it becomes a `Shape`."""

    where: list[Condition] = field(default_factory=list)
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0


class _Parser:
    """Collects one query's parameters; the key of a level is the path of embedding names to it."""

    def __init__(self) -> None:
        self.levels: dict[tuple[str, ...], _Level] = {}
        self.values: list[Literal] = []
        self.select = ""
        self.columns: tuple[str, ...] | None = None
        self.on_conflict: tuple[str, ...] | None = None

    def parse(self, pairs: Iterable[tuple[str, str]]) -> Select:
        for name, value in pairs:
            self._parameter(name, value)
        items, embeds = parse_items(self.select)
        top = self.levels.get((), _Level())
        used: set[tuple[str, ...]] = {()}
        nested = tuple(self._embed(e, (), used) for e in embeds)
        for path in self.levels:
            if path not in used:
                raise UnknownName(
                    f"'{path[-1]}' is not an embedded resource in this request",
                    code="unknown-embed",
                    hint=f"Verify that '{path[-1]}' is included in the 'select' query parameter.",
                )
        shape = Shape(items, nested, tuple(top.where), top.order)
        return Select(shape, tuple(self.values), top.limit, top.offset, None, self.columns, self.on_conflict)

    def _parameter(self, name: str, value: str) -> None:
        if name == "select":
            self.select = value
        elif name == "columns":
            self.columns = column_list(value, "columns parameter")
        elif name == "on_conflict":
            self.on_conflict = column_list(value, "on_conflict parameter")
        else:
            self._level_parameter(name, value)

    def _level_parameter(self, name: str, value: str) -> None:
        prefix, path = _split(name)
        word = path.column if not path.steps and name.endswith(path.column) else ""
        if word in _TREES:
            negated = bool(prefix) and prefix[-1] == "not"
            level = self._level(prefix[:-1] if negated else prefix)
            scanner = Scanner(value, "logic tree")
            level.where.append(parse_logic(scanner, word, negated, self.values))
            scanner.expect_end()
        elif word == "order":
            self._level(prefix).order = parse_order(value)
        elif word == "limit":
            self._level(prefix).limit = _page_number("limit", value)
        elif word == "offset":
            self._level(prefix).offset = _page_number("offset", value)
        else:
            scanner = Scanner(value, "filter")
            self._level(prefix).where.append(parse_filter(scanner, path, self.values, in_logic=False))

    def _level(self, path: tuple[str, ...]) -> _Level:
        return self.levels.setdefault(path, _Level())

    def _embed(self, embed: Embed, above: tuple[str, ...], used: set[tuple[str, ...]]) -> Embed:
        path = (*above, embed.name)
        used.add(path)
        level = self.levels.get(path, _Level())
        nested = tuple(self._embed(e, path, used) for e in embed.shape.embeds)
        shape = Shape(embed.shape.items, nested, tuple(level.where), level.order)
        return replace(embed, shape=shape, limit=level.limit, offset=level.offset)


def _split(name: str) -> tuple[tuple[str, ...], Path]:
    """A parameter's name: the embeddings it addresses, and the column or word at its end."""
    scanner = Scanner(name, "filter column")
    prefix: list[str] = []
    while True:
        path = scanner.path()
        if scanner.at_end:
            return tuple(prefix), path
        if path.steps:
            raise scanner.error("the end")
        scanner.expect(".")
        prefix.append(path.column)


__all__ = ["MAX_LENGTH", "parse_query"]
