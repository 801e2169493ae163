"""Whether a document matches a selector: the meaning of every operator, in memory.

A node becomes a function of a value once, so that many documents are cheap. What the operators mean at odd
values (an empty `$or`, `$in` over an array, a path through a scalar) follows CouchDB's `mango_selector.erl`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from localsrv.model.mango_order import OrderKey, order_key, raw_order_key
from localsrv.model.patterns import compiled
from localsrv.model.selector_nodes import At, Elements, Every, Negation, Neither, Node, Path, Test

Check = Callable[[Any], bool]

Order = Callable[[Any], OrderKey]
"""What values are compared by: `order_key`, but for those of fields `_id`."""

ABSENT = object()
"""What `value_at` finds where an object lacks the field."""

_BLOCKED = object()
"""What `value_at` finds where the path runs into a value that has no fields, or an array without that
place."""


def value_at(value: Any, path: Path) -> Any:
    """The value at a path: `ABSENT`, or something that equals no value, where there is none."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step, ABSENT)
            if value is ABSENT:
                return ABSENT
        elif isinstance(value, list):
            place = place_of(step)
            if place is None or place >= len(value):
                return _BLOCKED
            value = value[place]
        else:
            return _BLOCKED
    return value


def exists_at(value: Any, path: Path) -> bool:
    found = value_at(value, path)
    return found is not ABSENT and found is not _BLOCKED


def place_of(step: str) -> int | None:
    """The place in an array that a step names, None when it names none."""
    digits = step[1:] if step[:1] in ("+", "-") else step
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        return None
    place = int(step)
    return place if place >= 0 else None


def check_of(node: Node, order: Order = order_key) -> Check:
    """The node as a function of the value it is about."""
    if isinstance(node, At):
        return _at(node, order)
    if isinstance(node, Test):
        return _TESTS[node.operator](node.argument, order)
    if isinstance(node, Elements):
        return _elements(node, order)
    if isinstance(node, Negation):
        part = check_of(node.part, order)
        return lambda value: not part(value)
    parts = [check_of(part, order) for part in node.parts]
    if isinstance(node, Every):
        return lambda value: all(part(value) for part in parts)
    if isinstance(node, Neither):
        return lambda value: not any(part(value) for part in parts)
    return lambda value: not parts or any(part(value) for part in parts)


def _at(node: At, order: Order) -> Check:
    path = node.path
    check = check_of(node.condition, raw_order_key if path == ("_id",) else order)
    if not path:
        return check
    absent_matches = node.condition == Test("$exists", False)

    def at(value: Any) -> bool:
        found = value_at(value, path)
        if found is ABSENT:
            return absent_matches
        return found is not _BLOCKED and check(found)

    return at


def _elements(node: Elements, order: Order) -> Check:
    check = check_of(node.part, order)
    if node.operator == "$elemMatch":
        return lambda value: isinstance(value, list) and any(map(check, value))
    if node.operator == "$allMatch":
        return lambda value: isinstance(value, list) and bool(value) and all(map(check, value))
    return lambda value: isinstance(value, dict) and any(map(check, value))


# ---- operators, each as a function of its argument


def _compared(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Order], Check]:
    def test(argument: Any, order: Order) -> Check:
        wanted = order(argument)
        return lambda value: compare(order(value), wanted)

    return test


def _in(argument: list[Any]) -> Check:
    wanted = {order_key(item) for item in argument}

    def is_in(value: Any) -> bool:
        if isinstance(value, list):
            return any(order_key(item) in wanted for item in value)
        return order_key(value) in wanted

    return is_in


def _not_in(argument: list[Any]) -> Check:
    is_in = _in(argument)
    return lambda value: not is_in(value)


def _all(argument: list[Any]) -> Check:
    wanted = {order_key(item) for item in argument}
    whole = order_key(argument[0]) if len(argument) == 1 and isinstance(argument[0], list) else None

    def has_all(value: Any) -> bool:
        if not wanted or not isinstance(value, list):
            return False
        return wanted.issubset(map(order_key, value)) or (whole is not None and order_key(value) == whole)

    return has_all


def _type(argument: str) -> Check:
    return lambda value: type_name(value) == argument


def type_name(value: Any) -> str:
    """The name of a value's type, as `$type` takes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _mod(argument: list[int]) -> Check:
    divisor, rest = argument

    def has_rest(value: Any) -> bool:
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        left = abs(value) % abs(divisor)
        return (
            -left if value < 0 else left
        ) == rest  # the rest has the sign of the number, as in Erlang and SQL

    return has_rest


def _regex(argument: str) -> Check:
    pattern = compiled(argument)
    return lambda value: isinstance(value, str) and pattern.search(value) is not None


def _whatever_order(test: Callable[[Any], Check]) -> Callable[[Any, Order], Check]:
    """A test in which nothing is above or below another; what is equal is so in every order."""
    return lambda argument, _: test(argument)


_TESTS: Mapping[str, Callable[[Any, Order], Check]] = {
    "$lt": _compared(operator.lt),
    "$lte": _compared(operator.le),
    "$eq": _compared(operator.eq),
    "$ne": _compared(operator.ne),
    "$gte": _compared(operator.ge),
    "$gt": _compared(operator.gt),
    "$in": _whatever_order(_in),
    "$nin": _whatever_order(_not_in),
    "$all": _whatever_order(_all),
    "$exists": lambda argument, _: lambda value: bool(argument),
    "$type": _whatever_order(_type),
    "$mod": _whatever_order(_mod),
    "$regex": _whatever_order(_regex),
    "$beginsWith": lambda argument, _: lambda value: isinstance(value, str) and value.startswith(argument),
    "$size": lambda argument, _: lambda value: isinstance(value, list) and len(value) == argument,
}
