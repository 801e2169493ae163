"""PostgreSQL's four text-search syntaxes as FTS5 queries.

FTS5 has no lone NOT, so a translation is a pair: the FTS5 query, and whether it stands for its complement.
De Morgan's rules keep every tree in that form. An empty query matches nothing, as in PostgreSQL.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace

from localsrv.base.errors import InvalidValue
from localsrv.model.query import Operator

_TOKEN = re.compile(r"\s*(?:(<->|<[0-9]{1,4}>|[&|!()])|'((?:[^'\\]|''|\\.)*)'|([^\s&|!()':<]+|[<:]))")
_SUFFIX = re.compile(r":([*A-Da-d]+)")
_WEB = re.compile(r'\s*(-?)(?:"([^"]*)"?|(\S+))')
_MAX_DEPTH = 30
_MAX_LENGTH = 4000


@dataclass(frozen=True, slots=True)
class Match:
    """`query` in FTS5's language, empty for nothing; `complement` asks for the rows that do not match.

    `operator` is the one that joins `query` at its top, empty for a single phrase.
    """

    query: str
    complement: bool = False
    operator: str = ""


def translate(operator: Operator, text: str) -> Match:
    """The FTS5 form of a full-text literal.

    Raises:
        InvalidValue: `code="invalid-text-query"`: too long, or broken tsquery syntax (`fts` only).
    """
    if len(text) > _MAX_LENGTH:
        raise InvalidValue(f"A text search may have {_MAX_LENGTH} characters.", code="invalid-text-query")
    text = unicodedata.normalize("NFC", text).replace("\0", " ")
    if operator is Operator.FTS:
        return _TsQuery(text).parse()
    if operator is Operator.PLFTS:
        return _joined([Match(_phrase([word])) for word in _words(text)])
    if operator is Operator.PHFTS:
        words = _words(text)
        return Match(_phrase(words)) if words else Match("")
    return _web(text)


def _words(text: str) -> list[str]:
    """Words as the tokenizer would see any of them; pure punctuation is none."""
    return [word for word in text.split() if any(c.isalnum() for c in word)]


def _phrase(words: list[str], prefix: bool = False) -> str:
    quoted = '"' + " ".join(words).replace('"', '""') + '"'
    return f"{quoted} *" if prefix else quoted


def _joined(parts: list[Match]) -> Match:
    found = Match("")
    for part in parts:
        found = _and(found, part)
    return found


def _within(match: Match, *bare: str) -> str:
    """The query as an operand, in parentheses unless its own operator is one of `bare`: FTS5's parser has a
    small stack, which a long chain of nested parentheses would overflow."""
    return match.query if match.operator in ("", *bare) else f"({match.query})"


def _and(left: Match, right: Match) -> Match:
    if not left.query or not right.query:
        return right if not left.query else left
    if left.complement and right.complement:
        return Match(f"{_within(left, 'OR')} OR {_within(right, 'OR')}", True, "OR")
    if left.complement:
        left, right = right, left
    if right.complement:
        return Match(f"{_within(left, 'NOT')} NOT {_within(right)}", False, "NOT")
    return Match(f"{_within(left, 'AND')} AND {_within(right, 'AND')}", False, "AND")


def _or(left: Match, right: Match) -> Match:
    if not left.query or not right.query:
        return right if not left.query else left
    if left.complement and right.complement:
        return Match(f"{_within(left, 'AND')} AND {_within(right, 'AND')}", True, "AND")
    if left.complement or right.complement:
        positive, negative = (right, left) if left.complement else (left, right)
        return Match(f"{_within(negative, 'NOT')} NOT {_within(positive)}", True, "NOT")
    return Match(f"{_within(left, 'OR')} OR {_within(right, 'OR')}", False, "OR")


def _web(text: str) -> Match:
    """`websearch_to_tsquery`: words, "phrases", `or`, `-not`."""
    alternatives: list[list[Match]] = [[]]
    for sign, phrase, word in _WEB.findall(text):
        if word.lower() == "or" and not sign:
            alternatives.append([])
            continue
        words = _words(phrase or word)
        if words:
            alternatives[-1].append(Match(_phrase(words), bool(sign)))
    found = Match("")
    for parts in alternatives:
        found = _or(found, _joined(parts))
    return found


class _TsQuery:
    """A recursive parser of `to_tsquery`'s syntax: `|` binds loosest, then `&`, `<->`, `!`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str, bool]] = []  # (kind, text, is prefix)
        pos = 0
        text = text.rstrip()
        while pos < len(text):
            match = _TOKEN.match(text, pos)
            if match is None:
                raise self._error()
            pos = match.end()
            sign, quoted, bare = match.groups()
            if sign:
                self.tokens.append(("sign", sign, False))
                continue
            suffix = _SUFFIX.match(text, pos)
            if suffix:
                pos = suffix.end()
            word = re.sub(r"''|\\(.)", lambda m: m.group(1) or "'", quoted) if quoted is not None else bare
            self.tokens.append(("word", word, suffix is not None and "*" in suffix.group(1)))
        self.pos = 0

    def _error(self) -> InvalidValue:
        return InvalidValue(
            f'syntax error in tsquery: "{self.text[:200]}"',
            code="invalid-text-query",
            hint="Join words with & and |, or use plfts (plain words) or wfts (as in a web search).",
        )

    def _take(self, sign: str) -> bool:
        if self.pos < len(self.tokens) and self.tokens[self.pos][:2] == ("sign", sign):
            self.pos += 1
            return True
        return False

    def parse(self) -> Match:
        if not self.tokens:
            return Match("")
        found = self._any(0)
        if self.pos < len(self.tokens):
            raise self._error()
        return found

    def _any(self, depth: int) -> Match:
        if depth > _MAX_DEPTH:
            raise self._error()
        found = self._all(depth)
        while self._take("|"):
            found = _or(found, self._all(depth))
        return found

    def _all(self, depth: int) -> Match:
        found = self._followed(depth)
        while self._take("&"):
            found = _and(found, self._followed(depth))
        return found

    def _followed(self, depth: int) -> Match:
        found = self._not(depth)
        while self.pos < len(self.tokens) and self.tokens[self.pos][1].startswith("<"):
            sign = self.tokens[self.pos][1]
            if self.tokens[self.pos][0] != "sign":
                raise self._error()
            self.pos += 1
            right = self._not(depth)
            if not (found.query.startswith('"') and right.query.startswith('"')) or found.complement:
                raise self._error()
            # FTS5's own phrase for neighbours; for a distance its NEAR, which is unordered.
            if sign in ("<->", "<1>"):
                found = Match(f"{found.query} + {right.query}")
            else:
                found = Match(f"NEAR({found.query} {right.query}, {int(sign[1:-1]) - 1})")
        return found

    def _not(self, depth: int) -> Match:
        if self._take("!"):
            if depth > _MAX_DEPTH:
                raise self._error()
            inner = self._not(depth + 1)
            return replace(inner, complement=not inner.complement) if inner.query else inner
        if self._take("("):
            inner = self._any(depth + 1)
            if not self._take(")"):
                raise self._error()
            return inner
        if self.pos >= len(self.tokens) or self.tokens[self.pos][0] != "word":
            raise self._error()
        _, word, prefix = self.tokens[self.pos]
        self.pos += 1
        words = _words(word)
        return Match(_phrase(words, prefix)) if words else Match("")
