"""A collection's definition in its JSON form, as the store keeps it and the admin API shows it."""

from __future__ import annotations

from typing import Any

from localsrv.model.schema import Collection, ConflictPolicy, Field


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
