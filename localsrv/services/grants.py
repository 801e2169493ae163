"""Who may ask: grants in memory by the SHA-256 of their tokens, and on disk.

A lookup is one hash and one dict. When a grant was last used is written lazily, with the next change of the
table, or when its last writing is some minutes old: nothing here wakes up by itself.

An end holds by two clocks, that of the wall, which the file knows, and one that nobody sets: a wall clock
that is set back brings no token back to life while the process runs.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from math import inf

from localsrv.base.errors import NotFound, StorageError, Unavailable
from localsrv.model.scopes import ADMIN, ALL, Grant, Kind
from localsrv.services.audit import GRANT_CREATED, GRANT_REVOKED, SIGN_IN, Audit
from localsrv.store.grants import GrantStore, Known, TokenRow
from localsrv.store.system import System

TOKEN_PREFIX = "lsk_"  # noqa: S105 - what tokens begin with, so that scanners recognise a leaked one
PUBLISHABLE_PREFIX = "lsp_"
"""What keys begin with that are no secret."""
TOUCH_SECONDS = 300
DAY = 24 * 3600
OWNER = "owner"


def new_token(prefix: str = TOKEN_PREFIX) -> str:
    """A token of 256 random bits."""
    return prefix + secrets.token_urlsafe(32)


def token_digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


@dataclass(slots=True)
class _Record:
    """A grant, when it ends by the clock that nobody sets, its access tokens, and itself if it is public."""

    grant: Grant
    deadline: float
    digests: set[bytes] = field(default_factory=set)
    public_key: str | None = None

    def has_ended(self, now: float) -> bool:
        return self.grant.is_expired(now) or time.monotonic() >= self.deadline


@dataclass(slots=True)
class _Held:
    """What an access token stands for. `ends` and `deadline`: when it does so no longer, by the two clocks.

    `generation` is told to the store at the token's first use (services/tokens.py); 0 afterwards.
    """

    grant: Grant
    ends: float
    deadline: float
    generation: int


class Grants:
    """Create it with `open`. Not thread-safe: it belongs to the event loop."""

    def __init__(
        self, store: GrantStore, known: list[Known], owner_token: str, audit: Audit | None = None
    ) -> None:
        self.store = store
        self._audit = audit
        self._by_digest: dict[bytes, _Held] = {}
        self._records: dict[str, _Record] = {}
        self._origins: dict[str, set[str]] = {}
        self._used: dict[str, int] = {}
        self._written_at = time.time()
        self._watchers: dict[str, list[Callable[[], None]]] = {}
        self._writing: set[asyncio.Task[None]] = set()
        self.on_end: list[Callable[[Grant], None]] = []
        """Called with each grant that was revoked."""
        for one in known:
            self._remember(one.grant, one.tokens, one.public_key)
        owner = Grant(OWNER, OWNER, ALL, frozenset({ADMIN}))
        self._remember(owner, [TokenRow(token_digest(owner_token), OWNER)])

    @classmethod
    async def open(cls, system: System, owner_token: str, audit: Audit | None = None) -> Grants:
        """The grants of the file, without those that have expired, and the owner's, which is in no file."""
        store = GrantStore(system)
        await store.delete_ended(int(time.time()))
        return cls(store, await store.all(), owner_token, audit)

    async def close(self) -> None:
        """Writes what was not written yet."""
        if self._writing:
            await asyncio.gather(*self._writing)
        await self._write_used()

    # ── asking ─────────────────────────────────────────────────────────────────────────────────────────────

    def find(self, token: str) -> Grant | None:
        """The live grant of an access token, noted as used."""
        held = self._by_digest.get(token_digest(token))
        if held is None:
            return None
        now = time.time()
        if now >= held.ends or (held.deadline != inf and time.monotonic() >= held.deadline):
            return None
        grant, at = held.grant, int(now)
        if self._used.get(grant.id) != at:
            self._note_use(held, at)
        return grant

    def by_id(self, ident: str) -> Grant | None:
        """The live grant of an id."""
        record = self._records.get(ident)
        return None if record is None or record.has_ended(time.time()) else record.grant

    def holds(self, origin: str) -> bool:
        """Whether a live grant is bound to this web origin."""
        return any(self.by_id(ident) is not None for ident in self._origins.get(origin, ()))

    def origins(self) -> list[str]:
        """The web origins that live grants are bound to."""
        return [origin for origin in self._origins if self.holds(origin)]

    def published(self) -> set[str]:
        """The apps that have a live publishable key."""
        records, now = self._records.values(), time.time()
        return {r.grant.app for r in records if r.grant.kind == "publishable" and not r.has_ended(now)}

    def public_key(self, ident: str) -> str | None:
        """A publishable key itself, which is no secret; None for every other grant."""
        return self._records[ident].public_key

    def all(self) -> list[Grant]:
        """Every grant but the owner's, oldest first, with the time of its last use."""
        return [
            g.used(self._used[g.id]) if g.id in self._used else g
            for g in (record.grant for record in self._records.values())
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
        kind: Kind = "key",
        program: str | None = None,
    ) -> tuple[str, Grant]:
        """A new grant, durable on return, and its only token, which lives as long. It cannot be seen again,
        but for a publishable key."""
        token = new_token(PUBLISHABLE_PREFIX if kind == "publishable" else TOKEN_PREFIX)
        grant = new_grant(name, app, scopes, origin, expires_in, kind, program)
        rows = [TokenRow(token_digest(token), grant.id, created_at=grant.created_at)]
        await self.add(grant, rows, token if kind == "publishable" else None)
        return token, grant

    async def add(self, grant: Grant, tokens: list[TokenRow], public_key: str | None = None) -> None:
        """A new grant with its tokens, durable on return. What ended long ago is forgotten meanwhile."""
        await self.store.add(grant, tokens, public_key)
        self._remember(grant, [row for row in tokens if row.use == "access"], public_key)
        self._note(GRANT_CREATED, grant, kind=grant.kind, scopes=" ".join(sorted(grant.scopes)))
        await self._forget_ended()

    def replace_tokens(self, grant: Grant, row: TokenRow, ended: tuple[bytes, ...]) -> None:
        """Takes a new access token of a grant, and ends others; the store has done so already."""
        record = self._records.get(grant.id)
        if record is None:  # revoked meanwhile
            return
        for digest in ended:
            self._by_digest.pop(digest, None)
            record.digests.discard(digest)
        self._hold(record, row)

    async def extend(self, grant: Grant, seconds: int) -> Grant:
        """The grant with its end that many seconds from now, durable on return. Never ends it sooner.

        Raises:
            NotFound: it was revoked meanwhile.
        """
        expires_at = int(time.time()) + seconds
        if grant.expires_at is None or grant.expires_at >= expires_at:
            return grant
        await self.store.extend(grant.id, expires_at)
        record = self._records.get(grant.id)
        if record is None:
            raise _unknown(grant.id)
        record.grant = replace(record.grant, expires_at=expires_at)
        record.deadline = _deadline(expires_at)
        for digest in record.digests:
            held = self._by_digest[digest]
            held.grant = replace(held.grant, expires_at=expires_at)
            held.ends, held.deadline = expires_at, record.deadline
        return record.grant

    async def revoke(self, ident: str) -> Grant:
        """Ends a grant at once, live feeds included, and for good once this returns.

        Raises:
            NotFound: no such grant; the owner's is none that can be revoked.
        """
        record = self._records.get(ident)
        if record is None or ident == OWNER:
            raise _unknown(ident)
        await self.store.delete([ident])
        if self._forget(ident):
            self._note(GRANT_REVOKED, record.grant, kind=record.grant.kind)
        return record.grant

    def forget_app(self, app: str) -> None:
        """Ends the grants of a removed app; the store has deleted their rows with it."""
        for grant in [r.grant for r in self._records.values() if r.grant.app == app]:
            self._forget(grant.id)
            self._note(GRANT_REVOKED, grant, kind=grant.kind)

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

    def watching(self, grant: Grant) -> int:
        """How many watch the grant."""
        return len(self._watchers.get(grant.id, ()))

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────────────

    def _remember(
        self, grant: Grant, tokens: list[TokenRow] | tuple[TokenRow, ...], public_key: str | None = None
    ) -> None:
        record = _Record(grant, _deadline(grant.expires_at), public_key=public_key)
        self._records[grant.id] = record
        for row in tokens:
            self._hold(record, row)
        if grant.origin is not None:
            self._origins.setdefault(grant.origin, set()).add(grant.id)

    def _hold(self, record: _Record, row: TokenRow) -> None:
        grant = record.grant if row.scopes is None else replace(record.grant, scopes=row.scopes)
        ends = min(end for end in (row.expires_at, grant.expires_at, inf) if end is not None)
        self._by_digest[row.sha256] = _Held(grant, ends, _deadline(ends), row.generation)
        record.digests.add(row.sha256)

    def _forget(self, ident: str) -> bool:
        """Whether it was known still."""
        record = self._records.pop(ident, None)
        if record is None:
            return False
        for digest in record.digests:
            self._by_digest.pop(digest, None)
        self._used.pop(ident, None)
        origin = record.grant.origin
        if origin is not None:
            self._origins[origin].discard(ident)
            if not self._origins[origin]:
                del self._origins[origin]
        for ended in list(self._watchers.get(ident, ())):
            ended()
        for told in self.on_end:
            told(record.grant)
        return True

    async def _forget_ended(self) -> None:
        """Grants that ended a day ago are shown no longer; those allowed once would fill the list."""
        now = time.time()
        old = [i for i, r in self._records.items() if r.grant.is_expired(now - DAY) and r.has_ended(now)]
        if old:
            await self.store.delete(old)
            for ident in old:
                self._forget(ident)

    # ── what is written later ──────────────────────────────────────────────────────────────────────────────

    def _note_use(self, held: _Held, at: int) -> None:
        """Called once a second at most for each grant."""
        grant = held.grant
        before = self._used.get(grant.id, grant.last_used_at)
        if (before is None or at - before >= DAY) and grant.id != OWNER:
            self._note(SIGN_IN, grant)
        self._used[grant.id] = at
        if held.generation:
            generation, held.generation = held.generation, 0
            self._later(self.store.confirm(grant.id, generation, at))
        if at - self._written_at > TOUCH_SECONDS:
            self._written_at = at
            self._later(self._write_used())

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._unless_refused(work))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _unless_refused(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except (StorageError, Unavailable):
            # Knowing when a key was last used is not worth failing a request; the next writing tries again.
            self._written_at = time.time()

    async def _write_used(self) -> None:
        used = {i: at for i, at in self._used.items() if i != OWNER}
        if used:
            await self.store.touch(used)
        self._written_at = time.time()

    def _note(self, event: str, grant: Grant, **details: str) -> None:
        if self._audit is not None:
            self._audit.note(event, grant=grant, details=details)


def new_grant(
    name: str,
    app: str,
    scopes: frozenset[str],
    origin: str | None = None,
    expires_in: int | None = None,
    kind: Kind = "key",
    program: str | None = None,
) -> Grant:
    """A grant from now on, which nothing knows yet."""
    now = int(time.time())
    expires_at = None if expires_in is None else now + expires_in
    ident = secrets.token_hex(6)
    return Grant(ident, name, app, scopes, origin, now, expires_at, kind=kind, program=program)


def _deadline(expires_at: float | None) -> float:
    """When a time on the wall's clock is there, on the one that nobody sets."""
    return inf if expires_at is None or expires_at == inf else time.monotonic() + expires_at - time.time()


def _unknown(ident: str) -> NotFound:
    return NotFound(
        f"There is no grant `{ident}`.",
        code="key-not-found",
        hint="It takes an id: see localsrv grants list.",
    )
