"""Mango selectors: what CouchDB's `_find`, `_changes` and partial indexes take to choose documents.

`parse_selector` brings the JSON to a normal form, as CouchDB does, so that planner, SQL compiler and matcher
see one shape: a tree of `Every` and `Some` over `At(path, condition)`, where a condition is a `Test`,
`Elements` (which looks into an array or the names of an object) or the `Negation` of one. Implicit equality
and conjunction are made explicit, field names are joined to paths, and negations are moved down to the
conditions:

    {"a": {"b": 1}, "$not": {"c": {"$gt": 2}}}  →  Every(At(("a", "b"), $eq 1), At(("c",), $lte 2))

A condition on a field that is absent does not hold, also when it is negated, except `$exists: false`.
Sources: CouchDB's `mango_selector.erl` and its documentation of selectors; strings are ordered by code point
here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from localsrv.model.mango_errors import MangoError, shown
from localsrv.model.selector_match import check_of
from localsrv.model.selector_nodes import At, Elements, Every, Negation, Neither, Node, Path, Some, Test
from localsrv.model.selector_parse import normalised

__all__ = ["Selector", "conditions", "field_name", "parse_selector"]


@dataclass(frozen=True)
class Selector:
    """A selector in its normal form. `root` is None for `{}`, which every document matches."""

    root: Node | None

    def matches(self, document: Mapping[str, Any]) -> bool:
        """Whether a document (with `_id` and `_rev`) is chosen."""
        return self._check(document)

    @cached_property
    def _check(self) -> Callable[[Any], bool]:
        return (lambda _: True) if self.root is None else check_of(self.root)

    @property
    def is_never_searched(self) -> bool:
        """Whether it is an operator with nothing in it: CouchDB answers these without a search.

        `{"$or": []}` finds nothing, though beside other conditions an empty `$or` holds.
        """
        return isinstance(self.root, (Every, Some)) and not self.root.parts

    def fields(self) -> list[str]:
        """The names of all fields that conditions outside of arrays are about, in order, with repetitions."""
        return [field_name(at.path) for at in conditions(self.root)]

    def as_json(self) -> dict[str, Any]:
        """The normal form as a selector."""
        return {} if self.root is None else _json_of(self.root)


def parse_selector(value: Any) -> Selector:
    """A selector from its JSON value.

    Raises:
        MangoError: `invalid_selector_json`, `invalid_operator`, `bad_arg`, `not_supported`,
            `invalid_selector`, `invalid_field_name`, `bad_field`, as CouchDB names them.
    """
    if not isinstance(value, dict):
        raise MangoError("invalid_selector_json", f"Selector must be a JSON object, not: {shown(value)}")
    return Selector(normalised(value) if value else None)


def conditions(node: Node | None) -> Iterator[At]:
    """All conditions on fields of the document, whatever `$and` and `$or` they stand in."""
    if isinstance(node, (Every, Some, Neither)):
        for part in node.parts:
            yield from conditions(part)
    elif isinstance(node, Negation):
        yield from conditions(node.part)
    elif isinstance(node, At):
        yield node


def field_name(path: Path) -> str:
    """A path as it is written: steps joined by dots, dots within them escaped."""
    return ".".join(step.replace("\\", "\\\\").replace(".", "\\.") if "." in step else step for step in path)


def _json_of(node: Node) -> dict[str, Any]:
    if isinstance(node, Every):
        return {"$and": [_json_of(part) for part in node.parts]}
    if isinstance(node, Some):
        return {"$or": [_json_of(part) for part in node.parts]}
    if isinstance(node, Neither):
        return {"$nor": [_json_of(part) for part in node.parts]}
    if isinstance(node, Negation):
        return {"$not": _json_of(node.part)}
    if isinstance(node, At):
        return {field_name(node.path): _json_of(node.condition)} if node.path else _json_of(node.condition)
    if isinstance(node, Elements):
        return {node.operator: _json_of(node.part)}
    assert isinstance(node, Test)
    return {node.operator: node.argument}
