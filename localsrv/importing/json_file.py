"""JSON and NDJSON as a source: an array of objects, one object per line, or an object of such arrays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localsrv.base.errors import BadRequest
from localsrv.importing.json_text import JsonReader
from localsrv.importing.tables import Row, Table
from localsrv.importing.textfile import encoding_of, open_text

_NAMED_ARRAYS = re.compile(r'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\[\s*[{\]]')
_UNSAFE = re.compile("[\0\ud800-\udfff]")


class JsonFile:
    """See `tables.Source`. `format` is `json` or `ndjson`; NDJSON is any sequence of objects."""

    is_textual = False

    def __init__(
        self,
        path: Path,
        table: str,
        *,
        format: str = "json",  # noqa: A002 - the word of `Source`
        encoding: str | None = None,
    ) -> None:
        self.format = format
        self.notices: list[str] = []
        self._path = path
        with path.open("rb") as file:
            self._encoding = encoding_of(file.read(4), encoding)
        self._named = False
        with open_text(path, self._encoding) as text:
            head = text.read(1 << 16)
        if format == "json" and _NAMED_ARRAYS.match(head):
            self._named = True
            names = [name for name, _, _ in self._named_items(None)]
            names = list(dict.fromkeys(names))
        else:
            names = [table]
        self.tables: tuple[Table, ...] = tuple(Table(n, source={"format": format, "table": n}) for n in names)

    def close(self) -> None:
        """Nothing stays open between readings."""

    def rows(self, table: Table, *, with_blobs: bool = True) -> Iterator[tuple[int, Row]]:
        """Each object with its line."""
        items = (
            ((line, item) for name, line, item in self._named_items(table.name) if line)
            if self._named
            else self._plain_items()
        )
        for line, item in items:
            if not isinstance(item, dict):
                raise BadRequest(
                    f"Line {line} holds {_kind(item)} where an object is expected.",
                    code="not-an-object",
                    details=f"line {line}",
                    hint='Documents are objects, such as {"name": "Chai", "price": 18}.',
                )
            _check_texts(item, line)
            yield line, item

    def _plain_items(self) -> Iterator[tuple[int, Any]]:
        with open_text(self._path, self._encoding) as text:
            reader = JsonReader(text)
            if reader.peek() == "[":
                yield from reader.items()
                if reader.peek():
                    raise reader.error("something follows the end of the array")
                return
            while reader.peek():
                line = reader.line
                yield line, reader.value()

    def _named_items(self, wanted: str | None) -> Iterator[tuple[str, int, Any]]:
        """(name, line, item) of the array `wanted`, or of all: (name, 0, None) once for each array."""
        with open_text(self._path, self._encoding) as text:
            reader = JsonReader(text)
            reader.take("{")
            while True:
                name = reader.value()
                if not isinstance(name, str):
                    raise reader.error("a name is expected")
                reader.take(":")
                if reader.peek() != "[":
                    raise BadRequest(
                        f"Line {reader.line}: `{name}` is not an array.",
                        code="not-an-array",
                        details=f"line {reader.line}",
                        hint="A JSON file holds an array of objects, or an object of such arrays. "
                        "If the whole file is one document, add --format ndjson.",
                    )
                yield name, 0, None
                for line, item in reader.items():
                    if name == wanted:
                        yield name, line, item
                if reader.take(",}") == "}":
                    break
            if reader.peek():
                raise reader.error("something follows the end of the object")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return "an array" if isinstance(value, list) else f"the value {str(value)[:40]!r}"


def _check_texts(value: Any, line: int, path: str = "") -> None:
    """Refuses NUL and lone surrogates, which no database keeps, anywhere in a document."""
    if isinstance(value, str):
        if (not value.isascii() or "\0" in value) and (match := _UNSAFE.search(value)):
            kind = "the character NUL" if match[0] == "\0" else "half of a surrogate pair"
            raise BadRequest(
                f"Line {line}: the text at `{path or 'a name'}` holds {kind}.",
                code="invalid-value",
                details=f"line {line}",
            )
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check_texts(name, line)
            _check_texts(inner, line, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            _check_texts(inner, line, path)
