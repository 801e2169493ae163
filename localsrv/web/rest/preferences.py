"""`Prefer` (RFC 7240) as PostgREST reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from localsrv.base.errors import BadRequest
from localsrv.model.query import Count

_WHOLE = re.compile(r"[0-9]{1,18}\Z")


class Return(StrEnum):
    """What a write answers with."""

    MINIMAL = "minimal"
    HEADERS_ONLY = "headers-only"
    REPRESENTATION = "representation"


@dataclass(frozen=True, slots=True)
class Preferences:
    """A request's preferences; what was not asked for has its default.

    `resolution` is `error`, `merge` or `ignore`. `applied` are the tokens to echo in `Preference-Applied`.
    """

    returns: Return = Return.MINIMAL
    count: Count | None = None
    resolution: str = "error"
    missing_default: bool = False
    rollback: bool = False
    strict: bool = False
    max_affected: int | None = None
    applied: tuple[str, ...] = ()


NONE = Preferences()
_RESOLUTION = {"merge-duplicates": "merge", "ignore-duplicates": "ignore"}
_WORDS: dict[str, frozenset[str]] = {
    "return": frozenset(Return),
    "count": frozenset(Count),
    "resolution": frozenset(_RESOLUTION),
    "missing": frozenset(("default", "null")),
    "tx": frozenset(("commit", "rollback")),
    "handling": frozenset(("strict", "lenient")),
}


def parse_preferences(headers: Iterable[str]) -> Preferences:
    """The preferences in all `Prefer` headers of a request. The first mention of a preference counts.

    Raises:
        BadRequest: `handling=strict` and a preference that is not understood.
    """
    found: dict[str, str] = {}
    unknown: list[str] = []
    for header in headers:
        for token in header.split(","):
            name, _, value = token.strip().partition("=")
            name, value = name.strip().lower(), value.strip().strip('"')
            if name == "timezone":
                unknown.append(token.strip())  # times are stored and answered as they are, or in UTC
            elif value in _WORDS.get(name, ()) or (name == "max-affected" and _WHOLE.match(value)):
                found.setdefault(name, value)
            elif name:
                unknown.append(token.strip())
    if not found and not unknown:
        return NONE
    strict = found.get("handling") == "strict"
    if strict and unknown:
        raise BadRequest(
            "Invalid preferences given with handling=strict",
            code="invalid-preferences",
            details=f"Invalid preferences: {', '.join(unknown)}"[:500],
        )
    if not strict:
        found.pop("max-affected", None)
    return Preferences(
        returns=Return(found.get("return", "minimal")),
        count=Count(found["count"]) if "count" in found else None,
        resolution=_RESOLUTION.get(found.get("resolution", ""), "error"),
        missing_default=found.get("missing") == "default",
        rollback=found.get("tx") == "rollback",
        strict=strict,
        max_affected=int(found["max-affected"]) if "max-affected" in found else None,
        applied=tuple(f"{name}={value}" for name, value in found.items()),
    )
