"""Filters: `column=operator.value`, and trees of them: `or=(a.eq.1,and(b.gt.2,c.is.null))`."""

from __future__ import annotations

import re

from localsrv.base.errors import QuerySyntaxError
from localsrv.model.query.ast import MAX_DEPTH, Condition, Filter, Group, Literal, Operator, Path, Quantifier
from localsrv.model.query.scan import Scanner

_OPERATOR = re.compile(r"(not\.)?([a-z]+)(?:\(([^()]*)\))?\.")
_LOGIC = re.compile(r"(not\.)?(and|or)(?=\()")
_FULL_TEXT = frozenset((Operator.FTS, Operator.PLFTS, Operator.PHFTS, Operator.WFTS))
_QUANTIFIABLE = frozenset(
    (
        Operator.EQ, Operator.GT, Operator.GTE, Operator.LT, Operator.LTE,
        Operator.LIKE, Operator.ILIKE, Operator.MATCH, Operator.IMATCH,
    )
)  # fmt: skip
_CONTAINMENT = frozenset((Operator.CS, Operator.CD, Operator.OV))
_IS_WORDS = frozenset(("null", "not_null", "true", "false", "unknown"))
SIMPLE_WILDCARDS = 3
"""Patterns with more `%` than this go to RE2: SQLite's own matcher backtracks."""


def parse_filter(scanner: Scanner, path: Path, values: list[Literal], *, in_logic: bool) -> Filter:
    """A filter whose path was read; the cursor stands on the operator. Appends its literal to `values`.

    Raises:
        QuerySyntaxError: unknown operator, a list without parentheses, a word that `is` does not know.
    """
    start = scanner.pos
    match = _OPERATOR.match(scanner.text, start)
    operator = _operator(match.group(2)) if match else None
    if match is None or operator is None:
        raise _no_operator(scanner, start)
    negated, argument = match.group(1) is not None, match.group(3)
    scanner.pos = match.end()
    quantifier: Quantifier | None = None
    if argument is not None and operator not in _FULL_TEXT:
        if argument not in ("any", "all") or operator not in _QUANTIFIABLE:
            raise scanner.error("an operator that takes `(any)` or `(all)`", match.start(3))
        quantifier, argument = Quantifier(argument), None
    literal = _literal(scanner, operator, quantifier, in_logic)
    simple = True
    if operator in (Operator.LIKE, Operator.ILIKE):
        literal = _percent(literal)
        simple = is_simple_pattern(literal)
    elif operator is Operator.IS and isinstance(literal, str):
        argument = literal
    values.append(literal)
    return Filter(path, operator, len(values) - 1, negated, quantifier, argument, simple)


def is_simple_pattern(pattern: Literal) -> bool:
    """Whether a `like` pattern is safe for SQLite's backtracking matcher and means the same to it."""
    if not isinstance(pattern, str) or len(pattern) > 1000:
        return False
    return pattern.isascii() and pattern.count("%") <= SIMPLE_WILDCARDS


def _percent(pattern: Literal) -> Literal:
    """`*` stands for `%`, which is awkward in a URL."""
    if isinstance(pattern, str):
        return pattern.replace("*", "%")
    return tuple(p.replace("*", "%") for p in pattern)


def _operator(word: str) -> Operator | None:
    try:
        return Operator(word)
    except ValueError:
        return None


def _no_operator(scanner: Scanner, at: int) -> QuerySyntaxError:
    error = scanner.error("an operator (eq, gt, …) or `not`", at)
    error.hint = f"A filter is written column=operator.value; the operators are {', '.join(Operator)}."
    return error


def _literal(scanner: Scanner, operator: Operator, quantifier: Quantifier | None, in_logic: bool) -> Literal:
    if operator is Operator.IN:
        found = parse_list(scanner, "(", ")")
    elif quantifier is not None:
        found = parse_list(scanner, "{", "}")
    else:
        return _scalar(scanner, operator, in_logic)
    if not in_logic:
        scanner.expect_end()
    return found


def _scalar(scanner: Scanner, operator: Operator, in_logic: bool) -> str:
    start = scanner.pos
    if not in_logic:
        scanner.pos = len(scanner.text)
        text = scanner.text[start:]
    elif scanner.peek('"'):
        text = scanner.quoted()
    elif scanner.peek("{") or (operator in _CONTAINMENT and scanner.peek("[")):
        text = _balanced(scanner)
    else:
        text = scanner.until(",)")
    if operator is Operator.IS:
        text = text.lower()
        if text not in _IS_WORDS:
            raise scanner.error("null, not_null, true, false or unknown", start)
    return text


def _balanced(scanner: Scanner) -> str:
    """An array or JSON literal inside a tree, to its closing bracket; brackets in quotes do not count."""
    start = scanner.pos
    depth = 0
    text = scanner.text
    while scanner.pos < len(text):
        char = text[scanner.pos]
        if char == '"':
            scanner.quoted()
            continue
        depth += (char in "{[") - (char in "}]")
        scanner.pos += 1
        if depth == 0:
            return text[start : scanner.pos]
    raise scanner.error("a closing bracket", start)


def parse_list(scanner: Scanner, opening: str, closing: str) -> tuple[str, ...]:
    """`(a,"b,c",d)` or `{a,b}`; an element in double quotes may hold anything."""
    scanner.expect(opening)
    if scanner.take(closing):
        return ()
    out = []
    while True:
        if scanner.peek('"'):
            out.append(scanner.quoted())
        else:
            out.append(scanner.until("," + closing))
        if scanner.take(","):
            continue
        scanner.expect(closing)
        return tuple(out)


def parse_logic(
    scanner: Scanner, joined_by: str, negated: bool, values: list[Literal], depth: int = 1
) -> Group:
    """`(condition,condition,…)`; the cursor stands on the parenthesis."""
    if depth > MAX_DEPTH:
        raise scanner.error(f"at most {MAX_DEPTH} nested conditions")
    scanner.expect("(")
    parts: list[Condition] = []
    while True:
        while scanner.take(" "):
            pass
        parts.append(_tree_part(scanner, values, depth))
        while scanner.take(" "):
            pass
        if scanner.take(","):
            continue
        scanner.expect(")")
        return Group(joined_by, tuple(parts), negated)


def _tree_part(scanner: Scanner, values: list[Literal], depth: int) -> Condition:
    nested = _LOGIC.match(scanner.text, scanner.pos)
    if nested is not None:
        scanner.pos = nested.end()
        return parse_logic(scanner, nested.group(2), nested.group(1) is not None, values, depth + 1)
    path = scanner.path()
    if not scanner.take("."):
        raise scanner.error("`.` and an operator")
    return parse_filter(scanner, path, values, in_logic=True)
