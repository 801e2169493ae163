"""What requests and answers are in the terms of hishel's rules, and of the cache's file."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from typing import TYPE_CHECKING

from localsrv.model.integration_headers import Headers, to_return, value_of
from localsrv.store.cache_file import Entry

if TYPE_CHECKING:
    import hishel

STALE = ("Warning", '110 localsrv "Response is Stale"')


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that was kept."""

    status: int
    headers: Headers
    body: bytes


def is_unchanged(headers: Headers, answer: Kept) -> bool:
    """Whether the client has this answer already, as its conditions say (RFC 9110, 13.2.2)."""
    if answer.status != 200:
        return False
    tags = value_of(headers, "if-none-match")
    if tags is not None:
        own = (value_of(answer.headers, "etag") or "").removeprefix("W/")
        return bool(own) and own in [tag.strip().removeprefix("W/") for tag in tags.split(",")]
    since, changed = value_of(headers, "if-modified-since"), value_of(answer.headers, "last-modified")
    if since is None or changed is None:
        return False
    try:
        return parsedate_to_datetime(changed) <= parsedate_to_datetime(since)
    except (ValueError, TypeError):
        return False


def is_ours(headers: Headers) -> bool:
    """Whether a request may be answered from a cache: not a part, and not one that shall leave no trace."""
    return value_of(headers, "range") is None and "no-store" not in _directives(headers)


def _directives(headers: Headers) -> set[str]:
    values = (value for name, value in headers if name.lower() == "cache-control")
    return {part.strip().lower() for value in values for part in value.split(",")}


def joined(headers: Iterable[Sequence[str]]) -> dict[str, str | list[str]]:
    """Headers as hishel takes them."""
    out: dict[str, str | list[str]] = {}
    for name, value in headers:
        values = out.setdefault(name.lower(), [])
        assert isinstance(values, list)
        values.append(value)
    return out


def asking(headers: Iterable[tuple[str, str]]) -> Headers:
    """A request's headers; a page that is reloaded says `max-age=0`, which hishel does not know."""
    return tuple(
        (
            name,
            "no-cache" if (name.lower(), value.strip().lower()) == ("cache-control", "max-age=0") else value,
        )
        for name, value in headers
    )


def dated(headers: Headers) -> Headers:
    """An answer's headers with the `Date` from which its age is counted: `Age` is taken into it."""
    now = time.time()
    told = value_of(headers, "date")
    try:
        date = now if told is None else parsedate_to_datetime(told).timestamp()
    except (ValueError, TypeError, OverflowError):
        date = now
    age = (value_of(headers, "age") or "").strip()
    if age.isascii() and age.isdecimal() and len(age) < 10:
        date = min(date, now - int(age))
    kept = tuple((n, v) for n, v in to_return(headers) if n.lower() != "age")
    return (*kept, ("Date", formatdate(date, usegmt=True)))


def entry_of(entry: Entry, url: str) -> hishel.Entry:
    import hishel

    request = hishel.Request("GET", url, hishel.Headers(joined(entry.meta["request"])))
    response = hishel.Response(entry.meta["status"], hishel.Headers(joined(entry.meta["headers"])))
    return hishel.Entry(uuid.UUID(entry.variant), request, response)


def listed(headers: hishel.Headers) -> list[list[str]]:
    return [[name, value] for name in headers for value in headers.get_list(name) or ()]


def answer_of(entry: hishel.Entry, entries: Mapping[str, Entry]) -> Kept:
    headers = tuple((name, value) for name, value in listed(entry.response.headers) if name != "date")
    return Kept(entry.response.status_code, headers, entries[str(entry.id)].body)


def to_send(request: hishel.Request) -> Headers:
    return tuple((n, v) for n, v in listed(request.headers) if n != "authorization")


def matches(request: hishel.Request, entry: hishel.Entry) -> bool:
    """Whether an entry is this request's, as its `Vary` tells."""
    vary = entry.response.headers.get("vary", "")
    names = [name.strip().lower() for name in vary.split(",") if name.strip()]
    return "*" not in names and all(request.headers.get(n) == entry.request.headers.get(n) for n in names)


def stale_of(entries: list[hishel.Entry], request: hishel.Request, kept: Mapping[str, Entry]) -> Kept | None:
    """The newest answer that may be given though it is stale."""
    for entry in entries:
        directives = {
            part.strip().lower().partition("=")[0]
            for part in entry.response.headers.get("cache-control", "").split(",")
        }
        if matches(request, entry) and not directives & {"must-revalidate", "no-cache"}:
            found = answer_of(entry, kept)
            headers = (*found.headers, ("Age", _age(entry)), STALE)
            return Kept(found.status, headers, found.body)
    return None


def _age(entry: hishel.Entry) -> str:
    try:
        date = parsedate_to_datetime(entry.response.headers["date"]).timestamp()
    except (ValueError, TypeError, KeyError):
        return "0"
    return str(max(0, int(time.time() - date)))
