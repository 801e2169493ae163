"""A collection's definition from its JSON or TOML form, checked in every place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from localsrv.base.errors import InvalidValue
from localsrv.model.schema import (
    COLLECTION_ID,
    COUCH_NAME,
    MAX_FIELDS,
    MOMENTS,
    TYPE_ALIASES,
    Collection,
    ConflictPolicy,
    Field,
    FieldType,
    FullText,
    OnDelete,
    Relation,
)
from localsrv.model.schema_refusals import bad, nearest
from localsrv.model.values import fitted


def _names(value: object, where: str) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v for v in value):
        raise bad(where, "must be a field name or a list of field names")
    if len(set(value)) != len(value):
        raise bad(where, "names the same field twice")
    return tuple(value)


def _groups(value: object, where: str) -> tuple[tuple[str, ...], ...]:
    if not isinstance(value, list):
        raise bad(where, 'must be a list such as ["name", ["city", "street"]]')
    return tuple(_names(v, f"{where}[{i}]") for i, v in enumerate(value))


def check_field_name(name: object, where: str) -> str:
    """A field name as it may stand in a document.

    Raises:
        ConfigError: empty, over 255 characters, starting with `_`, holding NUL or a lone surrogate.
    """
    if not isinstance(name, str) or not name:
        raise bad(where, "a field name must be a non-empty text")
    if name.startswith("_"):
        raise bad(
            where, f"field `{name}` starts with `_`", "Names with a leading underscore belong to the store."
        )
    if len(name) > 255 or "\0" in name or any("\ud800" <= c <= "\udfff" for c in name):
        raise bad(where, "a field name may have 255 characters, no NUL and no lone surrogate")
    return name


def _fields(value: object, where: str) -> tuple[Field, ...]:
    if not isinstance(value, Mapping):
        raise bad(where, "must be a table of field names with their types")
    if len(value) > MAX_FIELDS:
        raise bad(
            where,
            f"{len(value)} fields are declared; {MAX_FIELDS} are possible",
            "Leave some undeclared: documents may hold them all the same.",
        )
    declared = tuple(_field(n, v, f"{where}.{n}") for n, v in value.items())
    folded: dict[str, str] = {}
    for f in declared:
        if other := folded.get(f.name.lower()):
            raise bad(f"{where}.{f.name}", f"differs from `{other}` only by case")
        folded[f.name.lower()] = f.name
    return declared


def _field(name: str, value: object, where: str) -> Field:
    check_field_name(name, where)
    if isinstance(value, str):
        value = {"type": value}
    if not isinstance(value, Mapping):
        raise bad(where, 'must be a type such as "text", or a table with `type`')
    known = ["type", "required", "default"]
    for key in value:
        if key not in known:
            raise bad(f"{where}.{key}", f"unknown setting `{key}`", nearest(key, known))
    kind = value.get("type", "text")
    if not isinstance(kind, str) or kind not in TYPE_ALIASES:
        raise bad(where, f"unknown type `{kind}`", nearest(str(kind), sorted(TYPE_ALIASES)))
    required = value.get("required", False)
    if not isinstance(required, bool):
        raise bad(where, "`required` must be true or false")
    default = value.get("default")
    call = None
    if isinstance(default, Mapping):
        call = default.get("call")
        if call not in ("now", "uuid") or len(default) != 1:
            raise bad(where, '`default` must be a constant, or { call = "now" } or { call = "uuid" }')
        default = None
    _check_default(TYPE_ALIASES[kind], name, default, where)
    return Field(name, TYPE_ALIASES[kind], required, default, call)


def _check_default(kind: FieldType, name: str, default: object, where: str) -> None:
    try:
        fitted(kind, name, default)
        is_json = json.loads(json.dumps(default, allow_nan=False)) == default
    except (InvalidValue, ValueError, TypeError):
        is_json = False
    if not is_json:
        raise bad(
            where, f"`default` does not fit the type {kind.value}", "Dates and times are written as texts."
        )


def _relation(collection: str, value: object, where: str) -> Relation:
    if not isinstance(value, Mapping):
        raise bad(where, 'must be a table such as { fields = "CategoryID", to = "categories" }')
    known = ["name", "fields", "to", "to_fields", "on_delete"]
    for key in value:
        if key not in known:
            raise bad(f"{where}.{key}", f"unknown setting `{key}`", nearest(key, known))
    if "fields" not in value or not isinstance(value.get("to"), str):
        raise bad(where, "needs `fields` and `to`")
    names = _names(value["fields"], f"{where}.fields")
    to_fields = _names(value["to_fields"], f"{where}.to_fields") if "to_fields" in value else ()
    on_delete = value.get("on_delete", "restrict")
    if on_delete not in list(OnDelete):
        raise bad(where, f"unknown on_delete `{on_delete}`", nearest(str(on_delete), list(OnDelete)))
    name = value.get("name") or f"{collection}_{'_'.join(names)}_fkey"
    if not isinstance(name, str):
        raise bad(where, "`name` must be a text")
    return Relation(name, names, value["to"], to_fields, OnDelete(on_delete))


def _full_text(value: object, where: str) -> FullText:
    prefix: tuple[int, ...] = (2, 3)
    if isinstance(value, Mapping) and isinstance(value.get("weights"), Mapping):
        raw = value.get("prefix", [2, 3])
        if not isinstance(raw, list) or not all(type(n) is int and 0 < n < 10 for n in raw):
            raise bad(where, "`prefix` must be a list of lengths from 1 to 9")
        raw = list(dict.fromkeys(raw))
        prefix, value = tuple(raw), value["weights"]
    if isinstance(value, str | list):
        value = dict.fromkeys(_names(value, where), 1.0)
    if not isinstance(value, Mapping) or not value:
        raise bad(where, "must be a list of fields, or a table of fields with their weights")
    for name, weight in value.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 1e6:
            raise bad(f"{where}.{name}", "a weight must be a number from 0 to 1000000")
    return FullText({k: float(v) for k, v in value.items()}, prefix)


_SETTINGS = [
    "title", "fields", "key", "indexes", "unique", "relations", "full_text",
    "schema", "strict", "conflicts", "source",
]  # fmt: skip
_OLD_SETTINGS = ("conflict", "latest_field")
"""How `conflicts` was written at first; files from then still say so."""


def parse_collection(
    name: str, value: Mapping[str, Any], where: str | None = None, *, couch_name: bool = False
) -> Collection:
    """A definition from its JSON or TOML form.

    Form: `{"title": str, "fields": {name: type | {"type", "required", "default"}}, "key": name | [names],
    "indexes": [name | [names]], "unique": [...], "relations": [{"fields", "to", "to_fields", "on_delete",
    "name"}], "full_text": [names] | {name: weight} | {"weights": {...}, "prefix": [2, 3]}, "schema": JSON
    Schema, "strict": bool, "conflicts": "keep" | "merge" | {"latest": name}}`.

    `couch_name` also accepts the further characters of CouchDB's database names.

    Raises:
        ConfigError: `details` is the dotted place inside the definition.
    """
    where = where or f"collections.{name}"
    if not (COUCH_NAME if couch_name else COLLECTION_ID).match(name) or name.startswith(
        ("localsrv_", "sqlite_")
    ):
        raise bad(
            where,
            f"`{name}` is not a collection id",
            "Use a-z, 0-9 and _, starting with a letter, at most 63.",
        )
    for key in value:
        if key not in _SETTINGS and key not in _OLD_SETTINGS:
            raise bad(f"{where}.{key}", f"unknown setting `{key}`", nearest(key, _SETTINGS))
    relations = value.get("relations", [])
    if not isinstance(relations, list):
        raise bad(f"{where}.relations", "must be a list")
    policy, latest_field = _conflicts(value, where)
    schema = value.get("schema")
    if schema is not None and not isinstance(schema, Mapping):
        raise bad(f"{where}.schema", "must be a JSON Schema object")
    strict = value.get("strict", False)
    if not isinstance(strict, bool):
        raise bad(f"{where}.strict", "must be true or false")
    if not isinstance(value.get("title"), str | None):
        raise bad(f"{where}.title", "must be a text")
    if not isinstance(value.get("source"), Mapping | None):
        raise bad(f"{where}.source", "must be an object")
    collection = Collection(
        name=name,
        title=value.get("title"),
        fields=_fields(value.get("fields", {}), f"{where}.fields"),
        key=_names(value["key"], f"{where}.key") if "key" in value else (),
        indexes=_groups(value.get("indexes", []), f"{where}.indexes"),
        unique=_groups(value.get("unique", []), f"{where}.unique"),
        relations=tuple(_relation(name, r, f"{where}.relations[{i}]") for i, r in enumerate(relations)),
        full_text=_full_text(value["full_text"], f"{where}.full_text") if value.get("full_text") else None,
        json_schema=schema,
        strict=strict,
        conflict=policy,
        latest_field=latest_field,
        source=value.get("source"),
    )
    _check_names(collection, where)
    return collection


def _conflicts(value: Mapping[str, Any], where: str) -> tuple[ConflictPolicy, str | None]:
    """The policy, and the field that decides where it is `latest`."""
    given = value.get("conflicts", "keep")
    place = f"{where}.conflicts"
    if "conflicts" not in value and any(name in value for name in _OLD_SETTINGS):
        place = f"{where}.conflict"
        given = value.get("conflict", "keep")
        if given == "latest":
            given = {"latest": value.get("latest_field")}
    if isinstance(given, Mapping) and list(given) == ["latest"]:
        if not isinstance(given["latest"], str):
            raise bad(
                place, "`latest` must name the field that decides", 'Such as { latest = "changed_at" }.'
            )
        return ConflictPolicy.LATEST, given["latest"]
    if given == "latest":
        raise bad(
            place, "`latest` needs the field that decides", 'Write conflicts = { latest = "changed_at" }.'
        )
    if given not in (ConflictPolicy.KEEP, ConflictPolicy.MERGE):
        hint = 'Write "keep", "merge" or { latest = "changed_at" }.'
        raise bad(place, f"unknown policy `{str(given)[:80]}`", hint)
    return ConflictPolicy(given), None


def _check_names(collection: Collection, where: str) -> None:
    names = set(collection.field_names)
    if not collection.key and "id" in names:
        raise bad(
            f"{where}.fields.id",
            "`id` is the row's identity unless another key is declared",
            'Add key = "id".',
        )
    used = [("key", collection.key)]
    used += [("indexes", g) for g in collection.indexes] + [("unique", g) for g in collection.unique]
    used += [("relations", r.fields) for r in collection.relations]
    if collection.full_text:
        used.append(("full_text", tuple(collection.full_text.weights)))
    if collection.latest_field:
        used.append(("conflicts", (collection.latest_field,)))
    by_identity = ("indexes", "unique", "relations")
    for setting, group in used:
        for name in group:
            if name not in names and not (name == "id" and not collection.key and setting in by_identity):
                raise bad(
                    f"{where}.{setting}",
                    f"field `{name}` is not declared",
                    nearest(name, sorted(names)) if names else None,
                )
    latest = collection.field_named(collection.latest_field) if collection.latest_field else None
    if latest is not None and latest.type not in MOMENTS:
        raise bad(
            f"{where}.conflicts",
            f"field `{latest.name}` of type {latest.type.value} does not say which version is the latest",
            f"Declare it as one of {', '.join(MOMENTS)}.",
        )
