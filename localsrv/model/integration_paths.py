"""Paths that apps ask of outside services: normalised, matched against patterns, and put below a base.

Servers differ in how they read a path: some decode `%2F` into a separator, some resolve `..` after decoding,
some twice, some take `;` for the beginning of parameters. So a path is refused when any of these readings
would climb, and a pattern must match it with and without encoded slashes taken for separators, however often
they are encoded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote, unquote_to_bytes

from localsrv.base.errors import BadRequest, Forbidden, InvalidValue

LONGEST = 8000

_SAFE = "!$&'()*+,;=:@"
_SEPARATORS = re.compile(r"[/\\]")
_PATTERN_SEGMENT = re.compile(r"[A-Za-z0-9._~!$&'()+,;=:@-]+\Z")


def checked_pattern(pattern: str) -> str:
    """A pattern such as `/v1/items/*` (one segment) or `/v1/**` (the rest). Raises InvalidValue."""
    hint = "Such as /v1/items/* for one segment, or /v1/** for everything below."
    segments = pattern.split("/")
    if segments[0] or len(segments) < 2:
        raise InvalidValue(f"`{pattern[:200]}` must begin with a slash.", details="paths", hint=hint)
    for at, segment in enumerate(segments[1:], 1):
        is_last = at == len(segments) - 1
        if segment in ("*", "") and (segment or is_last):
            continue
        if segment == "**" and is_last:
            continue
        if "*" in segment or segment in (".", "..") or not _PATTERN_SEGMENT.match(segment):
            raise InvalidValue(
                f"`{segment[:100]}` in `{pattern[:200]}` is no part of a path.", details="paths", hint=hint
            )
    return pattern


def normal_path(raw: str) -> str:
    """A raw path, without its query, in one canonical spelling: what is sent, percent-encoded.

    `raw` is empty or begins with a slash.

    Raises:
        BadRequest: `code="bad-path"`: it would climb in some server's reading, or is no path.
    """
    if not raw:
        return ""
    if len(raw) > LONGEST or not raw.startswith("/"):
        raise _bad("is too long" if raw.startswith("/") else "does not begin with a slash")
    segments = raw[1:].split("/")
    return "/" + "/".join(
        _normal_segment(segment, is_last=at == len(segments)) for at, segment in enumerate(segments, 1)
    )


def _normal_segment(raw: str, *, is_last: bool) -> str:
    if raw == "":
        if is_last:
            return ""
        raise _bad("has an empty part (`//`)")
    try:
        text = unquote_to_bytes(raw.encode("utf-8", "surrogateescape")).decode()
    except UnicodeError:
        raise _bad("is not UTF-8") from None
    seen = text
    for _ in range(3):  # what a server may come to that decodes more than once
        if any(ord(c) < 32 or ord(c) == 127 for c in seen):
            raise _bad("has control characters")
        for part in _SEPARATORS.split(seen):
            if part.partition(";")[0].strip() in ("", ".", ".."):
                raise _bad("climbs, or has an empty part")
        if "\\" in seen:
            raise _bad("has a backslash")
        more = unquote_to_bytes(seen).decode("utf-8", "replace")
        if more == seen:
            return quote(text, safe=_SAFE)
        seen = more
    raise _bad("is percent-encoded again and again")


def readings(path: str) -> tuple[tuple[str, ...], ...]:
    """The segments of a normal path, decoded, as each kind of server reads them."""
    seen = tuple(_decoded(s) for s in path.split("/")[1:])
    found = [seen]
    while True:
        loose = tuple(part for segment in seen for part in segment.split("/"))
        found.append(loose)
        seen = tuple(_decoded(s) for s in loose)  # once more, as some do
        if seen == loose:
            return tuple(dict.fromkeys(found))


def matches(pattern: str, segments: Sequence[str]) -> bool:
    """Whether a pattern is that of a path, given as decoded segments."""
    wanted = pattern.split("/")[1:]
    if wanted[-1] == "**":
        wanted = wanted[:-1]
        if len(segments) < len(wanted):
            return False
        segments = segments[: len(wanted)]
    elif wanted == [""] and not segments:
        return True
    if len(wanted) != len(segments):
        return False
    return all(w in (s, "*") and (s != "" or w == "") for w, s in zip(wanted, segments, strict=True))


def require_allowed(path: str, patterns: Sequence[str]) -> None:
    """Raises Forbidden (`integration-path-refused`) when no pattern is that of a normal path."""
    for segments in readings(path):
        if not any(matches(pattern, segments) for pattern in patterns):
            raise Forbidden(
                f"This integration does not allow the path {path[:200] or '/'}.",
                code="integration-path-refused",
                details=", ".join(patterns)[:500],
                hint="The owner may allow more: localsrv integration set NAME --path PATTERN.",
            )


def normal_query(raw: str, without: str | None = None) -> str:
    """A raw query, safe to send as it is; parameters called `without` are left out, in any reading."""
    text = quote(raw.encode("utf-8", "surrogateescape"), safe="!$%&'()*+,;=:@/?-._~")
    if without is None or not text:
        return text
    kept = [
        pair
        for pair in text.split("&")
        if all(_parameter_name(part) != without.lower() for part in pair.split(";"))
    ]
    return "&".join(kept)


def _parameter_name(pair: str) -> str:
    name = unquote_to_bytes(pair.partition("=")[0].replace("+", " "))
    return name.decode("utf-8", "replace").strip().lower()


def _decoded(segment: str) -> str:
    return unquote_to_bytes(segment).decode("utf-8", "replace")


def _bad(why: str) -> BadRequest:
    return BadRequest(
        f"The path for the outside service {why}.",
        code="bad-path",
        hint="Send the path of the service as it is, without `..` and `//`.",
    )
