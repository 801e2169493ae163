"""A SQLite file as a source: its tables as declared, its rows as stored."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localsrv.base.errors import StorageError
from localsrv.importing.driver import quoted, sqlite3
from localsrv.importing.sqlite_open import RECOVER, OpenFile, read_error
from localsrv.importing.tables import Column, ForeignKey, Row, Table
from localsrv.importing.values import Opaque, real_value, text_value

# Of integrity_check's reports these are about rules of tables, not about damage: the rows are all there.
_SOFT = re.compile(
    r"(NULL value in|CHECK constraint failed in|non-\w+ value in|NUMERIC value in|TEXT value in) "
)


class SqliteFile:
    """See `tables.Source`. Views, triggers, virtual tables and their shadow tables are named in `notices`."""

    format = "sqlite"
    is_textual = False

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.notices: list[str] = []
        self._file = OpenFile(path, name)
        self._connection = self._file.connection
        try:
            self._check()
            self.tables = self._read_tables()
        except sqlite3.Error as error:
            self.close()
            raise read_error(self._file.name, error) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._file.close()

    def _rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, parameters).fetchall()  # type: ignore[no-any-return]

    def _check(self) -> None:
        """Damage that reading alone may step over in silence, such as a lost page of a tree."""
        for (report,) in self._rows("PRAGMA quick_check(20)"):
            if report != "ok" and not _SOFT.match(report):
                raise StorageError(
                    f"{self._file.name} is damaged: {report.splitlines()[-1]}.",
                    code="storage-damaged",
                    details=report,
                    hint=RECOVER,
                )

    def _read_tables(self) -> tuple[Table, ...]:
        listed = [
            r for r in self._rows("PRAGMA table_list") if r[0] == "main" and not r[1].startswith("sqlite_")
        ]
        for kind, text in (
            ("view", "Views are not imported, only tables: {}."),
            ("virtual", "Virtual tables are not imported: {}."),
            ("shadow", "Tables that belong to virtual tables are not imported: {}."),
        ):
            if names := sorted(r[1] for r in listed if r[2] == kind):
                self.notices.append(text.format(", ".join(f"`{n}`" for n in names)))
        if triggers := [
            r[0] for r in self._rows("SELECT name FROM sqlite_schema WHERE type='trigger' ORDER BY 1")
        ]:
            self.notices.append(f"Triggers are not imported: {', '.join(f'`{n}`' for n in triggers)}.")
        order = {
            n: i for i, (n,) in enumerate(self._rows("SELECT name FROM sqlite_schema WHERE type='table'"))
        }
        tables = sorted((r[1] for r in listed if r[2] == "table"), key=lambda n: order.get(n, 0))
        return tuple(self._read_table(name) for name in tables)

    def _read_table(self, name: str) -> Table:
        columns: list[Column] = []
        key: list[tuple[int, str]] = []
        info = self._rows(
            'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)', name
        )
        for column, declared, not_null, default, position, hidden in info:
            if hidden == 1:
                continue
            columns.append(Column(column, column, declared or "", bool(not_null), default, hidden in (2, 3)))
            if position:
                key.append((position, column))
        unique, indexes = self._read_indexes(name)
        primary_key = tuple(column for _, column in sorted(key))
        return Table(
            name=name,
            columns=tuple(columns),
            primary_key=primary_key,
            foreign_keys=self._read_foreign_keys(name),
            unique=tuple(u for u in unique if set(u) != set(primary_key)),
            indexes=indexes,
            source=self._source(name),
        )

    def _read_indexes(self, table: str) -> tuple[list[tuple[str, ...]], tuple[tuple[str, ...], ...]]:
        unique: list[tuple[str, ...]] = []
        indexes: list[tuple[str, ...]] = []
        for name, is_unique, origin, is_partial in self._rows(
            'SELECT name, "unique", origin, partial FROM pragma_index_list(?) ORDER BY seq DESC', table
        ):
            names = self._rows("SELECT name FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno", name)
            columns = tuple(n for (n,) in names)
            if is_partial or not columns or None in columns:
                self.notices.append(
                    f"Index `{name}` of table `{table}` is not imported: it is partial or of expressions."
                )
            elif is_unique:
                if columns not in unique:
                    unique.append(columns)
            elif origin == "c" and columns not in indexes:
                indexes.append(columns)
        return unique, tuple(indexes)

    def _read_foreign_keys(self, table: str) -> tuple[ForeignKey, ...]:
        grouped: dict[int, list[tuple[Any, ...]]] = {}
        for row in self._rows(
            'SELECT id, seq, "table", "from", "to", on_delete FROM pragma_foreign_key_list(?)'
            " ORDER BY id DESC, seq",
            table,
        ):
            grouped.setdefault(row[0], []).append(row)
        return tuple(
            ForeignKey(
                columns=tuple(r[3] for r in rows),
                table=rows[0][2],
                to=tuple(r[4] for r in rows) if all(r[4] for r in rows) else (),
                on_delete=rows[0][5],
            )
            for rows in grouped.values()
        )

    def _source(self, table: str) -> dict[str, Any]:
        """The table's own SQL, so that an export makes the same table."""
        [(sql,)] = self._rows("SELECT sql FROM sqlite_schema WHERE type='table' AND name=?", table)
        source: dict[str, Any] = {"format": "sqlite", "table": table, "sql": sql}
        index_sql = self._rows(
            "SELECT sql FROM sqlite_schema WHERE type='index' AND tbl_name=? AND sql IS NOT NULL"
            " ORDER BY rowid",
            table,
        )
        if index_sql:
            source["indexes"] = [s for (s,) in index_sql]
        if self._rows("SELECT 1 FROM sqlite_schema WHERE name='sqlite_sequence'"):
            sequence = self._rows(
                "SELECT max(seq) FROM sqlite_sequence WHERE name=? AND typeof(seq)='integer'", table
            )
            if sequence[0][0] is not None:
                source["sequence"] = sequence[0][0]
        return source

    def rows(self, table: Table, *, with_blobs: bool = True) -> Iterator[tuple[int, Row]]:
        """Each row with its number, from 1."""
        names = [c.name for c in table.columns]
        pick = "{0}" if with_blobs else "CASE typeof({0}) WHEN 'blob' THEN zeroblob(0) ELSE {0} END"
        listed = ", ".join(pick.format(quoted(n)) for n in names)
        try:
            cursor = self._connection.cursor()
            self._connection.text_factory = text_value
            cursor.execute(f"SELECT {listed} FROM main.{quoted(table.name)}")  # noqa: S608 - quoted names
            for number, values in enumerate(cursor, 1):
                yield number, {n: _value(v) for n, v in zip(names, values, strict=True)}
        except sqlite3.Error as error:
            raise read_error(self._file.name, error, table.name) from error
        finally:
            self._connection.text_factory = str
        if with_blobs:
            self._file.check_unchanged()


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        return Opaque("blob", value)
    return real_value(value) if isinstance(value, float) else value
