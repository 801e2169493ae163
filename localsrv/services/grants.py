"""Who may ask: grants in memory by the SHA-256 of their token, and on disk.

A lookup is one hash and one dict. When a grant was last used is written lazily, with the next change of the
table, or when its last writing is some minutes old: nothing here wakes up by itself.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256

from localsrv.base.errors import NotFound, StorageError
from localsrv.model.scopes import ADMIN, ALL, Grant
from localsrv.store.system import System

TOKEN_PREFIX = "lsk_"  # noqa: S105 - what tokens begin with, so that scanners recognise a leaked one
TOUCH_SECONDS = 300
OWNER = "owner"


def new_token() -> str:
    """A token of 256 random bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def token_digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


class Grants:
    """Create it with `open`. Not thread-safe: it belongs to the event loop."""

    def __init__(self, system: System, known: list[tuple[bytes, Grant]], owner_token: str) -> None:
        self._system = system
        self._by_digest: dict[bytes, Grant] = {}
        self._digests: dict[str, bytes] = {}
        self._origins: dict[str, set[str]] = {}
        self._used: dict[str, int] = {}
        self._written_at = time.time()
        self._watchers: dict[str, list[Callable[[], None]]] = {}
        self._writing: asyncio.Task[None] | None = None
        for digest, grant in known:
            self._remember(digest, grant)
        self._remember(token_digest(owner_token), Grant(OWNER, OWNER, ALL, frozenset({ADMIN})))

    @classmethod
    async def open(cls, system: System, owner_token: str) -> Grants:
        """The grants of the file, without those that have expired, and the owner's, which is in no file."""
        now = time.time()
        known = await system.grants()
        expired = [grant.id for _, grant in known if grant.is_expired(now)]
        if expired:
            await system.delete_grants(expired)
        return cls(system, [(d, g) for d, g in known if not g.is_expired(now)], owner_token)

    async def close(self) -> None:
        """Writes what was not written yet."""
        if self._writing is not None:
            await self._writing
        await self._write_used()

    # ── asking ─────────────────────────────────────────────────────────────────────────────────────────────

    def find(self, token: str) -> Grant | None:
        """The live grant of a token, noted as used."""
        grant = self._by_digest.get(token_digest(token))
        if grant is None:
            return None
        now = time.time()
        if grant.expires_at is not None and now >= grant.expires_at:
            return None
        self._used[grant.id] = int(now)
        if now - self._written_at > TOUCH_SECONDS:
            self._written_at = now
            self._writing = asyncio.get_running_loop().create_task(self._write_lazily())
        return grant

    def by_id(self, ident: str) -> Grant | None:
        """The live grant of an id."""
        digest = self._digests.get(ident)
        grant = None if digest is None else self._by_digest[digest]
        return None if grant is None or grant.is_expired(time.time()) else grant

    def holds(self, origin: str) -> bool:
        """Whether a live grant is bound to this web origin."""
        return any(self.by_id(ident) is not None for ident in self._origins.get(origin, ()))

    def origins(self) -> list[str]:
        """The web origins that live grants are bound to."""
        return [origin for origin in self._origins if self.holds(origin)]

    def all(self) -> list[Grant]:
        """Every grant but the owner's, oldest first, with the time of its last use."""
        return [
            g.used(self._used[g.id]) if g.id in self._used else g
            for g in self._by_digest.values()
            if g.id != OWNER
        ]

    # ── changing ───────────────────────────────────────────────────────────────────────────────────────────

    async def create(
        self,
        name: str,
        app: str,
        scopes: frozenset[str],
        *,
        origin: str | None = None,
        expires_in: int | None = None,
    ) -> tuple[str, Grant]:
        """A new grant, durable on return, and its token, which cannot be seen again."""
        now = int(time.time())
        expires_at = None if expires_in is None else now + expires_in
        token = new_token()
        grant = Grant(secrets.token_hex(6), name, app, scopes, origin, now, expires_at)
        await self._system.add_grant(token_digest(token), grant)
        self._remember(token_digest(token), grant)
        return token, grant

    async def revoke(self, ident: str) -> Grant:
        """Ends a grant at once, live feeds included, and for good once this returns.

        Raises:
            NotFound: no such grant; the owner's is none that can be revoked.
        """
        digest = self._digests.get(ident)
        if digest is None or ident == OWNER:
            raise NotFound(f"There is no key `{ident}`.", code="key-not-found", hint="See localsrv key list.")
        grant = self._by_digest[digest]
        await self._system.delete_grants([ident])
        self._forget(ident)
        return grant

    def forget_app(self, app: str) -> None:
        """Ends the grants of a removed app; the store has deleted their rows with it."""
        for grant in [g for g in self._by_digest.values() if g.app == app]:
            self._forget(grant.id)

    @contextmanager
    def watch(self, grant: Grant, ended: Callable[[], None]) -> Iterator[None]:
        """Calls `ended` when the grant is revoked while the block runs."""
        watchers = self._watchers.setdefault(grant.id, [])
        watchers.append(ended)
        try:
            yield
        finally:
            watchers.remove(ended)
            if not watchers:
                self._watchers.pop(grant.id, None)

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────────────

    def _remember(self, digest: bytes, grant: Grant) -> None:
        self._by_digest[digest] = grant
        self._digests[grant.id] = digest
        if grant.origin is not None:
            self._origins.setdefault(grant.origin, set()).add(grant.id)

    def _forget(self, ident: str) -> None:
        digest = self._digests.pop(ident, None)
        if digest is None:
            return
        grant = self._by_digest.pop(digest)
        self._used.pop(ident, None)
        if grant.origin is not None:
            self._origins[grant.origin].discard(ident)
            if not self._origins[grant.origin]:
                del self._origins[grant.origin]
        for ended in list(self._watchers.get(ident, ())):
            ended()

    async def _write_lazily(self) -> None:
        try:
            await self._write_used()
        except StorageError:
            # Knowing when a key was last used is not worth failing a request; the next writing tries again.
            self._written_at = time.time()

    async def _write_used(self) -> None:
        used = {i: at for i, at in self._used.items() if i != OWNER}
        if used:
            await self._system.touch_grants(used)
        self._written_at = time.time()
