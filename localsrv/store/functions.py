"""SQL functions that SQLite lacks: patterns with PostgreSQL's rules, containment, casts.

Patterns run in RE2, whose time is linear in the text: no pattern can hang a reader over one row. Over many
rows they look at the deadline themselves, since SQLite asks about it only between its own steps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import orjson

from localsrv.base.errors import InvalidValue
from localsrv.model.patterns import compiled
from localsrv.store import deadline
from localsrv.store.driver import Connection
from localsrv.store.query_values import cast_text

_SPECIAL = frozenset(r"\.+*?()|[]{}^$")


@lru_cache(maxsize=256)
def compiled_like(pattern: str, ignore_case: bool) -> Any:
    """A LIKE pattern as a regular expression: `%` any text, `_` one character, `\\` escapes.

    Raises:
        InvalidValue: `code="invalid-pattern"`, when it ends with a lone backslash.
    """
    out = ["(?s)\\A"]
    escaped = False
    for char in pattern:
        if escaped or char not in "%_\\":
            out.append(f"\\{char}" if char in _SPECIAL else char)
            escaped = False
        elif char == "\\":
            escaped = True
        else:
            out.append(".*" if char == "%" else ".")
    if escaped:
        raise InvalidValue("LIKE pattern must not end with escape character", code="invalid-pattern")
    return compiled("".join(out) + "\\z", ignore_case)


def _searcher(
    connection: Connection, compile_pattern: Callable[[str, bool], Any], ignore_case: bool
) -> Callable[[Any, Any], Any]:
    def search(pattern: Any, text: Any) -> int | None:
        if text is None or pattern is None:
            return None
        if not isinstance(text, str):
            text = str(text)
        found = compile_pattern(pattern, ignore_case).search(text) is not None
        if deadline.is_past():
            connection.interrupt()
        return found

    return search


def contains(left: Any, right: Any) -> bool:
    """Whether JSON value `left` contains `right` as PostgreSQL's `@>` means it, at any depth.

    Objects: each key of `right` is there and contained; arrays: each element is contained in some element;
    a top-level array also contains a scalar it has. Numbers and texts of one spelling are equal, since
    `{1,2}` in a filter does not say which they are.
    """
    if isinstance(left, list) and not isinstance(right, (dict, list)):
        return any(_same(have, right) for have in left)
    return _within(left, right)


def _within(left: Any, right: Any) -> bool:
    if isinstance(right, dict):
        return isinstance(left, dict) and all(k in left and _within(left[k], v) for k, v in right.items())
    if isinstance(right, list):
        return isinstance(left, list) and all(any(_within(have, want) for have in left) for want in right)
    return _same(left, right)


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool) or left is None or right is None:
        return left is right or (isinstance(right, str) and right == orjson.dumps(left).decode())
    if isinstance(left, (dict, list)) or isinstance(right, (dict, list)):
        return type(left) is type(right) and bool(left == right)
    return bool(left == right) or str(left) == str(right)


def _overlaps(left: Any, right: Any) -> bool:
    return (
        isinstance(left, list) and isinstance(right, list) and any(_same(a, b) for a in left for b in right)
    )


@lru_cache(maxsize=64)
def _loaded(text: str) -> Any:
    return orjson.loads(text)


def _containment(kind: str) -> Callable[[Any, Any], Any]:
    def check(left: Any, right: Any) -> int | None:
        if left is None:
            return None
        have, want = orjson.loads(left), _loaded(right)
        if want == {} and isinstance(have, list):
            want = []  # `{}` is also how PostgreSQL writes an empty array
        if kind == "ov":
            return _overlaps(have, want)
        return contains(have, want) if kind == "cs" else contains(want, have)

    return check


def register(connection: Connection) -> None:
    """Adds the functions to a connection; every reader and the writer needs them."""
    functions: list[tuple[str, int, Callable[..., Any]]] = [
        ("localsrv_match", 2, _searcher(connection, compiled, False)),
        ("localsrv_imatch", 2, _searcher(connection, compiled, True)),
        ("localsrv_like", 2, _searcher(connection, compiled_like, False)),
        ("localsrv_ilike", 2, _searcher(connection, compiled_like, True)),
        ("localsrv_cs", 2, _containment("cs")),
        ("localsrv_cd", 2, _containment("cd")),
        ("localsrv_ov", 2, _containment("ov")),
        ("localsrv_cast", 2, cast_text),
    ]
    for name, arguments, function in functions:
        connection.create_function(name, arguments, function, deterministic=True)
