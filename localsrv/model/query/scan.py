"""Reading names, paths and quoted texts from one parameter of a query string."""

from __future__ import annotations

import re

from localsrv.base.errors import QuerySyntaxError
from localsrv.model.query.ast import Path

_NAME = re.compile(r'(?:[^"(),.:!*>\x00-\x1f-]|-(?!>))+')
# PostgREST takes letters, digits, `_`, `$`, spaces and inner dashes; everything that is not punctuation of
# the grammar is accepted here, since local files have such column names.
_INDEX = re.compile(r"-?[0-9]{1,9}(?=$|->|[:,).])")
_TYPE = re.compile(r"[A-Za-z_][A-Za-z0-9_ ]*(?:\[\])?")


class Scanner:
    """A cursor over `text`. `parameter` is the query parameter it came from, for messages."""

    __slots__ = ("parameter", "pos", "text")

    def __init__(self, text: str, parameter: str, pos: int = 0) -> None:
        self.text = text
        self.parameter = parameter
        self.pos = pos

    def error(self, expected: str, at: int | None = None) -> QuerySyntaxError:
        """The error for this place: what stood there and what could have."""
        at = self.pos if at is None else at
        found = f"unexpected `{self.text[at]}`" if at < len(self.text) else "unexpected end"
        shown = self.text if len(self.text) <= 200 else f"{self.text[:200]}…"
        return QuerySyntaxError(
            f'"failed to parse {self.parameter} ({shown})" (line 1, column {at + 1})',
            position=at,
            details=f"{found}, expecting {expected}",
        )

    @property
    def at_end(self) -> bool:
        return self.pos >= len(self.text)

    def peek(self, literal: str) -> bool:
        return self.text.startswith(literal, self.pos)

    def take(self, literal: str) -> bool:
        if self.text.startswith(literal, self.pos):
            self.pos += len(literal)
            return True
        return False

    def expect(self, literal: str) -> None:
        if not self.take(literal):
            raise self.error(f"`{literal}`")

    def expect_end(self) -> None:
        if not self.at_end:
            raise self.error("the end")

    def quoted(self) -> str:
        """A text in double quotes, `\\` escaping the next character; the cursor stands on the quote."""
        start = self.pos
        self.pos += 1
        out: list[str] = []
        text = self.text
        while self.pos < len(text):
            char = text[self.pos]
            if char == '"':
                self.pos += 1
                return "".join(out)
            if char == "\\" and self.pos + 1 < len(text):
                self.pos += 1
                char = text[self.pos]
            out.append(char)
            self.pos += 1
        raise self.error('a closing `"`', start)

    def name(self, expected: str = "a column name") -> str:
        """A name, bare or in double quotes. Bare names lose surrounding spaces."""
        if self.peek('"'):
            found = self.quoted()
        else:
            match = _NAME.match(self.text, self.pos)
            if match is None or not match.group().strip():
                raise self.error(expected)
            self.pos = match.end()
            found = match.group().strip()
        if not found:
            raise self.error(expected)
        return found

    def path(self) -> Path:
        """A column with its JSON arrows."""
        start = self.pos
        column = self.name()
        steps: list[str | int] = []
        as_text = False
        while self.peek("->"):
            if as_text:
                raise self.error("no arrow after `->>`")
            self.pos += 2
            as_text = self.take(">")
            index = _INDEX.match(self.text, self.pos)
            if index is not None:
                self.pos = index.end()
                steps.append(int(index.group()))
            else:
                steps.append(self.name("a key or an array position"))
        return Path(column, tuple(steps), as_text, start)

    def cast(self) -> str | None:
        """`::type`, when there is one; lowercased."""
        if not self.take("::"):
            return None
        match = _TYPE.match(self.text, self.pos)
        if match is None:
            raise self.error("a type name")
        self.pos = match.end()
        return match.group().strip().lower()

    def until(self, stops: str) -> str:
        """Everything up to one of `stops` or the end."""
        start = self.pos
        while self.pos < len(self.text) and self.text[self.pos] not in stops:
            self.pos += 1
        return self.text[start : self.pos]
