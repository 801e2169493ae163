"""Creating and changing collections: from one definition to the next, data staying where it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

import orjson

from localsrv.base.errors import ConfigError, NotFound
from localsrv.model.schema import Collection
from localsrv.model.schema_json import as_json
from localsrv.model.schema_relations import resolve_relations
from localsrv.store.catalog import COLUMN_TYPE, CollectionState, hidden_name, load_one
from localsrv.store.driver import quoted
from localsrv.store.engine import Transaction
from localsrv.store.query_table import full_text_table

_TABLES_OF_COLLECTIONS = (
    "collections", "fields", "tombstones", "revisions", "attachments", "synced", "local", "settings",
)  # fmt: skip

_FTS_RESERVED = ("rank", "rowid")


def define(
    tx: Transaction, states: Mapping[str, CollectionState], definitions: Mapping[str, Collection]
) -> tuple[dict[str, CollectionState], list[str]]:
    """Brings the file to `definitions` (collections not named stay) and says in words what changed.

    Raises:
        ConfigError: a relation without target, a changed key over existing documents, a full-text field
            whose name FTS5 reserves. Nothing is changed then.
    """
    everything = {name: state.definition for name, state in states.items()} | dict(definitions)
    resolved = resolve_relations(everything)
    out = dict(states)
    changes: list[str] = []
    for name in definitions:
        new, state = resolved[name], states.get(name)
        if state is None:
            out[name] = _create(tx, new)
            changes.append(f"created collection {name}")
        elif state.definition != new:
            changes += _alter(tx, state, new)
            out[name] = load_one(tx.connection, state.number, new)
            out[name].design = state.design
    _refresh_relation_indexes(tx, out)
    return out, changes


def drop(tx: Transaction, state: CollectionState, states: Mapping[str, CollectionState], seq: int) -> None:
    """Removes a collection with everything of it; its sequence numbers are never given again."""
    for other in states.values():
        for relation in other.definition.relations:
            if relation.to == state.name and other.name != state.name:
                raise ConfigError(
                    f"`{other.name}` refers to `{state.name}` by {relation.name}.",
                    details=f"collections.{other.name}.relations",
                    hint=f"Remove that relation or `{other.name}` first.",
                )
    _drop_full_text(tx, state.definition)
    for part in state.parts:
        tx.execute(f"DROP TABLE {part.table}")
        for table in _TABLES_OF_COLLECTIONS:
            column = "number" if table == "collections" else "collection"
            tx.execute(f"DELETE FROM localsrv_{table} WHERE {column} = ?", (part.number,))
    tx.execute("UPDATE localsrv_meta SET value = ? WHERE key = 'seq_floor'", (str(seq),))


def create_design(tx: Transaction, state: CollectionState) -> CollectionState:
    """The collection of a collection's design documents, made now."""
    return _create(tx, Collection(hidden_name(state)))


def _create(tx: Transaction, new: Collection) -> CollectionState:
    cursor = tx.execute(
        "INSERT INTO localsrv_collections (name, definition) VALUES (?, ?)",
        (new.name, json.dumps(as_json(new))),
    )
    columns = "".join(f",\n    {quoted(f.name)} {COLUMN_TYPE[f.type]}" for f in new.fields)
    tx.execute(
        f"CREATE TABLE {quoted(new.name)} (\n    _row INTEGER PRIMARY KEY,\n    _id TEXT NOT NULL UNIQUE,\n"
        f"    _rev TEXT NOT NULL,\n    _seq INTEGER NOT NULL,\n    _body TEXT NOT NULL{columns}\n)"
    )
    for name, columns_of in _indexes(new):
        tx.execute(_index_sql(new.name, name, columns_of))
    _create_full_text(tx, new)
    assert cursor.lastrowid is not None
    return CollectionState(cursor.lastrowid, new, frozenset())


def _alter(tx: Transaction, state: CollectionState, new: Collection) -> list[str]:
    old = state.definition
    if new.key != old.key and (state.documents or state.tombstones):
        raise ConfigError(
            f"The key of `{new.name}` cannot change while it holds documents: their ids come from it.",
            details=f"collections.{new.name}.key",
            hint="Export the collection, drop it, and import it under the new key.",
        )
    changes = _alter_columns(tx, state, new)
    tx.execute(
        "UPDATE localsrv_collections SET definition = ? WHERE number = ?",
        (json.dumps(as_json(new)), state.number),
    )
    return changes or [f"{new.name}: definition updated"]


def _alter_columns(tx: Transaction, state: CollectionState, new: Collection) -> list[str]:
    old = state.definition
    before, after = {f.name: f for f in old.fields}, {f.name: f for f in new.fields}
    gone = [n for n in before if n not in after]
    retyped = [n for n in after if n in before and before[n].type != after[n].type]
    added = [n for n in after if n not in before]
    wanted, present = dict(_indexes(new)), dict(_indexes(old))
    rebuild = set(gone + retyped)
    searched_anew = bool(rebuild) or _full_text_of(old) != _full_text_of(new)
    for name, columns in present.items():
        if name not in wanted or rebuild.intersection(columns):
            tx.execute(f"DROP INDEX IF EXISTS {quoted(name)}")
    if searched_anew:
        _drop_full_text(tx, old)
    for name in gone + retyped:
        tx.execute(f"ALTER TABLE {state.table} DROP COLUMN {quoted(name)}")
    for name in retyped + added:
        tx.execute(f"ALTER TABLE {state.table} ADD COLUMN {quoted(name)} {COLUMN_TYPE[after[name].type]}")
    if retyped or added:
        _fill(tx, replace(new, fields=tuple(after[n] for n in retyped + added)))
    for name, columns in wanted.items():
        if name not in present or rebuild.intersection(columns):
            tx.execute(_index_sql(new.name, name, columns))
    if searched_anew:
        _create_full_text(tx, new)
    for name in gone:  # the documents still hold it, so it can still be asked for
        tx.execute("INSERT OR IGNORE INTO localsrv_fields VALUES (?, ?)", (state.number, name))
    words = [(gone, "removed"), (retyped, "changed type of"), (added, "added")]
    changes = [
        f"{new.name}: {verb} {'field' if len(n) == 1 else 'fields'} {', '.join(n)}" for n, verb in words if n
    ]
    if set(wanted) != set(present):
        changes.append(f"{new.name}: indexes updated")
    if _full_text_of(old) != _full_text_of(new):
        changes.append(f"{new.name}: full-text index rebuilt")
    return changes


def _fill(tx: Transaction, part: Collection) -> None:
    """Writes the columns of `part.fields` from the bodies, which always hold the whole document."""
    state = CollectionState(0, part, frozenset())
    sets = ", ".join(f"{quoted(c)} = ?" for c in state.columns)

    def rows() -> Iterator[list[object]]:
        last = -1
        while page := tx.execute(
            f"SELECT _row, _body FROM {state.table} WHERE _row > ? ORDER BY _row LIMIT 1000",
            (last,),
        ).fetchall():
            for row, body in page:
                yield [*state.safe_column_values(orjson.loads(body)), row]
            last = page[-1][0]

    tx.executemany(f"UPDATE {state.table} SET {sets} WHERE _row = ?", rows())


def _indexes(c: Collection) -> Iterator[tuple[str, tuple[str, ...]]]:
    """`(index name, columns)` of all a definition implies; none is UNIQUE: that is the writer's rule."""
    seen: set[tuple[str, ...]] = {("_seq",)}
    yield f"ix:{c.name}:_seq", ("_seq",)
    groups = [c.key] + list(c.unique) + list(c.indexes) + [r.fields for r in c.relations]
    for group in groups:
        columns = tuple("_id" if n == "id" and not c.key else n for n in group)
        if columns and columns != ("_id",) and columns not in seen:
            seen.add(columns)
            yield f"ix:{c.name}:{','.join(columns)}", columns


def _index_sql(table: str, name: str, columns: tuple[str, ...]) -> str:
    return f"CREATE INDEX {quoted(name)} ON {quoted(table)} ({', '.join(map(quoted, columns))})"


def _refresh_relation_indexes(tx: Transaction, states: Mapping[str, CollectionState]) -> None:
    """A relation's default target fields may have been filled only now; keep the stored form whole."""
    for state in states.values():
        tx.execute(
            "UPDATE localsrv_collections SET definition = ? WHERE number = ?",
            (json.dumps(as_json(state.definition)), state.number),
        )


# ---- full text


def _full_text_of(c: Collection) -> dict[str, object]:
    return {} if c.full_text is None else {**c.full_text.weights, "": c.full_text.prefix}


def _drop_full_text(tx: Transaction, c: Collection) -> None:
    for event in ("insert", "delete", "update"):
        tx.execute(f"DROP TRIGGER IF EXISTS {quoted(f'fts:{c.name}:{event}')}")
    tx.execute(f"DROP TABLE IF EXISTS {quoted(full_text_table(c.name))}")


def _create_full_text(tx: Transaction, c: Collection) -> None:
    """An FTS5 index over the table's columns, kept by triggers so that no writer can forget it."""
    _drop_full_text(tx, c)
    if c.full_text is None:
        return
    for name in c.full_text.weights:
        if name.lower() in _FTS_RESERVED:
            raise ConfigError(
                f"`{name}` cannot be searched: SQLite's full-text index reserves the name.",
                details=f"collections.{c.name}.full_text",
            )
    index, table = quoted(full_text_table(c.name)), quoted(c.name)
    names = [quoted(n) for n in c.full_text.weights]
    listed, new, old = (", ".join(prefix + n for n in names) for prefix in ("", "new.", "old."))
    prefix = f", prefix='{' '.join(map(str, c.full_text.prefix))}'" if c.full_text.prefix else ""
    literal = c.name.replace("'", "''")
    tx.execute(
        f"CREATE VIRTUAL TABLE {index} USING fts5({listed}, content='{literal}', content_rowid='_row', "
        f"tokenize='unicode61 remove_diacritics 2'{prefix})"
    )
    add = f"INSERT INTO {index} (rowid, {listed}) VALUES (new._row, {new});"
    remove = f"INSERT INTO {index} ({index}, rowid, {listed}) VALUES ('delete', old._row, {old});"
    for event, when, action in (
        ("insert", "INSERT", add),
        ("delete", "DELETE", remove),
        ("update", f"UPDATE OF {listed}", remove + add),
    ):
        trigger = quoted(f"fts:{c.name}:{event}")
        tx.execute(f"CREATE TRIGGER {trigger} AFTER {when} ON {table} BEGIN {action} END")
    tx.execute(f"INSERT INTO {index} ({index}) VALUES ('rebuild')")


def known(states: Mapping[str, CollectionState], name: str) -> CollectionState:
    """The state of a collection. Raises NotFound (`code="no-collection"`) with the nearest name."""
    state = states.get(name)
    if state is None:
        import difflib

        near = difflib.get_close_matches(name[:100], states, n=1)
        raise NotFound(
            f"Collection `{name[:80]}` does not exist.",
            code="no-collection",
            hint=f"Did you mean `{near[0]}`?"
            if near
            else "Collections are made by an import, by app.toml, or with PUT /api/v1/apps/…/collections.",
        )
    return state
