"""What a collection declares: fields, key, relations, indexes, full text, uniqueness, policy.

Pure values. A manifest (`app.toml`), the admin API and an import all produce a `Collection`; the store
turns it into a table, the data face into columns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from localsrv.base.errors import ConfigError, InvalidValue

COLLECTION_ID = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
"""What the data face and manifests accept. Names starting with `localsrv_` or `sqlite_` are refused."""

COUCH_NAME = re.compile(r"[a-z_][a-z0-9_$()+/-]{0,200}\Z")

MAX_FIELDS = 1900
"""Most declared fields: SQLite's tables have at most 2,000 columns."""

APP_ID = re.compile(r"[a-z][a-z0-9-]{0,40}\Z")


class FieldType(StrEnum):
    """Declared type of a field. The names are PostgreSQL's where it has one."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    TIMESTAMPTZ = "timestamptz"
    UUID = "uuid"
    JSON = "json"


TYPE_ALIASES: Mapping[str, FieldType] = MappingProxyType(
    {
        **{t.value: t for t in FieldType},
        "string": FieldType.TEXT,
        "varchar": FieldType.TEXT,
        "int": FieldType.INTEGER,
        "bigint": FieldType.INTEGER,
        "smallint": FieldType.INTEGER,
        "real": FieldType.NUMBER,
        "float": FieldType.NUMBER,
        "double": FieldType.NUMBER,
        "numeric": FieldType.DECIMAL,
        "bool": FieldType.BOOLEAN,
        "datetime": FieldType.TIMESTAMP,
        "jsonb": FieldType.JSON,
        "object": FieldType.JSON,
        "array": FieldType.JSON,
    }
)


class ConflictPolicy(StrEnum):
    """How the sync face settles conflicting leaves. `keep` is CouchDB's way."""

    KEEP = "keep"
    MERGE = "merge"
    LATEST = "latest"


class OnDelete(StrEnum):
    """What a local delete of a related document does."""

    RESTRICT = "restrict"
    CASCADE = "cascade"
    SET_NULL = "set-null"


@dataclass(frozen=True, slots=True)
class Field:
    """One declared field. `required` refuses null and absence on local writes.

    `default` is a JSON constant, or one of the words `now`, `uuid` behind `default_call`.
    """

    name: str
    type: FieldType = FieldType.TEXT
    required: bool = False
    default: Any = None
    default_call: str | None = None


@dataclass(frozen=True, slots=True)
class Relation:
    """`fields` of this collection refer to `to_fields` (its key or unique fields) of collection `to`."""

    name: str
    fields: tuple[str, ...]
    to: str
    to_fields: tuple[str, ...]
    on_delete: OnDelete = OnDelete.RESTRICT


@dataclass(frozen=True, slots=True)
class FullText:
    """Full-text fields with their ranking weights; `prefix` lists prefix-index lengths."""

    weights: Mapping[str, float] = field(default_factory=dict)
    prefix: tuple[int, ...] = (2, 3)


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection's definition. Field order is column order.

    `strict` refuses undeclared fields on local writes. `source` is free JSON that an import keeps for
    export (original table and column names); nothing else reads it.
    """

    name: str
    title: str | None = None
    fields: tuple[Field, ...] = ()
    key: tuple[str, ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    relations: tuple[Relation, ...] = ()
    full_text: FullText | None = None
    json_schema: Mapping[str, Any] | None = None
    strict: bool = False
    conflict: ConflictPolicy = ConflictPolicy.KEEP
    latest_field: str | None = None
    source: Mapping[str, Any] | None = None

    def field_named(self, name: str) -> Field | None:
        return next((f for f in self.fields if f.name == name), None)

    @property
    def field_names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.fields)


def _bad(where: str, message: str, hint: str | None = None) -> ConfigError:
    return ConfigError(f"{where}: {message}", details=where, hint=hint)


def _nearest(name: str, known: list[str]) -> str | None:
    import difflib

    found = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean `{found[0]}`?" if found else f"Known are: {', '.join(known)}."


def _names(value: object, where: str) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v for v in value):
        raise _bad(where, "must be a field name or a list of field names")
    if len(set(value)) != len(value):
        raise _bad(where, "names the same field twice")
    return tuple(value)


def _groups(value: object, where: str) -> tuple[tuple[str, ...], ...]:
    if not isinstance(value, list):
        raise _bad(where, 'must be a list such as ["name", ["city", "street"]]')
    return tuple(_names(v, f"{where}[{i}]") for i, v in enumerate(value))


def check_field_name(name: object, where: str) -> str:
    """A field name as it may stand in a document.

    Raises:
        ConfigError: empty, over 255 characters, starting with `_`, holding NUL or a lone surrogate.
    """
    if not isinstance(name, str) or not name:
        raise _bad(where, "a field name must be a non-empty text")
    if name.startswith("_"):
        raise _bad(
            where, f"field `{name}` starts with `_`", "Names with a leading underscore belong to the store."
        )
    if len(name) > 255 or "\0" in name or any("\ud800" <= c <= "\udfff" for c in name):
        raise _bad(where, "a field name may have 255 characters, no NUL and no lone surrogate")
    return name


def _field(name: str, value: object, where: str) -> Field:
    check_field_name(name, where)
    if isinstance(value, str):
        value = {"type": value}
    if not isinstance(value, Mapping):
        raise _bad(where, 'must be a type such as "text", or a table with `type`')
    known = ["type", "required", "default"]
    for key in value:
        if key not in known:
            raise _bad(f"{where}.{key}", f"unknown setting `{key}`", _nearest(key, known))
    kind = value.get("type", "text")
    if not isinstance(kind, str) or kind not in TYPE_ALIASES:
        raise _bad(where, f"unknown type `{kind}`", _nearest(str(kind), sorted(TYPE_ALIASES)))
    required = value.get("required", False)
    if not isinstance(required, bool):
        raise _bad(where, "`required` must be true or false")
    default = value.get("default")
    call = None
    if isinstance(default, Mapping):
        call = default.get("call")
        if call not in ("now", "uuid") or len(default) != 1:
            raise _bad(where, '`default` must be a constant, or { call = "now" } or { call = "uuid" }')
        default = None
    _check_default(TYPE_ALIASES[kind], name, default, where)
    return Field(name, TYPE_ALIASES[kind], required, default, call)


def _check_default(kind: FieldType, name: str, default: object, where: str) -> None:
    from localsrv.model.values import fitted  # which needs FieldType

    try:
        fitted(kind, name, default)
        is_json = json.loads(json.dumps(default, allow_nan=False)) == default
    except (InvalidValue, ValueError, TypeError):
        is_json = False
    if not is_json:
        raise _bad(
            where, f"`default` does not fit the type {kind.value}", "Dates and times are written as texts."
        )


def _relation(collection: str, value: object, where: str) -> Relation:
    if not isinstance(value, Mapping):
        raise _bad(where, 'must be a table such as { fields = "CategoryID", to = "categories" }')
    known = ["name", "fields", "to", "to_fields", "on_delete"]
    for key in value:
        if key not in known:
            raise _bad(f"{where}.{key}", f"unknown setting `{key}`", _nearest(key, known))
    if "fields" not in value or not isinstance(value.get("to"), str):
        raise _bad(where, "needs `fields` and `to`")
    names = _names(value["fields"], f"{where}.fields")
    to_fields = _names(value["to_fields"], f"{where}.to_fields") if "to_fields" in value else ()
    on_delete = value.get("on_delete", "restrict")
    if on_delete not in list(OnDelete):
        raise _bad(where, f"unknown on_delete `{on_delete}`", _nearest(str(on_delete), list(OnDelete)))
    name = value.get("name") or f"{collection}_{'_'.join(names)}_fkey"
    if not isinstance(name, str):
        raise _bad(where, "`name` must be a text")
    return Relation(name, names, value["to"], to_fields, OnDelete(on_delete))


def _full_text(value: object, where: str) -> FullText:
    prefix: tuple[int, ...] = (2, 3)
    if isinstance(value, Mapping) and isinstance(value.get("weights"), Mapping):
        raw = value.get("prefix", [2, 3])
        if not isinstance(raw, list) or not all(type(n) is int and 0 < n < 10 for n in raw):
            raise _bad(where, "`prefix` must be a list of lengths from 1 to 9")
        raw = list(dict.fromkeys(raw))
        prefix, value = tuple(raw), value["weights"]
    if isinstance(value, str | list):
        value = dict.fromkeys(_names(value, where), 1.0)
    if not isinstance(value, Mapping) or not value:
        raise _bad(where, "must be a list of fields, or a table of fields with their weights")
    for name, weight in value.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 1e6:
            raise _bad(f"{where}.{name}", "a weight must be a number from 0 to 1000000")
    return FullText({k: float(v) for k, v in value.items()}, prefix)


_SETTINGS = [
    "title", "fields", "key", "indexes", "unique", "relations", "full_text",
    "schema", "strict", "conflicts", "source",
]  # fmt: skip
_OLD_SETTINGS = ("conflict", "latest_field")
"""How `conflicts` was written at first; files from then still say so."""

MOMENTS = (FieldType.TIMESTAMPTZ, FieldType.TIMESTAMP, FieldType.DATE, FieldType.INTEGER, FieldType.NUMBER)
"""Types of fields that can say which of two versions is the later: a time, or a number such as Unix time."""


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
        raise _bad(
            where,
            f"`{name}` is not a collection id",
            "Use a-z, 0-9 and _, starting with a letter, at most 63.",
        )
    for key in value:
        if key not in _SETTINGS and key not in _OLD_SETTINGS:
            raise _bad(f"{where}.{key}", f"unknown setting `{key}`", _nearest(key, _SETTINGS))
    raw_fields = value.get("fields", {})
    if not isinstance(raw_fields, Mapping):
        raise _bad(f"{where}.fields", "must be a table of field names with their types")
    if len(raw_fields) > MAX_FIELDS:
        raise _bad(
            f"{where}.fields",
            f"{len(raw_fields)} fields are declared; {MAX_FIELDS} are possible",
            "Leave some undeclared: documents may hold them all the same.",
        )
    declared = tuple(_field(n, v, f"{where}.fields.{n}") for n, v in raw_fields.items())
    folded: dict[str, str] = {}
    for f in declared:
        if other := folded.get(f.name.lower()):
            raise _bad(f"{where}.fields.{f.name}", f"differs from `{other}` only by case")
        folded[f.name.lower()] = f.name
    relations = value.get("relations", [])
    if not isinstance(relations, list):
        raise _bad(f"{where}.relations", "must be a list")
    policy, latest_field = _conflicts(value, where)
    schema = value.get("schema")
    if schema is not None and not isinstance(schema, Mapping):
        raise _bad(f"{where}.schema", "must be a JSON Schema object")
    strict = value.get("strict", False)
    if not isinstance(strict, bool):
        raise _bad(f"{where}.strict", "must be true or false")
    if not isinstance(value.get("title"), str | None):
        raise _bad(f"{where}.title", "must be a text")
    if not isinstance(value.get("source"), Mapping | None):
        raise _bad(f"{where}.source", "must be an object")
    collection = Collection(
        name=name,
        title=value.get("title"),
        fields=declared,
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
            raise _bad(
                place, "`latest` must name the field that decides", 'Such as { latest = "changed_at" }.'
            )
        return ConflictPolicy.LATEST, given["latest"]
    if given == "latest":
        raise _bad(
            place, "`latest` needs the field that decides", 'Write conflicts = { latest = "changed_at" }.'
        )
    if given not in (ConflictPolicy.KEEP, ConflictPolicy.MERGE):
        hint = 'Write "keep", "merge" or { latest = "changed_at" }.'
        raise _bad(place, f"unknown policy `{str(given)[:80]}`", hint)
    return ConflictPolicy(given), None


def _check_names(collection: Collection, where: str) -> None:
    names = set(collection.field_names)
    if not collection.key and "id" in names:
        raise _bad(
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
                raise _bad(
                    f"{where}.{setting}",
                    f"field `{name}` is not declared",
                    _nearest(name, sorted(names)) if names else None,
                )
    latest = collection.field_named(collection.latest_field) if collection.latest_field else None
    if latest is not None and latest.type not in MOMENTS:
        raise _bad(
            f"{where}.conflicts",
            f"field `{latest.name}` of type {latest.type.value} does not say which version is the latest",
            f"Declare it as one of {', '.join(MOMENTS)}.",
        )


def resolve_relations(collections: Mapping[str, Collection]) -> dict[str, Collection]:
    """Fills `to_fields` left empty with the target's key, and checks every target.

    A relation may point at its own collection; a cycle over several collections is allowed between
    nullable fields only, since otherwise no first document could ever be written.

    Raises:
        ConfigError: unknown target, fields that are neither its key nor unique, a different number of
            fields, or a cycle of required relations.
    """
    from dataclasses import replace

    out: dict[str, Collection] = {}
    for name, c in collections.items():
        relations = []
        seen: set[str] = set()
        for i, r in enumerate(c.relations):
            where = f"collections.{name}.relations[{i}]"
            target = collections.get(r.to)
            if target is None:
                raise _bad(where, f"collection `{r.to}` does not exist", _nearest(r.to, sorted(collections)))
            to_fields = r.to_fields or target.key or ("id",)
            identity = target.key or ("id",)
            if set(to_fields) != set(identity) and not any(set(u) == set(to_fields) for u in target.unique):
                raise _bad(where, f"`{', '.join(to_fields)}` is neither the key nor unique in `{r.to}`")
            if len(to_fields) != len(r.fields):
                raise _bad(where, f"{len(r.fields)} fields refer to {len(to_fields)}")
            if r.name in seen:
                raise _bad(where, f"a relation named `{r.name}` exists already")
            seen.add(r.name)
            relations.append(replace(r, to_fields=to_fields))
        out[name] = replace(c, relations=tuple(relations))
    _check_cycles(out)
    return out


def _check_cycles(collections: Mapping[str, Collection]) -> None:
    def needs(c: Collection) -> list[str]:
        must = {f.name for f in c.fields if f.required} | set(c.key)
        return [r.to for r in c.relations if r.to != c.name and all(n in must for n in r.fields)]

    state: dict[str, int] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if state.get(name) == 2:
            return
        if state.get(name) == 1:
            cycle = " → ".join([*path[path.index(name) :], name])
            raise _bad(
                f"collections.{name}.relations", f"required relations form a cycle: {cycle}",
                "Make one of these fields optional.",
            )  # fmt: skip
        state[name] = 1
        for to in needs(collections[name]):
            visit(to, (*path, name))
        state[name] = 2

    for name in collections:
        visit(name, ())


def as_json(collection: Collection) -> dict[str, Any]:
    """The definition's JSON form; `parse_collection` reads it back to an equal value."""
    out: dict[str, Any] = {}
    if collection.title is not None:
        out["title"] = collection.title
    out["fields"] = {f.name: _field_json(f) for f in collection.fields}
    if collection.key:
        out["key"] = list(collection.key)
    if collection.indexes:
        out["indexes"] = [list(g) for g in collection.indexes]
    if collection.unique:
        out["unique"] = [list(g) for g in collection.unique]
    if collection.relations:
        out["relations"] = [
            {
                "name": r.name,
                "fields": list(r.fields),
                "to": r.to,
                "to_fields": list(r.to_fields),
                "on_delete": r.on_delete.value,
            }
            if r.to_fields
            else {"name": r.name, "fields": list(r.fields), "to": r.to, "on_delete": r.on_delete.value}
            for r in collection.relations
        ]
    if collection.full_text:
        out["full_text"] = {
            "weights": dict(collection.full_text.weights),
            "prefix": list(collection.full_text.prefix),
        }
    if collection.json_schema is not None:
        out["schema"] = dict(collection.json_schema)
    if collection.strict:
        out["strict"] = True
    if collection.conflict is ConflictPolicy.LATEST:
        out["conflicts"] = {"latest": collection.latest_field}
    elif collection.conflict is not ConflictPolicy.KEEP:
        out["conflicts"] = collection.conflict.value
    if collection.source is not None:
        out["source"] = dict(collection.source)
    return out


def _field_json(f: Field) -> str | dict[str, Any]:
    if not f.required and f.default is None and f.default_call is None:
        return f.type.value
    out: dict[str, Any] = {"type": f.type.value}
    if f.required:
        out["required"] = True
    if f.default_call:
        out["default"] = {"call": f.default_call}
    elif f.default is not None:
        out["default"] = f.default
    return out
