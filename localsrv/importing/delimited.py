"""CSV and TSV as a source: one table of texts.

Delimiter and header are found by looking; quoting is RFC 4180's, quoted line ends included. What would be
read as something else than written is refused with its line: a row with more cells than the header, text
after a closing quote, a quote that never closes. Empty cells are null.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from localsrv.base.errors import BadRequest
from localsrv.importing.tables import Column, Row, Table
from localsrv.importing.textfile import encoding_of, open_text

LONGEST_CELL = 16 << 20
"""Characters. A longer cell is a quote that never closes."""

SAMPLE = 1 << 16
DELIMITERS = (",", ";", "\t", "|")

csv.field_size_limit(LONGEST_CELL)


class DelimitedFile:
    """See `tables.Source`."""

    is_textual = True

    def __init__(
        self,
        path: Path,
        table: str,
        *,
        format: str = "csv",  # noqa: A002 - the word of `Source`
        encoding: str | None = None,
        delimiter: str | None = None,
        has_header: bool = True,
    ) -> None:
        """Raises BadRequest when there is no header or it is not text."""
        self.format = format
        self.notices: list[str] = []
        self._path = path
        self._has_header = has_header
        with path.open("rb") as file:
            self._encoding = encoding_of(file.read(4), encoding)
        with open_text(path, self._encoding) as text:
            sample = text.read(SAMPLE)
        self._skip, sample = _separator_line(sample)
        self._delimiter = delimiter or self._skip or ("\t" if format == "tsv" else _delimiter(sample))
        self._newline = "\r\n" if sample.partition("\n")[0].endswith("\r") else "\n"
        self._short = 0
        self.tables: tuple[Table, ...] = (self._table(table),)

    def close(self) -> None:
        """Nothing stays open between readings."""

    def _table(self, name: str) -> Table:
        first = next(self._records(), None)
        if first is None:
            raise BadRequest(
                "The file has no header line.", code="empty-file", hint="A CSV file begins with its names."
            )
        titles = first[1] if self._has_header else [""] * len(first[1])
        columns: list[Column] = []
        taken: dict[str, str] = {}
        for number, title in enumerate(titles, 1):
            wanted = title.strip() or f"column_{number}"
            unique = wanted
            for count in range(2, len(titles) + 2):
                if unique.lower() not in taken:
                    break
                unique = f"{wanted}_{count}"
            taken[unique.lower()] = unique
            columns.append(Column(unique, title))
            if unique != title and self._has_header:
                called = f"`{title}`" if title.strip() else "no name"
                self.notices.append(
                    f"Column {number} has {called} in the header: it is called `{unique}` here."
                )
        source = {
            "newline": self._newline,
            "format": self.format,
            "table": name,
            "delimiter": self._delimiter,
            "header": self._has_header,
        }
        return Table(name, tuple(columns), source=source)

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Every record with the line it begins at; blank lines are none."""
        with open_text(self._path, self._encoding) as text:
            if self._skip:
                text.readline()
            before = 1 if self._skip else 0
            reader = csv.reader(text, delimiter=self._delimiter, strict=True)
            line = before + 1
            try:
                for cells in reader:
                    if cells:
                        yield line, cells
                    line = before + reader.line_num + 1
            except csv.Error as error:
                raise _broken(line, error, self._delimiter) from error

    def rows(self, table: Table, *, with_blobs: bool = True) -> Iterator[tuple[int, Row]]:
        """Each row with its line."""
        names = [c.name for c in table.columns]
        width = len(names)
        self._short = 0
        for line, cells in islice(self._records(), 1 if self._has_header else 0, None):
            if len(cells) > width:
                raise BadRequest(
                    f"Line {line} has {len(cells)} cells, the header {width}.",
                    code="uneven-row",
                    details=f"line {line}",
                    hint=f"Is the delimiter {self._delimiter!r}? Otherwise quote the cell that holds it.",
                )
            for name, cell in zip(names, cells, strict=False):
                if "\0" in cell:
                    raise BadRequest(
                        f"Line {line}, column `{name}` holds the character NUL.",
                        code="invalid-value",
                        details=f"line {line}",
                        hint="If the file is UTF-16, add --encoding utf-16-le.",
                    )
            row: Row = {name: cell or None for name, cell in zip(names, cells, strict=False)}
            if len(cells) < width:
                self._short += 1
                row.update(dict.fromkeys(names[len(cells) :]))
            yield line, row
        if self._short and with_blobs is False:
            self.notices.append(
                f"{self._short} rows have fewer cells than the header: the missing ones are null."
            )


def _separator_line(sample: str) -> tuple[str | None, str]:
    """Excel's `sep=;` before the header."""
    first, _, rest = sample.partition("\n")
    first = first.rstrip("\r")
    if len(first) == 5 and first.lower().startswith("sep="):
        return first[4], rest
    return None, sample


def _delimiter(sample: str) -> str:
    """The delimiter under which most rows have the header's width (above one); a comma if none does."""
    best, best_score = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        rows = []
        try:
            for row in islice(csv.reader(sample.splitlines(keepends=True), delimiter=delimiter), 200):
                rows.append(row)
        except csv.Error:
            continue
        if len(sample) >= SAMPLE and len(rows) > 1:
            rows.pop()  # cut in the middle
        widths = Counter(len(row) for row in rows if row)
        if not widths or len(rows[0]) < 2:
            continue
        score = (widths[len(rows[0])] / widths.total(), len(rows[0]))
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _broken(line: int, error: csv.Error, delimiter: str) -> BadRequest:
    text = str(error)
    if "field larger than" in text:
        text = f"a cell is longer than {LONGEST_CELL >> 20} million characters; its quote may never close"
    elif "unexpected end of data" in text:
        text = "a quote is opened and never closed"
    elif "expected after" in text:
        text = "text follows a closing quote"
    return BadRequest(
        f"The row that begins at line {line} cannot be read: {text}.",
        code="csv-syntax",
        details=f"line {line}",
        hint=f'A quote inside a quoted cell is written twice (""). The delimiter seems to be {delimiter!r}.',
    )
