"""`select=` and `order=`: what to return, and in which order."""

from __future__ import annotations

from localsrv.model.query.ast import MAX_DEPTH, MAX_TERMS, Embed, Item, Order, Shape
from localsrv.model.query.scan import Scanner

AGGREGATES = frozenset(("count", "sum", "avg", "min", "max"))


def parse_items(text: str, parameter: str = "select parameter") -> tuple[tuple[Item, ...], tuple[Embed, ...]]:
    """The columns and embeddings of a `select`. An empty text asks for nothing but `*`.

    Raises:
        QuerySyntaxError: with the position inside the text.
    """
    scanner = Scanner(text, parameter)
    if not text.strip():
        return (), ()
    items, embeds = _items(scanner, 1)
    scanner.expect_end()
    return items, embeds


def _items(scanner: Scanner, depth: int) -> tuple[tuple[Item, ...], tuple[Embed, ...]]:
    if depth > MAX_DEPTH:
        raise scanner.error(f"at most {MAX_DEPTH} nested resources")
    items: list[Item] = []
    embeds: list[Embed] = []
    while True:
        while scanner.take(" "):
            pass
        found = _item(scanner, depth)
        if isinstance(found, Embed):
            embeds.append(found)
        else:
            items.append(found)
        while scanner.take(" "):
            pass
        if not scanner.take(","):
            return tuple(items), tuple(embeds)
        if len(items) + len(embeds) == MAX_TERMS:
            raise scanner.error(f"at most {MAX_TERMS} columns")


def _item(scanner: Scanner, depth: int) -> Item | Embed:
    start = scanner.pos
    if scanner.take("..."):
        return _embed(scanner, scanner.name("a relation"), None, depth, start, spread=True)
    if scanner.take("*"):
        return Item(None)
    alias = _alias(scanner)
    if alias is not None and scanner.take("*"):
        raise scanner.error("a column name", scanner.pos - 1)
    path = scanner.path()
    if not path.steps and (scanner.peek("(") or scanner.peek("!")):
        if path.column == "count" and scanner.take("()"):
            return Item(None, alias, None, "count", scanner.cast())
        return _embed(scanner, path.column, alias, depth, start)
    cast = scanner.cast()
    if not scanner.take("."):
        return Item(path, alias, cast)
    at = scanner.pos
    aggregate = scanner.name("an aggregate function")
    if aggregate not in AGGREGATES:
        raise scanner.error("count(), sum(), avg(), min() or max()", at)
    scanner.expect("()")
    return Item(path, alias, cast, aggregate, scanner.cast())


def _alias(scanner: Scanner) -> str | None:
    """`name:` before an item; a single colon, since two begin a cast."""
    start = scanner.pos
    if scanner.peek('"') or not scanner.at_end:
        at_name = scanner.text[start]
        if at_name in "(),.:!*>":
            return None
        name = scanner.name()
        if scanner.peek(":") and not scanner.peek("::"):
            scanner.pos += 1
            return name
    scanner.pos = start
    return None


def _embed(
    scanner: Scanner, relation: str, alias: str | None, depth: int, start: int, *, spread: bool = False
) -> Embed:
    hints: list[str] = []
    inner = False
    while scanner.take("!"):
        hint = scanner.name("a relation hint, `inner` or `left`")
        if hint == "inner":
            inner = True
        elif hint != "left":
            hints.append(hint)
    scanner.expect("(")
    if scanner.take(")"):
        return Embed(relation, Shape(), alias, tuple(hints), inner, spread, position=start)
    items, embeds = _items(scanner, depth + 1)
    scanner.expect(")")
    return Embed(relation, Shape(items, embeds), alias, tuple(hints), inner, spread, position=start)


def parse_order(text: str) -> tuple[Order, ...]:
    """The terms of an `order`: `column.desc.nullslast,…`, `relation(column).asc`.

    Raises:
        QuerySyntaxError: with the position inside the text.
    """
    if not text:
        return ()
    scanner = Scanner(text, "order")
    terms: list[Order] = []
    while True:
        terms.append(_order_term(scanner))
        if len(terms) > MAX_TERMS:
            raise scanner.error(f"at most {MAX_TERMS} terms")
        if not scanner.take(","):
            scanner.expect_end()
            return tuple(terms)


def _order_term(scanner: Scanner) -> Order:
    embed: str | None = None
    path = scanner.path()
    if not path.steps and scanner.take("("):
        embed = path.column
        path = scanner.path()
        scanner.expect(")")
    descending: bool | None = None
    nulls_first: bool | None = None
    while scanner.take("."):
        at = scanner.pos
        word = scanner.until(".,")
        if word in ("asc", "desc") and descending is None and nulls_first is None:
            descending = word == "desc"
        elif word in ("nullsfirst", "nullslast") and nulls_first is None:
            nulls_first = word == "nullsfirst"
        else:
            raise scanner.error("`asc`, `desc`, `nullsfirst` or `nullslast`", at)
    return Order(path, bool(descending), nulls_first, embed)


def column_list(text: str, parameter: str) -> tuple[str, ...]:
    """The names in `columns=` or `on_conflict=`."""
    scanner = Scanner(text, parameter)
    out: list[str] = []
    while True:
        out.append(scanner.name())
        if not scanner.take(","):
            scanner.expect_end()
            return tuple(dict.fromkeys(out))
