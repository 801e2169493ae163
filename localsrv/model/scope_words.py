"""Scopes in words: what the person reads before allowing something."""

from __future__ import annotations

from collections.abc import Iterable

from localsrv.model.scopes import ADMIN, ALL, CACHE, SECRETS, SYNC

_WHOLE = {
    ADMIN: "do everything you can do: read, change and delete, give access to others",
    SYNC: "keep a copy in step: read and change every collection, add new ones and design documents",
    CACHE: "use the app's cache",
    SECRETS: "store and replace the app's secrets",
}
_ACTIONS = {
    frozenset({"read"}): "read",
    frozenset({"write"}): "change and delete in",
    frozenset({"read", "write"}): "read, change and delete in",
}


def in_words(scopes: Iterable[str]) -> list[str]:
    """One line for each thing that the scopes allow, the gravest first. Reading and writing of one collection
    or bucket become one line."""
    texts: list[str] = []
    actions: dict[str, set[str]] = {}
    others: list[str] = []
    held = set(scopes)
    texts += [text for scope, text in _WHOLE.items() if scope in held]
    for scope in sorted(held - _WHOLE.keys()):
        head, _, tail = scope.rpartition(":")
        if tail in ("read", "write"):
            actions.setdefault(head, set()).add(tail)
        else:
            others.append(_other(scope))
    texts += [f"{_ACTIONS[frozenset(found)]} {_what(head)}" for head, found in actions.items()]
    return texts + others


def _what(head: str) -> str:
    if head == ALL:
        return "all collections"
    kind, _, bucket = head.partition(":")
    if kind == "files" and bucket:
        return "all files" if bucket == ALL else f"the files in “{bucket}”"
    return f"the collection “{head}”"


def _other(scope: str) -> str:
    match scope.split(":"):
        case ["functions", name]:
            return "call all functions of the app" if name == ALL else f"call the function “{name}”"
        case ["integrations", name, "use"]:
            called = "all outside services of the app" if name == ALL else f"the outside service “{name}”"
            return f"send requests through {called}"
    return scope
