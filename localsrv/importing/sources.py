"""Opening a file as what it is. Its content decides, its name only where the content leaves it open."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from localsrv.base.errors import BadRequest, NotFound, StorageError
from localsrv.importing.delimited import DelimitedFile
from localsrv.importing.json_file import JsonFile
from localsrv.importing.json_text import JsonReader
from localsrv.importing.sqlite_file import SqliteFile
from localsrv.importing.sqlite_open import MAGIC
from localsrv.importing.tables import Source
from localsrv.importing.textfile import encoding_of

FORMATS = ("sqlite", "csv", "tsv", "json", "ndjson")
SQLITE_SUFFIXES = frozenset({".db", ".sqlite", ".sqlite3", ".db3", ".s3db", ".sl3"})

_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (
        b"PK\x03\x04",
        "a ZIP archive or an Office document",
        "Save the sheet as CSV (UTF-8), or unpack it.",
    ),
    (b"\x1f\x8b", "compressed with gzip", "Decompress it: gunzip -c FILE | localsrv import - --app NAME"),
    (b"\xd0\xcf\x11\xe0", "an old Office document", "Save the sheet as CSV (UTF-8)."),
    (b"\x00\x01\x00\x00Standard ", "an Access database", "Export its tables as CSV (UTF-8)."),
    (b"SQLite format 2", "a SQLite 2 file", "Convert it: sqlite FILE .dump | sqlite3 new.db"),
    (b"PAR1", "a Parquet file", "Convert it to CSV or SQLite."),
    (b"%PDF", "a PDF document", "Only SQLite, CSV, TSV, JSON and NDJSON can be imported."),
)


@dataclass(frozen=True, slots=True)
class Options:
    """What the person may say about a file. `table` names the one table of a text file."""

    format: str | None = None
    table: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    has_header: bool = True


@contextmanager
def open_source(path: Path, options: Options, *, name: str | None = None) -> Iterator[Source]:
    """The file as a source; `name` is what messages and the table call it (default: the file's name).

    Raises:
        NotFound, StorageError: no such file, or unreadable.
        BadRequest: of no kind that can be imported; the message says of which it seems to be.
    """
    called = name or path.name
    try:
        if path.is_dir():
            raise BadRequest(f"{path} is a folder.", code="not-a-file", hint="Name a file.")
        with path.open("rb") as file:
            head = file.read(1 << 16)
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {path}.", code="file-not-found") from error
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}.", code="storage-unreadable") from error
    kind = options.format or format_of(head, called)
    table = options.table or Path(called).stem
    source: Source
    if not head:
        raise BadRequest(f"{called} is empty.", code="empty-file")
    if kind == "sqlite":
        source = SqliteFile(path, called)
    elif kind in ("json", "ndjson"):
        source = JsonFile(path, table, format=kind, encoding=options.encoding)
    else:
        source = DelimitedFile(
            path,
            table,
            format=kind,
            encoding=options.encoding,
            delimiter=options.delimiter,
            has_header=options.has_header,
        )
    try:
        yield source
    finally:
        source.close()


def format_of(head: bytes, name: str) -> str:
    """The format of a file, from its first 64 KiB and its name.

    Raises:
        BadRequest: it is of a kind that cannot be imported.
    """
    if head.startswith(MAGIC):
        return "sqlite"
    for magic, kind, hint in _OTHERS:
        if head.startswith(magic):
            raise BadRequest(f"{name} is {kind}.", code="unknown-format", hint=hint)
    suffix = Path(name).suffix.lower()
    if head and suffix in SQLITE_SUFFIXES and not _is_text(head):
        raise BadRequest(
            f"{name} is not a SQLite file: it is encrypted, damaged at its start or of another kind.",
            code="not-a-database",
            hint="An encrypted database must be decrypted by the program that made it.",
        )
    text = head.decode(encoding_of(head), errors="replace").lstrip("\ufeff \t\r\n")
    if text[:1] == "[" and suffix not in (".csv", ".tsv"):
        return "json"
    if text[:1] == "{" and suffix not in (".csv", ".tsv"):
        return "ndjson" if _is_sequence(text) else "json"
    if not _is_text(head):
        raise BadRequest(
            f"{name} is neither a SQLite file nor text.",
            code="unknown-format",
            hint="SQLite, CSV, TSV, JSON and NDJSON can be imported.",
        )
    return "tsv" if suffix in (".tsv", ".tab") else "csv"


def _is_text(head: bytes) -> bool:
    return encoding_of(head) == "utf-16" or b"\0" not in head


def _is_sequence(text: str) -> bool:
    """Whether an object ends on its first line and another follows: NDJSON."""
    from io import StringIO

    first, newline, rest = text.partition("\n")
    reader = JsonReader(StringIO(first))
    try:
        reader.value()
        whole = not reader.peek()
    except BadRequest:
        return False
    return whole and bool(newline) and rest.lstrip()[:1] in ("{", "[")


@contextmanager
def spooled(stream: BinaryIO) -> Iterator[Path]:
    """Standard input as a file, since every source is read twice.

    Raises:
        StorageError: no room for it (`storage-full`).
    """
    with tempfile.TemporaryDirectory(prefix="localsrv-import-") as folder:
        path = Path(folder) / "stdin"
        try:
            with path.open("wb") as file:
                shutil.copyfileobj(stream, file, 1 << 20)
        except OSError as error:
            raise StorageError(
                f"Standard input cannot be kept: {error.strerror}.",
                code="storage-full",
                hint="Make room in the temporary folder, or set TMPDIR to another.",
            ) from error
        yield path
