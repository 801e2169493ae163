"""Documents as a SQLite file: imported tables by their own SQL, each value in its storage class."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from localsrv.base.errors import StorageError
from localsrv.importing.columns import ID, ExportColumn, export_columns, source_of, sql_type, titles
from localsrv.importing.driver import quoted, sqlite3
from localsrv.importing.export_text import Fetch
from localsrv.importing.spool import Spool
from localsrv.importing.values import Opaque, restored
from localsrv.model.schema import Collection, OnDelete, Relation

_ALLOWED = frozenset(
    {
        sqlite3.SQLITE_CREATE_TABLE,
        sqlite3.SQLITE_CREATE_INDEX,
        sqlite3.SQLITE_REINDEX,
        sqlite3.SQLITE_FUNCTION,
    }
)
_ON_SCHEMA = frozenset({sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_READ})


class SqliteExport:
    """Writes collections into a new file, all in one transaction."""

    def __init__(self, path: Path, notices: list[str]) -> None:
        self._notices = notices
        self._connection: Any = sqlite3.connect(path, isolation_level=None)
        self._tables: dict[str, str] = {}  # collection id → table name
        self._has_attachments = False
        self._connection.execute("PRAGMA ignore_check_constraints=ON")  # the rows are facts, rules come later
        self._connection.execute("BEGIN")

    def close(self) -> None:
        """Finishes the file.

        Raises:
            StorageError: there is no room for it.
        """
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise _unwritable(error) from error
        finally:
            self._connection.close()

    def abandon(self) -> None:
        self._connection.close()

    def name_tables(self, collections: Iterable[Collection]) -> None:
        """Decides the tables' names beforehand, so that foreign keys can name them."""
        taken: set[str] = set()
        for collection in collections:
            original = source_of(collection).get("table")
            wanted = (
                original if isinstance(original, str) and not original.lower().startswith("sqlite_") else ""
            )
            name = wanted if wanted and wanted.lower() not in taken else collection.name
            while name.lower() in taken:
                name += "_"
            taken.add(name.lower())
            self._tables[collection.name] = name

    def add(self, spool: Spool, fetch: Fetch) -> int:
        """Writes one collection; how many rows."""
        collection = spool.collection
        table = self._tables[collection.name]
        columns = export_columns(collection, spool.profile)
        names = titles(collection, columns, "sqlite")
        declared = [sql_type(collection, c, spool.profile.columns.get(c.field)) for c in columns]
        try:
            if not self._create_as_before(collection, table, columns, names):
                self._create(collection, table, columns, names, declared)
            return self._insert_all(spool, fetch, table, columns, names)
        except sqlite3.IntegrityError as error:
            self._notices.append(
                f"`{table}` is written without its rules, since its rows break one: {error}."
            )
            self._connection.execute(f"DROP TABLE IF EXISTS {quoted(table)}")
            self._create_plain(table, names, declared)
            columns = [ExportColumn(c.title, c.field, c.declared) for c in columns]
            return self._insert_all(spool, fetch, table, columns, names)
        except sqlite3.Error as error:
            raise _unwritable(error) from error

    # ── tables ─────────────────────────────────────────────────────────────────────────────────────────────

    def _create_as_before(
        self, collection: Collection, table: str, columns: list[ExportColumn], names: list[str]
    ) -> bool:
        """Runs the table's own SQL, which may do nothing but make that table and its indexes."""
        source = source_of(collection)
        sql = source.get("sql")
        if source.get("format") != "sqlite" or not isinstance(sql, str):
            return False
        statements = [sql, *(s for s in source.get("indexes", []) if isinstance(s, str))]
        self._connection.execute("SAVEPOINT creating")
        self._connection.set_authorizer(_authorize)
        try:
            for statement in statements:
                self._connection.execute(statement)
        except (sqlite3.Error, sqlite3.Warning) as error:
            problem = str(error)
        else:
            problem = ""
        finally:
            self._connection.set_authorizer(None)
        have = {r[1] for r in self._connection.execute(f"PRAGMA table_xinfo({quoted(table)})")}
        if problem or not {c.title for c in columns if c.declared is not None} <= have:
            self._connection.execute("ROLLBACK TO creating")
            self._connection.execute("RELEASE creating")
            problem = problem or "columns are missing"
            self._notices.append(f"`{table}` could not be made by its own SQL: {problem}.")
            return False
        self._connection.execute("RELEASE creating")
        strict = self._connection.execute(
            "SELECT strict FROM pragma_table_list WHERE name=?", (table,)
        ).fetchone()
        for name in names:
            if name not in have:
                added = f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(name)} {'ANY' if strict[0] else ''}"
                self._connection.execute(added)
        return True

    def _create(
        self,
        collection: Collection,
        table: str,
        columns: list[ExportColumn],
        names: list[str],
        declared: list[str],
    ) -> None:
        title = {c.field: n for c, n in zip(columns, names, strict=True)}
        parts = [f"{quoted(n)} {t}" for n, t in zip(names, declared, strict=True)]
        key = [title[k] for k in collection.key] or ([title[ID]] if ID in title else [])
        if key:
            parts.append(f"PRIMARY KEY ({_list(key)})")
        parts += [f"UNIQUE ({_list([title[f] for f in group])})" for group in collection.unique]
        parts += [found for r in collection.relations if (found := self._foreign_key(r, title))]
        self._connection.execute(f"CREATE TABLE {quoted(table)} ({', '.join(parts)})")
        for number, group in enumerate(collection.indexes, 1):
            name = quoted(f"{table}_{number}")
            self._connection.execute(
                f"CREATE INDEX {name} ON {quoted(table)} ({_list([title[f] for f in group])})"
            )

    def _foreign_key(self, relation: Relation, title: dict[str, str]) -> str | None:
        if relation.to not in self._tables:
            return None
        action = {OnDelete.CASCADE: " ON DELETE CASCADE", OnDelete.SET_NULL: " ON DELETE SET NULL"}
        return (
            f"FOREIGN KEY ({_list([title[f] for f in relation.fields])})"
            f" REFERENCES {quoted(self._tables[relation.to])} ({_list(relation.to_fields)})"
            f"{action.get(relation.on_delete, '')}"
        )

    def _create_plain(self, table: str, names: list[str], declared: list[str]) -> None:
        parts = ", ".join(f"{quoted(n)} {t}" for n, t in zip(names, declared, strict=True))
        self._connection.execute(f"CREATE TABLE {quoted(table)} ({parts})")

    # ── rows ───────────────────────────────────────────────────────────────────────────────────────────────

    def _insert_all(
        self, spool: Spool, fetch: Fetch, table: str, columns: list[ExportColumn], names: list[str]
    ) -> int:
        written = [(c.field, n) for c, n in zip(columns, names, strict=True) if not c.is_generated]
        fields = {field for field, _ in written}
        count = 0
        for document in spool.documents():
            stubs = document.get("_attachments") or {}
            attached = {
                name: restored(str(stub.get("content_type")), fetch(document["_id"], name))
                for name, stub in stubs.items()
            }
            values = [attached.get(field) or document.get(field) for field, _ in written]
            self._insert(table, [name for _, name in written], values)
            for name, value in attached.items():
                if name not in fields:
                    self._keep_attachment(table, document, name, value.data)
            count += 1
        self._restore_sequence(spool.collection, table)
        return count

    def _insert(self, table: str, names: list[str], values: list[Any]) -> None:
        if not names:
            self._connection.execute(f"INSERT INTO {quoted(table)} DEFAULT VALUES")
            return
        marks = ["CAST(? AS TEXT)" if isinstance(v, Opaque) and v.kind == "text" else "?" for v in values]
        self._connection.execute(
            f"INSERT INTO {quoted(table)} ({_list(names)}) VALUES ({', '.join(marks)})",  # noqa: S608
            [_stored(v) for v in values],
        )

    def _keep_attachment(self, table: str, document: dict[str, Any], name: str, data: bytes) -> None:
        """Attachments that were no column go to a table of their own."""
        if not self._has_attachments:
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS attachments_of_documents"
                '("table" TEXT, id TEXT, name TEXT, content_type TEXT, data BLOB,'
                ' PRIMARY KEY("table", id, name))'
            )
            self._has_attachments = True
        content_type = document["_attachments"][name].get("content_type")
        self._connection.execute(
            "INSERT OR REPLACE INTO attachments_of_documents VALUES(?, ?, ?, ?, ?)",
            (table, document["_id"], name, content_type, data),
        )

    def _restore_sequence(self, collection: Collection, table: str) -> None:
        """AUTOINCREMENT's memory of numbers once given."""
        sequence = source_of(collection).get("sequence")
        if (
            not isinstance(sequence, int)
            or not self._connection.execute(
                "SELECT 1 FROM sqlite_schema WHERE name='sqlite_sequence'"
            ).fetchone()
        ):
            return
        changed = self._connection.execute(
            "UPDATE sqlite_sequence SET seq=max(seq, ?) WHERE name=?", (sequence, table)
        )
        if not changed.rowcount:
            self._connection.execute("INSERT INTO sqlite_sequence(name, seq) VALUES(?, ?)", (table, sequence))


def _authorize(
    action: int, first: str | None, _second: str | None, schema: str | None, _by: str | None
) -> int:
    if schema not in (None, "main"):
        return sqlite3.SQLITE_DENY
    if action in _ALLOWED or (action in _ON_SCHEMA and str(first).startswith("sqlite_")):
        return sqlite3.SQLITE_OK
    # CHECK constraints, generated columns and indexes read the columns of the table being made.
    return sqlite3.SQLITE_OK if action == sqlite3.SQLITE_READ else sqlite3.SQLITE_DENY


def _list(names: Iterable[str]) -> str:
    return ", ".join(quoted(n) for n in names)


def _stored(value: Any) -> Any:
    """A JSON value as SQLite stores it."""
    if isinstance(value, Opaque):
        return float(value.data) if value.kind == "real" else value.data
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else str(value)
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else value


def _unwritable(error: Exception) -> StorageError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == 13:
        return StorageError(
            "There is no room for the file.", code="storage-full", hint="Make room, or choose another -o."
        )
    return StorageError(f"The file cannot be written: {error}.", code="storage-unwritable")
