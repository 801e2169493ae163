"""Index definitions of Mango: what `_index` takes, what its design documents hold, what is listed.

An index is a view of a design document whose `language` is `query`, exactly as CouchDB writes it, so that
definitions replicate. Sources: CouchDB's `mango_idx.erl`, `mango_idx_view.erl`, `mango_sort.erl`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from localsrv.model.mango_errors import MangoError, shown
from localsrv.model.selector import Selector, parse_selector
from localsrv.model.selector_nodes import Path
from localsrv.model.selector_parse import parse_field

LANGUAGE = "query"
DESIGN = "_design/"


@dataclass(frozen=True, slots=True)
class Index:
    """One index. `ddoc` is the id of its design document, None for `_all_docs`, which is over `_id`."""

    ddoc: str | None
    name: str
    fields: tuple[tuple[str, str], ...]
    """Names and directions, `asc` or `desc`: all the same."""
    partial_filter: Selector | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from the others of its database."""
        return self.ddoc or "", self.name

    @property
    def is_special(self) -> bool:
        return self.ddoc is None

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields' names as they were written."""
        return tuple(name for name, _ in self.fields)

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(parse_field(name) for name, _ in self.fields)

    def definition(self) -> dict[str, Any]:
        """`def` of the listing."""
        definition: dict[str, Any] = {"fields": [{name: direction} for name, direction in self.fields]}
        if self.partial_filter is not None:
            definition["partial_filter_selector"] = self.partial_filter.as_json()
        return definition

    def as_json(self) -> dict[str, Any]:
        """The index as `_index` and `_explain` show it."""
        if self.is_special:
            return {"ddoc": None, "name": self.name, "type": "special", "def": self.definition()}
        return {
            "ddoc": self.ddoc,
            "name": self.name,
            "type": "json",
            "partitioned": False,
            "def": self.definition(),
        }


ALL_DOCS = Index(None, "_all_docs", (("_id", "asc"),))
"""The index that every database has."""


def parse_sort(value: Any) -> tuple[tuple[str, str], ...]:
    """A list of fields with directions, as `sort` and an index's `fields` have it.

    Raises:
        MangoError: `invalid_sort_json`, `invalid_sort_field`, `unsupported_mixed_sort`.
    """
    if not isinstance(value, list):
        raise MangoError("invalid_sort_json", f"Sort must be an array of sort specs, not: {shown(value)}")
    fields = tuple(map(_sort_field, value))
    if len({direction for _, direction in fields}) > 1:
        raise MangoError(
            "unsupported_mixed_sort", "Sorts currently only support a single direction for all fields."
        )
    for name, _ in fields:
        parse_field(name)
    return fields


def _sort_field(value: Any) -> tuple[str, str]:
    if isinstance(value, str) and value:
        return value, "asc"
    if isinstance(value, dict) and len(value) == 1:
        [(name, direction)] = value.items()
        if direction in ("asc", "desc"):
            return name, direction
    raise MangoError("invalid_sort_field", f"Invalid sort field: {shown(value)}")


def parse_definition(definition: Any) -> tuple[tuple[tuple[str, str], ...], Selector | None]:
    """The fields and the partial filter of what a client sends as `index`. Raises MangoError."""
    if not isinstance(definition, dict):
        raise MangoError("invalid_index", f"JSON indexes must be an object, not: {shown(definition)}")
    if "fields" not in definition:
        raise MangoError("missing_required_key", "Missing required key: fields")
    for key in definition:
        if key not in ("fields", "partial_filter_selector"):
            raise MangoError("invalid_key", f"Invalid key {key[:300]} for this request.")
    fields = parse_sort(definition["fields"])
    selector = parse_selector(definition.get("partial_filter_selector", {}))
    return fields, selector if selector.root is not None else None


def generated_name(facts: Mapping[str, Any]) -> str:
    """The name that an index gets when its maker gives none: equal definitions have equal names."""
    return hashlib.sha1(orjson.dumps(facts, option=orjson.OPT_SORT_KEYS), usedforsecurity=False).hexdigest()


def with_index(design: Mapping[str, Any] | None, index: Index, asked: Mapping[str, Any]) -> dict[str, Any]:
    """A design document's body (no `_id`, no `_rev`) with an index added or replaced.

    Raises:
        MangoError: `invalid_ddoc_lang`, when the document is of another language.
    """
    body = dict(design) if design is not None else {"language": LANGUAGE}
    if body.get("language") != LANGUAGE:
        raise MangoError(
            "invalid_ddoc_lang",
            f"Existing design doc has an invalid language: {shown(body.get('language', 'javascript'))}",
        )
    stored: dict[str, Any] = {"fields": dict(index.fields)}
    if index.partial_filter is not None:
        stored["partial_filter_selector"] = index.partial_filter.as_json()
    view = {"map": stored, "reduce": "_count", "options": {"def": dict(asked)}}
    views = body.get("views")
    return body | {"views": (views if isinstance(views, dict) else {}) | {index.name: view}}


def without_index(design: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """A design document's body without one of its indexes; None when nothing is left of it."""
    views = {key: view for key, view in design.get("views", {}).items() if key != name}
    body = {key: value for key, value in design.items() if key != "views"}
    if views:
        body["views"] = views
    return None if body == {"language": LANGUAGE} else body


def indexes_of(design_id: str, design: Mapping[str, Any]) -> list[Index]:
    """The indexes that a design document holds. What is not a valid definition is left out, as in CouchDB."""
    views = design.get("views")
    if design.get("language") != LANGUAGE or not isinstance(views, dict):
        return []
    found = [_index_of(design_id, name, view) for name, view in views.items()]
    return [index for index in found if index is not None]


def _index_of(design_id: str, name: str, view: Any) -> Index | None:
    stored = view.get("map") if isinstance(view, dict) else None
    if not isinstance(stored, dict) or not isinstance(stored.get("fields"), dict) or not stored["fields"]:
        return None
    try:
        fields = parse_sort([{field: direction} for field, direction in stored["fields"].items()])
        # `selector` is what older versions of CouchDB called the filter.
        selector = parse_selector(stored.get("partial_filter_selector") or stored.get("selector") or {})
    except MangoError:
        return None
    return Index(design_id, name, fields, selector if selector.root is not None else None)
