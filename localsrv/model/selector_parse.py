"""From a selector's JSON to its normal form, in CouchDB's three steps: operators, fields, negations.

Source: `norm_ops`, `norm_fields`, `norm_negations` of CouchDB's `mango_selector.erl`, with the errors they
raise.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from localsrv.base.errors import InvalidValue
from localsrv.model.mango_errors import MangoError, bad_argument
from localsrv.model.patterns import compiled
from localsrv.model.selector_nodes import At, Elements, Every, Negation, Neither, Node, Path, Some, Test

_ELEMENT_OPERATORS = ("$elemMatch", "$allMatch", "$keyMapMatch")
_COMPARISONS = ("$lt", "$lte", "$eq", "$ne", "$gte", "$gt")
_NOT_HERE = ("$where", "$geoWithin", "$geoIntersects", "$near", "$nearSphere", "$text")
_OPPOSITE = {
    "$lt": "$gte",
    "$lte": "$gt",
    "$eq": "$ne",
    "$ne": "$eq",
    "$gte": "$lt",
    "$gt": "$lte",
    "$in": "$nin",
    "$nin": "$in",
}
_DOT = re.compile(r"(?<!\\)\.")


def normalised(value: dict[str, Any]) -> Node:
    """The normal form of a selector that is not empty. Raises MangoError."""
    node = _pushed(_node(value, ()))
    if isinstance(node, At) and not node.path:
        raise MangoError("invalid_selector", "One or more conditions is missing a field name.")
    return node


def parse_field(name: str) -> Path:
    """The steps of a field's name: dots separate, `\\.` is a dot within a name.

    Raises:
        MangoError: `invalid_field_name`, when a step is empty.
    """
    steps = name.split(".") if "\\" not in name else _DOT.split(name)
    if "" in steps:
        raise MangoError("invalid_field_name", f"Invalid field name: {name[:300]}")
    return tuple(steps) if "\\" not in name else tuple(step.replace("\\", "") for step in steps)


def _node(value: Any, path: Path) -> Node:
    """Operators and field names of one level, resolved for the value at `path`."""
    if not isinstance(value, dict) or not value:
        return At(path, Test("$eq", value))
    if len(value) > 1:
        return Every(tuple(_node({name: part}, path) for name, part in value.items()))
    [(name, argument)] = value.items()
    if name in ("$and", "$or", "$nor"):
        if not isinstance(argument, list):
            raise bad_argument(name, argument)
        parts = tuple(_node(part, path) for part in argument)
        return Every(parts) if name == "$and" else Some(parts) if name == "$or" else Neither(parts)
    if name == "$not":
        return Negation(_node(_object(name, argument), path))
    if name in _ELEMENT_OPERATORS:
        return At(path, Elements(name, _node(_object(name, argument), ())))
    if name.startswith("$"):
        return At(path, _test(name, argument))
    return _node(argument, path + parse_field(name))


def _object(operator: str, argument: Any) -> dict[str, Any]:
    if not isinstance(argument, dict):
        raise bad_argument(operator, argument)
    return argument


def _test(operator: str, argument: Any) -> Test:
    if operator in _COMPARISONS:
        return Test(operator, argument)
    if operator in _NOT_HERE:
        raise MangoError("not_supported", f"Unsupported operator: {operator}")
    is_good = _ARGUMENTS.get(operator)
    if is_good is None or (operator == "$beginsWith" and not isinstance(argument, str)):
        raise MangoError("invalid_operator", f"Invalid operator: {operator[:300]}")
    if not is_good(argument):
        raise bad_argument(operator, argument)
    if operator == "$regex":
        try:
            compiled(argument)
        except InvalidValue as error:
            raise bad_argument(operator, argument, hint=error.hint) from error
    return Test(operator, argument)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_divisor_and_rest(value: Any) -> bool:
    # CouchDB takes 0 as divisor and then fails at the first document with a number.
    return isinstance(value, list) and len(value) == 2 and all(map(_is_integer, value)) and value[0] != 0


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_ARGUMENTS: dict[str, Callable[[Any], bool]] = {
    "$in": _is_list,
    "$nin": _is_list,
    "$all": _is_list,
    "$exists": lambda value: isinstance(value, bool),
    "$type": _is_text,
    "$mod": _is_divisor_and_rest,
    "$regex": _is_text,
    "$beginsWith": _is_text,
    "$size": lambda value: _is_integer(value) and value >= 0,
}


def _pushed(node: Node) -> Node:
    """With its negations moved down to the conditions, by De Morgan's laws."""
    if isinstance(node, Negation):
        return _negated(node.part)
    if isinstance(node, Neither):
        return Every(tuple(map(_negated, node.parts)))
    if isinstance(node, Every):
        return Every(tuple(map(_pushed, node.parts)))
    if isinstance(node, Some):
        return Some(tuple(map(_pushed, node.parts)))
    return node


def _negated(node: Node) -> Node:
    if isinstance(node, Negation):
        return _pushed(node.part)
    if isinstance(node, Neither):
        return Some(tuple(map(_pushed, node.parts)))
    if isinstance(node, Every):
        return Some(tuple(map(_negated, node.parts)))
    if isinstance(node, Some):
        return Every(tuple(map(_negated, node.parts)))
    if isinstance(node, At):
        return At(node.path, _negated(node.condition))
    if isinstance(node, Test) and node.operator in _OPPOSITE:
        return Test(_OPPOSITE[node.operator], node.argument)
    if isinstance(node, Test) and node.operator == "$exists":
        return Test("$exists", not node.argument)
    return Negation(node)
