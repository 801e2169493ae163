"""What a query says, as frozen values.

A query is split in two: its `Shape` (everything but the literals) and its `values` (the literals, in order
of appearance). A filter holds the number of its literal. Two requests that differ only in what they look
for share one shape, so the store compiles a shape once and prepares its SQL once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

MAX_DEPTH = 100
"""How deep `and`, `or` and embeddings may nest."""

MAX_TERMS = 500
"""How many columns one `select` may return, and how many terms one `order` may have."""


class Operator(StrEnum):
    """A filter's operator, by its name in the query string."""

    EQ = "eq"
    NEQ = "neq"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    LIKE = "like"
    ILIKE = "ilike"
    MATCH = "match"
    IMATCH = "imatch"
    IN = "in"
    IS = "is"
    ISDISTINCT = "isdistinct"
    FTS = "fts"
    PLFTS = "plfts"
    PHFTS = "phfts"
    WFTS = "wfts"
    CS = "cs"
    CD = "cd"
    OV = "ov"


class Quantifier(StrEnum):
    """Compare with any or with all values of a list: `like(any).{a*,b*}`."""

    ANY = "any"
    ALL = "all"


class Count(StrEnum):
    """Which total a reader asked for (`Prefer: count=`)."""

    EXACT = "exact"
    PLANNED = "planned"
    ESTIMATED = "estimated"


@dataclass(frozen=True, slots=True)
class Path:
    """A column, or a place inside its JSON: `data->items->0->>name`.

    `steps` are object keys (str) and array positions (int, negative from the end). `as_text` says that the
    last arrow was `->>`. `position` is where it began in its parameter, for error messages.
    """

    column: str
    steps: tuple[str | int, ...] = ()
    as_text: bool = False
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to return. `path` None means `*`, or with `aggregate` the bare `count()`."""

    path: Path | None
    alias: str | None = None
    cast: str | None = None
    aggregate: str | None = None
    aggregate_cast: str | None = None

    @property
    def is_star(self) -> bool:
        return self.path is None and self.aggregate is None

    @property
    def name(self) -> str:
        """The key in the returned row: the alias, or the last named step of the path, or the column."""
        if self.alias is not None:
            return self.alias
        if self.aggregate is not None:
            return self.aggregate
        if self.path is None:
            return "*"
        names = [step for step in self.path.steps if isinstance(step, str)]
        return names[-1] if names else self.path.column


@dataclass(frozen=True, slots=True)
class Filter:
    """`path operator value`. `value` numbers the literal in `Select.values`.

    The literal is a text, or a tuple of texts for `in` and quantified operators. `argument` is what changes
    the operator itself: the word of `is`, the language in `fts(english)`. `is_simple_pattern` says that a
    `like` pattern may be left to SQLite's own matcher.
    """

    path: Path
    operator: Operator
    value: int
    negated: bool = False
    quantifier: Quantifier | None = None
    argument: str | None = None
    is_simple_pattern: bool = True


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions joined by `and` or `or`."""

    joined_by: str
    parts: tuple[Condition, ...]
    negated: bool = False


Condition = Filter | Group


@dataclass(frozen=True, slots=True)
class Order:
    """One sort term. `nulls_first` None is PostgreSQL's default: last ascending, first descending.

    `embed` names the embedded resource whose column sorts.
    """

    path: Path
    descending: bool = False
    nulls_first: bool | None = None
    embed: str | None = None


@dataclass(frozen=True, slots=True)
class Embed:
    """A related collection inside each row: `alias:relation!hint!inner(shape)`, or spread with `...`."""

    relation: str
    shape: Shape
    alias: str | None = None
    hints: tuple[str, ...] = ()
    inner: bool = False
    spread: bool = False
    limit: int | None = None
    offset: int = 0
    position: int = field(default=0, compare=False)

    @property
    def name(self) -> str:
        return self.alias if self.alias is not None else self.relation


@dataclass(frozen=True)
class Shape:
    """A query without its literals. No `items` and no `embeds` means `*`; `where` are all required."""

    items: tuple[Item, ...] = ()
    embeds: tuple[Embed, ...] = ()
    where: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = ()

    @cached_property
    def _hash(self) -> int:
        return hash((self.items, self.embeds, self.where, self.order))

    def __hash__(self) -> int:
        return self._hash

    @property
    def is_star(self) -> bool:
        """Whether the row is asked for whole and nothing else."""
        return not self.embeds and all(item.is_star for item in self.items)


Literal = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Select:
    """A whole query. `columns` and `on_conflict` are those parameters of a write, None when not given."""

    shape: Shape = Shape()
    values: tuple[Literal, ...] = ()
    limit: int | None = None
    offset: int = 0
    count: Count | None = None
    columns: tuple[str, ...] | None = None
    on_conflict: tuple[str, ...] | None = None

    def filters(self) -> Iterator[Filter]:
        """Every filter on the queried collection itself, nested ones too."""
        pending: list[Condition] = list(self.shape.where)
        while pending:
            condition = pending.pop()
            if isinstance(condition, Filter):
                yield condition
            else:
                pending.extend(condition.parts)
