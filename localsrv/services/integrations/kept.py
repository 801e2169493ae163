"""Answers of outside services, kept as RFC 9111 says for a private cache.

The rules are hishel's, as a state machine without any input or output; the answers are in a bounded file
(`store.cache_file`). Each integration of each app has a space of its own, and nobody reads another's. The
secret is in no key: it is added to a request after this has looked. Instead of `Authorization` the rules see
the grant, so that an answer which varies by it is kept for each client apart.

Once an answer is stale and the service cannot be reached, it is served all the same, marked with `Warning`,
unless the service forbade that (`must-revalidate`, `no-cache`; RFC 9111, 4.2.4).
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localsrv.base.errors import StorageError
from localsrv.model.integration_headers import Headers, to_return, value_of
from localsrv.store.cache_file import CacheFile, Entry

if TYPE_CHECKING:
    import hishel

_log = logging.getLogger(__name__)

MOST_BYTES = 8 << 20
"""The largest body that is kept."""
MOST_GATHERED = 32 << 20
"""Bytes of bodies that are on their way and may be kept; further ones are not."""

STALE = ("Warning", '110 localsrv "Response is Stale"')

_CONDITIONS = ("if-none-match", "if-modified-since", "if-match", "if-unmodified-since")


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that was kept."""

    status: int
    headers: Headers
    body: bytes


@dataclass(slots=True)
class Lookup:
    """What a cache knows of one request. `answer` is to be given at once; otherwise `headers` are to be sent.

    `stale` may be given when the service cannot be reached.
    """

    key: str
    space: str
    headers: Headers
    answer: Kept | None = None
    stale: Kept | None = None
    state: Any = None
    request: Any = None
    entries: dict[str, Entry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Storing:
    """An answer that may be kept once its body is known."""

    lookup: Lookup
    status: int
    headers: Headers
    replaced: tuple[str, ...]


class KeptAnswers:
    """`most_bytes` 0: nothing is kept. What the disk refuses is not kept either, and fails no call.

    The file is opened when it is first used.
    """

    def __init__(self, path: Path, most_bytes: int) -> None:
        self._path = path
        self._most = most_bytes
        self._opening = asyncio.Lock()
        self._file: CacheFile | None = None
        self.gathered = 0
        """Bytes that are held for answers which have not come whole."""

    async def close(self) -> None:
        if self._file is not None:
            await self._file.close()

    async def _opened(self) -> CacheFile | None:
        """None when nothing is to be kept, or the disk refuses."""
        if self._file is None and self._most:
            async with self._opening:
                if self._file is None:
                    try:
                        self._file = await CacheFile.open(self._path, self._most)
                    except StorageError as error:
                        _log.warning("no cache of answers", extra={"fields": {"why": error.message}})
                        self._most = 0
        return self._file

    async def clear(self, key: tuple[str, str]) -> int:
        """Forgets the answers of an integration; how many there were. Raises StorageError."""
        file = await self._existing()
        return 0 if file is None else await file.clear(_space(key))

    async def count(self, key: tuple[str, str]) -> tuple[int, int]:
        """How many answers of an integration are kept, and their bytes. Raises StorageError."""
        file = await self._existing()
        return (0, 0) if file is None else await file.count(_space(key))

    async def forget(self, key: tuple[str, str], url: str) -> None:
        """An address was changed: what is known of it no longer holds (RFC 9111, 4.4)."""
        if await self._existing() is not None:
            await self._quietly_delete(_space(key), url, None)

    async def _existing(self) -> CacheFile | None:
        return await self._opened() if self._file is not None or self._path.exists() else None

    async def look(self, key: tuple[str, str], url: str, headers: Headers, who: str) -> Lookup | None:
        """What is known of a GET; None when it is none of the cache's business."""
        file = await self._opened() if _is_ours(headers) else None
        if file is None:
            return None
        await asyncio.to_thread(_rules)
        import hishel

        space = _space(key)
        try:
            found = await file.get(space, url, time.time())
        except StorageError:
            return None
        has_conditions = any(value_of(headers, name) is not None for name in _CONDITIONS)
        if has_conditions and not found:
            return None  # the client has what we do not: let the service answer it
        plain = tuple((n, v) for n, v in headers if n.lower() not in _CONDITIONS)
        request = hishel.Request(
            "GET", url, hishel.Headers({**_joined(_asking(plain)), "authorization": who})
        )
        lookup = Lookup(url, space, plain, request=request, entries={e.variant: e for e in found})
        entries = [_entry(entry, url) for entry in found]
        state = hishel.IdleClient(options={"shared": False, "supported_methods": ["GET"]}).next(
            request, entries
        )
        lookup.state = state
        if isinstance(state, hishel.FromCache):
            lookup.answer = _answer(state.entry, lookup.entries)
        elif isinstance(state, hishel.NeedRevalidation):
            lookup.headers = _to_send(state.request)
            lookup.stale = _stale(state.revalidating_entries, request, lookup.entries)
        return lookup

    async def learn(self, lookup: Lookup, status: int, headers: Headers) -> Kept | Storing | None:
        """What follows from an answer: a kept one that is good again, one to be stored, or neither."""
        import hishel

        before = lookup.state
        response = hishel.Response(status, hishel.Headers(_joined(_dated(headers))))
        state: Any = before.next(response)
        gone: list[str] = []
        while True:
            if isinstance(state, hishel.InvalidateEntries):
                gone += [str(ident) for ident in state.entry_ids]
                state = state.next()
            elif isinstance(state, hishel.NeedToBeUpdated):
                for entry in state.updating_entries:
                    await self._update(lookup, entry)
                state = state.next()
            else:
                break
        if isinstance(state, hishel.FromCache):
            return _answer(state.entry, lookup.entries)
        if isinstance(state, hishel.CacheMiss):  # a 304 about nothing that we have
            await self._quietly_delete(lookup.space, lookup.key, gone)
            return None
        if isinstance(before, hishel.NeedRevalidation):
            gone += [str(e.id) for e in before.revalidating_entries if _matches(lookup.request, e)]
        if not isinstance(state, hishel.StoreAndUse) or status >= 500:
            if status < 500:
                await self._quietly_delete(lookup.space, lookup.key, gone)
            return None
        kept = tuple((n, v) for n in state.response.headers for v in state.response.headers.get_list(n) or ())
        return Storing(lookup, status, kept, tuple(dict.fromkeys(gone)))

    async def store(self, storing: Storing, body: bytes) -> None:
        """Keeps an answer whose body has come whole."""
        lookup = storing.lookup
        await self._quietly_delete(lookup.space, lookup.key, list(storing.replaced))
        meta = {
            "request": _listed(lookup.request.headers),
            "status": storing.status,
            "headers": [list(pair) for pair in storing.headers],
        }
        await self._put(lookup, Entry(body, meta, variant=str(uuid.uuid4())))

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _update(self, lookup: Lookup, entry: hishel.Entry) -> None:
        known = lookup.entries[str(entry.id)]
        meta = {**known.meta, "headers": _listed(entry.response.headers)}
        await self._put(lookup, Entry(known.body, meta, variant=known.variant))

    async def _put(self, lookup: Lookup, entry: Entry) -> None:
        assert self._file is not None
        try:
            await self._file.put(lookup.space, lookup.key, entry, time.time())
        except StorageError:
            return

    async def _quietly_delete(self, space: str, key: str, variants: list[str] | None) -> None:
        assert self._file is not None
        if variants == []:
            return
        try:
            await self._file.delete(space, key, variants)
        except StorageError:
            return


class Gathering:
    """A body that may be kept, while it comes. What is too large, or too much at once, is let go."""

    def __init__(self, kept: KeptAnswers) -> None:
        self._kept = kept
        self._parts: list[bytes] | None = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        if self._parts is None:
            return
        if self._size + len(chunk) > MOST_BYTES or self._kept.gathered + len(chunk) > MOST_GATHERED:
            self.end()
            return
        self._parts.append(chunk)
        self._size += len(chunk)
        self._kept.gathered += len(chunk)

    async def store(self, storing: Storing) -> None:
        """Keeps it: it has come whole."""
        if self._parts is not None:
            await self._kept.store(storing, b"".join(self._parts))

    def end(self) -> None:
        self._kept.gathered -= self._size
        self._parts, self._size = None, 0


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


def _rules() -> None:
    """Imports hishel, which takes a tenth of a second and so has no place on the event loop."""
    import hishel  # noqa: F401


def _space(key: tuple[str, str]) -> str:
    return f"integration:{key[0]}:{key[1]}"


def _is_ours(headers: Headers) -> bool:
    """Whether a request may be answered from a cache: not a part, and not one that shall leave no trace."""
    return value_of(headers, "range") is None and "no-store" not in _directives(headers)


def _directives(headers: Headers) -> set[str]:
    values = (value for name, value in headers if name.lower() == "cache-control")
    return {part.strip().lower() for value in values for part in value.split(",")}


def _joined(headers: Iterable[Sequence[str]]) -> dict[str, str | list[str]]:
    """Headers as hishel takes them."""
    out: dict[str, str | list[str]] = {}
    for name, value in headers:
        values = out.setdefault(name.lower(), [])
        assert isinstance(values, list)
        values.append(value)
    return out


def _asking(headers: Iterable[tuple[str, str]]) -> Headers:
    """A request's headers; a page that is reloaded says `max-age=0`, which hishel does not know."""
    return tuple(
        (
            name,
            "no-cache" if (name.lower(), value.strip().lower()) == ("cache-control", "max-age=0") else value,
        )
        for name, value in headers
    )


def _dated(headers: Headers) -> Headers:
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


def _entry(entry: Entry, url: str) -> hishel.Entry:
    import hishel

    request = hishel.Request("GET", url, hishel.Headers(_joined(entry.meta["request"])))
    response = hishel.Response(entry.meta["status"], hishel.Headers(_joined(entry.meta["headers"])))
    return hishel.Entry(uuid.UUID(entry.variant), request, response)


def _listed(headers: hishel.Headers) -> list[list[str]]:
    return [[name, value] for name in headers for value in headers.get_list(name) or ()]


def _answer(entry: hishel.Entry, entries: Mapping[str, Entry]) -> Kept:
    headers = tuple((name, value) for name, value in _listed(entry.response.headers) if name != "date")
    return Kept(entry.response.status_code, headers, entries[str(entry.id)].body)


def _to_send(request: hishel.Request) -> Headers:
    return tuple((n, v) for n, v in _listed(request.headers) if n != "authorization")


def _matches(request: hishel.Request, entry: hishel.Entry) -> bool:
    """Whether an entry is this request's, as its `Vary` tells."""
    vary = entry.response.headers.get("vary", "")
    names = [name.strip().lower() for name in vary.split(",") if name.strip()]
    return "*" not in names and all(request.headers.get(n) == entry.request.headers.get(n) for n in names)


def _stale(entries: list[hishel.Entry], request: hishel.Request, kept: Mapping[str, Entry]) -> Kept | None:
    """The newest answer that may be given though it is stale."""
    for entry in entries:
        directives = {
            part.strip().lower().partition("=")[0]
            for part in entry.response.headers.get("cache-control", "").split(",")
        }
        if _matches(request, entry) and not directives & {"must-revalidate", "no-cache"}:
            found = _answer(entry, kept)
            headers = (*found.headers, ("Age", _age(entry)), STALE)
            return Kept(found.status, headers, found.body)
    return None


def _age(entry: hishel.Entry) -> str:
    try:
        date = parsedate_to_datetime(entry.response.headers["date"]).timestamp()
    except (ValueError, TypeError, KeyError):
        return "0"
    return str(max(0, int(time.time() - date)))
