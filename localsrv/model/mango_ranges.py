"""What a selector says about fields that an index can use: which it needs, and between which values they lie.

Pure functions of a selector's normal form. Sources: `has_required_fields` and `is_constant_field` of
CouchDB's `mango_selector.erl`, `indexable_fields` and `field_ranges` of its `mango_idx_view.erl`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from localsrv.model.mango_order import OrderKey, order_key
from localsrv.model.selector_nodes import At, Every, Node, Path, Some, Test

_INDEXABLE = frozenset({"$lt", "$lte", "$eq", "$gt", "$gte", "$beginsWith", "$exists"})

HIGHEST = "\uffff"
"""What CouchDB appends to a prefix for the end of its range."""

_LAST = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of a range: a value, and whether it belongs to the range.

    With `is_prefix` it is the upper end of the texts that begin with `value`.
    """

    value: Any
    inclusive: bool
    is_prefix: bool = False

    @property
    def key(self) -> OrderKey:
        return order_key(self.value + _LAST if self.is_prefix else self.value)

    @property
    def shown(self) -> Any:
        """The value as CouchDB would hand it to a view."""
        return self.value + HIGHEST if self.is_prefix else self.value


@dataclass(frozen=True, slots=True)
class Range:
    """The values a field may have; an end that is None is open."""

    low: Bound | None = None
    high: Bound | None = None
    is_empty: bool = False

    @property
    def is_equality(self) -> bool:
        """Whether only one value is left."""
        low, high = self.low, self.high
        return low is not None and high is not None and low.key == high.key


def required_paths(node: Node | None) -> frozenset[Path] | None:
    """The paths that every match has; None when the selector cannot match, so that it has whatever one
    likes."""
    if isinstance(node, Every):
        paths: set[Path] = set()
        for part in node.parts:
            found = required_paths(part)
            if found is None:
                return None
            paths |= found
        return frozenset(paths)
    if isinstance(node, Some):
        alternatives = [found for part in node.parts if (found := required_paths(part)) is not None]
        if not alternatives:
            return None  # as CouchDB sees an empty `$or`
        return frozenset.intersection(*alternatives)
    if isinstance(node, At) and node.condition != Test("$exists", False):
        return frozenset({node.path})
    return frozenset()


def is_constant(node: Node | None, path: Path) -> bool:
    """Whether all matches have the same value at `path`, so that a sort need not mind it."""
    if isinstance(node, Every):
        return any(is_constant(part, path) for part in node.parts)
    return (
        isinstance(node, At)
        and node.path == path
        and isinstance(node.condition, Test)
        and node.condition.operator == "$eq"
    )


def indexable_paths(node: Node | None) -> list[Path]:
    """The paths with a condition that is a range of an index, in order, each once."""
    if isinstance(node, Every):
        return sorted({path for part in node.parts for path in indexable_paths(part)})
    if isinstance(node, At) and isinstance(node.condition, Test) and node.condition.operator in _INDEXABLE:
        return [node.path]
    return []


def field_ranges(node: Node | None) -> Mapping[Path, Range]:
    """The range of each indexable path."""
    return {path: _narrowed(Range(), node, path) for path in indexable_paths(node)}


def _narrowed(known: Range, node: Node | None, path: Path) -> Range:
    if isinstance(node, Every):
        for part in node.parts:
            known = _narrowed(known, part, path)
        return known
    if not isinstance(node, At) or node.path != path or not isinstance(node.condition, Test):
        return known
    operator, argument = node.condition.operator, node.condition.argument
    if operator in ("$gt", "$gte", "$eq"):
        known = _raised(known, Bound(argument, operator != "$gt"))
    if operator in ("$lt", "$lte", "$eq"):
        known = _lowered(known, Bound(argument, operator != "$lt"))
    if operator == "$beginsWith":
        known = _lowered(_raised(known, Bound(argument, True)), Bound(argument, True, is_prefix=True))
    return _checked(known)


def _raised(known: Range, bound: Bound) -> Range:
    if known.low is not None:
        old, new = known.low.key, bound.key
        if new < old or (new == old and bound.inclusive):
            return known
    return replace(known, low=bound)


def _lowered(known: Range, bound: Bound) -> Range:
    if known.high is not None:
        old, new = known.high.key, bound.key
        if new > old or (new == old and bound.inclusive):
            return known
    return replace(known, high=bound)


def _checked(known: Range) -> Range:
    low, high = known.low, known.high
    if low is None or high is None:
        return known
    if high.is_prefix and isinstance(low.value, str) and low.value.startswith(high.value):
        return known
    first, last = low.key, high.key
    if first > last or (first == last and not (low.inclusive and high.inclusive)):
        return replace(known, is_empty=True)
    return known
