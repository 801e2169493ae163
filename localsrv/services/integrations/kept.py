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
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localsrv.base.errors import StorageError
from localsrv.model.integration_headers import Headers, value_of
from localsrv.services.integrations.kept_rules import (
    Kept,
    answer_of,
    asking,
    dated,
    entry_of,
    is_ours,
    joined,
    listed,
    matches,
    stale_of,
    to_send,
)
from localsrv.store.cache_file import CacheFile, Entry

if TYPE_CHECKING:
    import hishel

_log = logging.getLogger(__name__)

MOST_BYTES = 8 << 20
"""The largest body that is kept."""
MOST_GATHERED = 32 << 20
"""Bytes of bodies that are on their way and may be kept; further ones are not."""

_CONDITIONS = ("if-none-match", "if-modified-since", "if-match", "if-unmodified-since")


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
        file = await self._opened() if is_ours(headers) else None
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
        request = hishel.Request("GET", url, hishel.Headers({**joined(asking(plain)), "authorization": who}))
        lookup = Lookup(url, space, plain, request=request, entries={e.variant: e for e in found})
        entries = [entry_of(entry, url) for entry in found]
        state = hishel.IdleClient(options={"shared": False, "supported_methods": ["GET"]}).next(
            request, entries
        )
        lookup.state = state
        if isinstance(state, hishel.FromCache):
            lookup.answer = answer_of(state.entry, lookup.entries)
        elif isinstance(state, hishel.NeedRevalidation):
            lookup.headers = to_send(state.request)
            lookup.stale = stale_of(state.revalidating_entries, request, lookup.entries)
        return lookup

    async def learn(self, lookup: Lookup, status: int, headers: Headers) -> Kept | Storing | None:
        """What follows from an answer: a kept one that is good again, one to be stored, or neither."""
        import hishel

        before = lookup.state
        response = hishel.Response(status, hishel.Headers(joined(dated(headers))))
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
            return answer_of(state.entry, lookup.entries)
        if isinstance(state, hishel.CacheMiss):  # a 304 about nothing that we have
            await self._quietly_delete(lookup.space, lookup.key, gone)
            return None
        if isinstance(before, hishel.NeedRevalidation):
            gone += [str(e.id) for e in before.revalidating_entries if matches(lookup.request, e)]
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
            "request": listed(lookup.request.headers),
            "status": storing.status,
            "headers": [list(pair) for pair in storing.headers],
        }
        await self._put(lookup, Entry(body, meta, variant=str(uuid.uuid4())))

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _update(self, lookup: Lookup, entry: hishel.Entry) -> None:
        known = lookup.entries[str(entry.id)]
        meta = {**known.meta, "headers": listed(entry.response.headers)}
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


def _rules() -> None:
    """Imports hishel, which takes a tenth of a second and so has no place on the event loop."""
    import hishel  # noqa: F401


def _space(key: tuple[str, str]) -> str:
    return f"integration:{key[0]}:{key[1]}"
