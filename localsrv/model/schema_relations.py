"""What relations between collections refer to, and whether any document could ever be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from localsrv.model.schema import Collection
from localsrv.model.schema_refusals import bad, nearest


def resolve_relations(collections: Mapping[str, Collection]) -> dict[str, Collection]:
    """Fills `to_fields` left empty with the target's key, and checks every target.

    A relation may point at its own collection; a cycle over several collections is allowed between
    nullable fields only, since otherwise no first document could ever be written.

    Raises:
        ConfigError: unknown target, fields that are neither its key nor unique, a different number of
            fields, or a cycle of required relations.
    """
    out: dict[str, Collection] = {}
    for name, c in collections.items():
        relations = []
        seen: set[str] = set()
        for i, r in enumerate(c.relations):
            where = f"collections.{name}.relations[{i}]"
            target = collections.get(r.to)
            if target is None:
                raise bad(where, f"collection `{r.to}` does not exist", nearest(r.to, sorted(collections)))
            to_fields = r.to_fields or target.key or ("id",)
            identity = target.key or ("id",)
            if set(to_fields) != set(identity) and not any(set(u) == set(to_fields) for u in target.unique):
                raise bad(where, f"`{', '.join(to_fields)}` is neither the key nor unique in `{r.to}`")
            if len(to_fields) != len(r.fields):
                raise bad(where, f"{len(r.fields)} fields refer to {len(to_fields)}")
            if r.name in seen:
                raise bad(where, f"a relation named `{r.name}` exists already")
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
            raise bad(
                f"collections.{name}.relations", f"required relations form a cycle: {cycle}",
                "Make one of these fields optional.",
            )  # fmt: skip
        state[name] = 1
        for to in needs(collections[name]):
            visit(to, (*path, name))
        state[name] = 2

    for name in collections:
        visit(name, ())
