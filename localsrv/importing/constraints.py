"""Keys, foreign keys and indexes of tables as relations, unique fields and indexes of collections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from localsrv.importing.plans import FieldPlan, TablePlan
from localsrv.importing.tables import ForeignKey, Table
from localsrv.model.schema import Collection, OnDelete, Relation

Groups = tuple[tuple[str, ...], ...]

_ON_DELETE = {"CASCADE": OnDelete.CASCADE, "SET NULL": OnDelete.SET_NULL}


def index_groups(table: Table, typed: Mapping[str, FieldPlan], key: Sequence[str]) -> tuple[Groups, Groups]:
    """(unique, indexes) as field names; groups with columns that are no fields are left out.

    A primary key that gives no ids is still unique.
    """
    unique = list(table.unique)
    if table.primary_key and tuple(table.primary_key) != tuple(key):
        unique.insert(0, table.primary_key)

    def named(groups: Sequence[tuple[str, ...]]) -> Groups:
        fit = [g for g in groups if all(c in typed for c in g)]
        return tuple(tuple(typed[c].field for c in g) for g in fit)

    return named([u for u in unique if set(u) != set(key)]), named(table.indexes)


def linked(plans: Sequence[TablePlan], names: Mapping[str, str], notices: list[str]) -> list[TablePlan]:
    """The plans with foreign keys as relations; those that cannot be one are named in `notices`."""
    by_table = {p.table.name.lower(): p for p in plans}
    out = []
    for plan in plans:
        relations: list[Relation] = []
        for foreign in plan.table.foreign_keys:
            found = _relation(plan, foreign, by_table, relations)
            if isinstance(found, Relation):
                relations.append(found)
            else:
                columns = ", ".join(foreign.columns)
                notices.append(f"The foreign key {columns} of `{plan.table.name}` is not imported: {found}.")
        out.append(replace(plan, collection=replace(plan.collection, relations=tuple(relations))))
    return _without_cycles(out, notices)


def _relation(
    plan: TablePlan, foreign: ForeignKey, by_table: Mapping[str, TablePlan], before: Sequence[Relation]
) -> Relation | str:
    """The relation, or why there is none."""
    target = by_table.get(foreign.table.lower())
    if target is None:
        return f"there is no table `{foreign.table}`"
    fields = _fields(plan, foreign.columns)
    to = _fields(target, foreign.to or target.table.primary_key)
    if fields is None or to is None or len(fields) != len(to):
        return f"its columns are not fields here or in `{foreign.table}`"
    there = target.collection
    if set(to) != set(there.key) and not any(set(to) == set(u) for u in there.unique):
        return f"{', '.join(to)} of `{foreign.table}` is neither its key nor unique"
    if any(r.fields == fields and r.to == there.name and r.to_fields == to for r in before):
        return "it is declared twice"
    name = base = f"{plan.collection.name}_{'_'.join(fields)}_fkey"
    number = 1
    while any(r.name == name for r in before):
        number += 1
        name = f"{base}_{number}"
    return Relation(name, fields, there.name, to, _ON_DELETE.get(foreign.on_delete, OnDelete.RESTRICT))


def _fields(plan: TablePlan, columns: Sequence[str]) -> tuple[str, ...] | None:
    """Field names of columns, whose case SQL ignores; None if one is no field."""
    fields = {f.column.lower(): f.field for f in plan.fields if f.kind is not None}
    found = tuple(fields.get(c.lower(), "") for c in columns)
    return found if found and all(found) else None


def _needs(collection: Collection) -> Iterator[Relation]:
    """Relations without whose target no document can be written; the model refuses cycles of them."""
    must = {f.name for f in collection.fields if f.required} | set(collection.key)
    return (r for r in collection.relations if r.to != collection.name and all(n in must for n in r.fields))


def _without_cycles(plans: list[TablePlan], notices: list[str]) -> list[TablePlan]:
    """Loosens cycles of required relations: their fields become optional, or, in a key, the relation goes."""
    collections = {p.collection.name: p.collection for p in plans}
    while found := _cycle(collections):
        name, relation = found
        collection = collections[name]
        loose = [f for f in relation.fields if f not in collection.key]
        if loose:
            fields = tuple(replace(f, required=f.required and f.name not in loose) for f in collection.fields)
            collections[name] = replace(collection, fields=fields)
            notices.append(
                f"{', '.join(loose)} of `{name}` is optional: tables require each other in a circle."
            )
        else:
            relations = tuple(r for r in collection.relations if r is not relation)
            collections[name] = replace(collection, relations=relations)
            notices.append(
                f"The relation {relation.name} is not imported: keys refer to each other in a circle."
            )
    return [replace(p, collection=collections[p.collection.name]) for p in plans]


def _cycle(collections: Mapping[str, Collection]) -> tuple[str, Relation] | None:
    """A collection and its required relation that closes a circle."""
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> tuple[str, Relation] | None:
        for relation in _needs(collections[name]):
            if relation.to in (*path, name):
                return name, relation
            if relation.to not in done and (found := visit(relation.to, (*path, name))):
                return found
        done.add(name)
        return None

    return next((found for n in collections if n not in done and (found := visit(n, ()))), None)


def sending_order(plans: Sequence[TablePlan]) -> list[TablePlan]:
    """Collections that others refer to first; within circles the file's order."""
    by_name = {p.collection.name: p for p in plans}
    out: dict[str, TablePlan] = {}
    entered: set[str] = set()

    def visit(name: str) -> None:
        if name in entered:
            return
        entered.add(name)
        for relation in by_name[name].collection.relations:
            visit(relation.to)
        out[name] = by_name[name]

    for plan in plans:
        visit(plan.collection.name)
    return list(out.values())
