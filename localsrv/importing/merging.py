"""A definition that is there, and the one that an import brings: nothing that was set is taken away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from localsrv.base.errors import Conflict
from localsrv.model.schema import Collection, Field, FieldType, Relation

_NUMBERS = (FieldType.INTEGER, FieldType.NUMBER, FieldType.DECIMAL)
_MOMENTS = (FieldType.DATE, FieldType.TIMESTAMP, FieldType.TIMESTAMPTZ)


def merged(there: Collection, brought: Collection) -> Collection:
    """`there` with what `brought` adds: fields, indexes, relations; types are widened where needed.

    What the import says of the file replaces what an earlier one said. `required` holds only if both say so.

    Raises:
        Conflict: the keys differ, so the documents' ids would.
    """
    if not brought.fields and not brought.key:
        return there
    if there.key != brought.key:
        before = ", ".join(there.key) or "no key"
        raise Conflict(
            f"The collection `{there.name}` has another key ({before}) than the file gives it.",
            code="key-differs",
            details=", ".join(brought.key) or "no key",
            hint=f"Add --key {','.join(there.key)}, or import into another app or collection."
            if there.key
            else "Import into another app or collection.",
        )
    return replace(
        there,
        title=there.title if there.title is not None else brought.title,
        fields=_fields(there, brought),
        indexes=_union(there.indexes, brought.indexes),
        unique=_union(there.unique, brought.unique),
        relations=_relations(there.relations, brought.relations),
        source=brought.source,
    )


def _fields(there: Collection, brought: Collection) -> tuple[Field, ...]:
    new = {f.name: f for f in brought.fields}
    kept = [
        replace(f, type=wider(f.type, new[f.name].type), required=f.required and new[f.name].required)
        if f.name in new
        else f
        for f in there.fields
    ]
    had = {f.name for f in kept}
    # A field added to documents that are there already cannot be required of them.
    return (*kept, *(replace(f, required=False) for f in brought.fields if f.name not in had))


def wider(one: FieldType, other: FieldType) -> FieldType:
    """A type that takes the values of both."""
    if one is other:
        return one
    if one in _NUMBERS and other in _NUMBERS:
        return FieldType.DECIMAL if FieldType.DECIMAL in (one, other) else FieldType.NUMBER
    texts = (FieldType.TEXT, FieldType.TIME, FieldType.UUID, *_MOMENTS)
    return FieldType.TEXT if one in texts and other in texts else FieldType.JSON


def _union(
    there: Sequence[tuple[str, ...]], brought: Sequence[tuple[str, ...]]
) -> tuple[tuple[str, ...], ...]:
    return (*there, *(g for g in brought if g not in there))


def _relations(there: Sequence[Relation], brought: Sequence[Relation]) -> tuple[Relation, ...]:
    def target(relation: Relation) -> tuple[object, ...]:
        return relation.fields, relation.to, relation.to_fields

    had, names = {target(r) for r in there}, {r.name for r in there}
    return (*there, *(r for r in brought if target(r) not in had and r.name not in names))
