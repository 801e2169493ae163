"""Collections → files. The new file appears under its name only when it is whole."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from localsrv.base.errors import Conflict, StorageError
from localsrv.importing.columns import source_of
from localsrv.importing.export_sqlite import SqliteExport
from localsrv.importing.export_text import Fetch, delimited_lines, json_array, json_documents
from localsrv.importing.spool import Spool
from localsrv.model.schema import Collection

Progress = Callable[[str, int], None]
"""Called with a collection's name and the documents written so far."""


@dataclass(frozen=True, slots=True)
class Supply:
    """One collection to export. `documents` gives them raw: `_id`, `_rev`, stubs in `_attachments`."""

    collection: Collection
    documents: Callable[[], Iterable[dict[str, Any]]]
    fetch: Fetch


@dataclass(slots=True)
class Exported:
    """What was written: documents by collection, and what the person should know."""

    documents: dict[str, int] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)


@contextmanager
def whole_or_nothing(target: Path, *, force: bool) -> Iterator[Path]:
    """A name beside `target` to write to, renamed to it at the end. An existing target stays unless `force`.

    Raises:
        Conflict: it exists (`file-exists`).
        StorageError: the folder cannot be written, or the disk is full.
    """
    if (target.exists() or target.is_symlink()) and not force:
        raise Conflict(
            f"{target} exists already.", code="file-exists", hint="Choose another name, or add --force."
        )
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
    try:
        yield temporary
        if temporary.is_file():
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        temporary.replace(target)
    except OSError as error:
        code = "storage-full" if error.errno == 28 else "storage-unwritable"
        raise StorageError(f"{target} cannot be written: {error.strerror}.", code=code) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def export_sqlite(path: Path, supplies: list[Supply], progress: Progress | None = None) -> Exported:
    """Writes all collections as tables of one new SQLite file at `path`."""
    exported = Exported()
    target = SqliteExport(path, exported.notices)
    try:
        target.name_tables([s.collection for s in supplies])
        for supply in supplies:
            spool = _spooled(supply, progress)
            try:
                exported.documents[supply.collection.name] = target.add(spool, supply.fetch)
            finally:
                spool.close()
    except BaseException:
        target.abandon()
        raise
    target.close()
    return exported


def export_text(
    stream: BinaryIO, supplies: list[Supply], kind: str, progress: Progress | None = None
) -> Exported:
    """Writes collections as one text: any number as `json`, exactly one as `csv`, `tsv` or `ndjson`.

    One collection as `json` is an array, several are an object of arrays.
    """
    exported = Exported()
    if kind == "json" and len(supplies) != 1:
        stream.write(b"{")
        for number, supply in enumerate(supplies):
            name = source_of(supply.collection).get("table") if _was_json(supply) else None
            stream.write(b",\n" if number else b"\n")
            stream.write(_json_text(name or supply.collection.name) + b": ")
            _write(stream, supply, "json", exported, progress)
        stream.write(b"\n}\n")
        return exported
    for supply in supplies:
        _write(stream, supply, kind, exported, progress)
    if kind == "json":
        stream.write(b"\n")
    return exported


def export_folder(
    folder: Path, supplies: list[Supply], kind: str, progress: Progress | None = None
) -> Exported:
    """Writes each collection as `<collection>.<kind>` in a new folder."""
    exported = Exported()
    folder.mkdir(parents=True)
    for supply in supplies:
        with (folder / f"{supply.collection.name}.{kind}").open("wb") as stream:
            one = export_text(stream, [supply], kind, progress)
        exported.documents |= one.documents
        exported.notices += one.notices
    return exported


def _was_json(supply: Supply) -> bool:
    return source_of(supply.collection).get("format") in ("json", "sqlite")


def _json_text(text: str) -> bytes:
    import orjson

    return orjson.dumps(text)


def _spooled(supply: Supply, progress: Progress | None) -> Spool:
    def counted() -> Iterator[dict[str, Any]]:
        for number, document in enumerate(supply.documents(), 1):
            if progress and number % 100 == 0:
                progress(supply.collection.name, number)
            yield document

    return Spool(supply.collection, counted())


def _write(
    stream: BinaryIO, supply: Supply, kind: str, exported: Exported, progress: Progress | None
) -> None:
    spool = _spooled(supply, progress)
    try:
        if kind in ("csv", "tsv"):
            had = source_of(supply.collection).get("delimiter")
            delimiter = "\t" if kind == "tsv" else had if had in (";", "|") else ","
            for line in delimited_lines(spool, supply.fetch, delimiter, exported.notices):
                stream.write(line)
        elif kind == "ndjson":
            for line in json_documents(spool, supply.fetch):
                stream.write(line + b"\n")
        else:
            for part in json_array(json_documents(spool, supply.fetch)):
                stream.write(part)
        exported.documents[supply.collection.name] = spool.profile.rows
    finally:
        spool.close()
