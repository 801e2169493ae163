"""The audit log: what happened around trust, for the owner to read.

Entries are gathered in memory and written together, at most `DELAY_S` after they were noted: noting costs a
request nothing, and who fails a thousand times a second makes one entry with a count and one write. Nothing
here wakes up while nothing happens. Callers give names and ids; a token or a secret never comes in.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from localsrv.base.errors import StorageError
from localsrv.model.scopes import Grant
from localsrv.store.audit import AuditEntry, AuditStore

SIGN_IN = "sign-in"
SIGN_IN_FAILED = "sign-in-failed"
CODE_FAILED = "code-failed"
REQUEST_MADE = "request-made"
REQUEST_APPROVED = "request-approved"
REQUEST_REFUSED = "request-refused"
REQUEST_MUTED = "request-muted"
REQUEST_EXPIRED = "request-expired"
GRANT_CREATED = "grant-created"
GRANT_REVOKED = "grant-revoked"
TOKEN_REFRESHED = "token-refreshed"  # noqa: S105 - the name of an event
TOKEN_REUSED = "token-reused"  # noqa: S105
SECRET_SET = "secret-set"  # noqa: S105
SECRET_REMOVED = "secret-removed"  # noqa: S105
SECRET_MOVED = "secret-moved"  # noqa: S105
SECRET_USED = "secret-used"  # noqa: S105
VAULT_UNLOCKED = "vault-unlocked"
VAULT_UNLOCK_FAILED = "vault-unlock-failed"
INTEGRATION_SET = "integration-set"
INTEGRATION_REFUSED = "integration-refused"

EVENTS: dict[str, str] = {
    SIGN_IN: "a page swapped a code for its token, or a client used its grant for the first time in a day",
    SIGN_IN_FAILED: "a token or password was not known, had ended, or came from the wrong origin",
    CODE_FAILED: "a code that pairs or opens a page was wrong, used or too old",
    REQUEST_MADE: "a program or page asked for access",
    REQUEST_APPROVED: "the owner allowed it",
    REQUEST_REFUSED: "the owner refused it",
    REQUEST_MUTED: "one that was refused twice asked again and was not shown",
    REQUEST_EXPIRED: "nobody decided in time",
    GRANT_CREATED: "a grant was made",
    GRANT_REVOKED: "a grant was ended",
    TOKEN_REFRESHED: "a client renewed its token",
    TOKEN_REUSED: "a spent refresh token came again; its grant was ended",
    SECRET_SET: "a secret was stored",
    SECRET_REMOVED: "a secret was removed",
    SECRET_MOVED: "a secret was moved to another vault",
    SECRET_USED: "a secret was used for a request",
    VAULT_UNLOCKED: "the vault was unlocked",
    VAULT_UNLOCK_FAILED: "a passphrase was wrong",
    INTEGRATION_SET: "the owner set up, changed or removed an integration",
    INTEGRATION_REFUSED: "a call through an integration was refused before it left",
}
"""Every event and what it says, as docs/audit.md lists them."""

DELAY_S = 1.0
SAME_WITHIN_S = 60
MOST_WAITING = 1000
"""Different entries that wait to be written; more are counted, not kept."""
LONGEST_TEXT = 200

_log = logging.getLogger(__name__)

_Key = tuple[str, str | None, str | None, str | None, str | None]


class Audit:
    """Belongs to the event loop. `clock` gives seconds since 1970."""

    def __init__(self, store: AuditStore, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._waiting: dict[_Key, AuditEntry] = {}
        self._recent: dict[_Key, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._lost = 0

    async def close(self) -> None:
        """Writes what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None:
            await self._writing
        await self._write()

    def note(
        self,
        event: str,
        *,
        grant: Grant | None = None,
        app: str | None = None,
        origin: str | None = None,
        subject: str | None = None,
        details: Mapping[str, str | int] | None = None,
    ) -> None:
        """Notes an event of `EVENTS`. Never waits and never fails.

        `app` and `origin` are the grant's unless given. Repeated within `SAME_WITHIN_S` of the first, it only
        counts: the entry is written at the first time, and once more with the rest when the minute is over
        or the log is read.
        """
        if grant is not None:
            app = grant.app if app is None else app
            origin = grant.origin if origin is None else origin
        key = (event, grant.id if grant else None, _short(app), _short(origin), _short(subject))
        now = int(self._clock())
        waiting = self._waiting.get(key)
        if waiting is not None:
            self._waiting[key] = replace(waiting, count=waiting.count + 1, until=now)
        elif len(self._waiting) >= MOST_WAITING:
            self._lost += 1
            return
        else:
            shown = {_tamed(k): _tamed(v) if isinstance(v, str) else v for k, v in (details or {}).items()}
            self._waiting[key] = AuditEntry(
                now, now, 1, *key[:2], _short(grant.name) if grant else None, *key[2:], details=shown
            )
        first = self._recent.get(key)
        is_repeated = first is not None and 0 <= now - first < SAME_WITHIN_S
        if not is_repeated:
            self._recent[key] = now
        self._schedule(SAME_WITHIN_S if is_repeated else DELAY_S)

    async def page(
        self, *, before: int | None = None, limit: int = 100, event: str | None = None
    ) -> list[AuditEntry]:
        """Entries, newest first, with all that was noted until now. Raises StorageError."""
        if before is None:
            await self._write()
        return await self._store.page(before=before, limit=limit, event=event)

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────────────

    def _schedule(self, delay: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if self._timer.when() <= loop.time() + delay:
                return
            self._timer.cancel()
        self._timer = loop.call_later(delay, self._begin)

    def _begin(self) -> None:
        self._timer = None
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write())
        else:
            self._schedule(DELAY_S)

    async def _write(self) -> None:
        entries, self._waiting = list(self._waiting.values()), {}
        lost, self._lost = self._lost, 0
        now = int(self._clock())
        self._recent = {k: at for k, at in self._recent.items() if 0 <= now - at < SAME_WITHIN_S}
        if not entries:
            return
        try:
            await self._store.add(entries)
        except StorageError as error:
            # A request must not fail because its record cannot be kept. The next writing tries again.
            _log.error("audit not written", extra={"fields": {"entries": len(entries), "why": error.message}})
            newer = self._waiting
            self._waiting = {_key(entry): entry for entry in entries}
            for key, entry in newer.items():
                older = self._waiting.get(key)
                count = entry.count + (older.count if older else 0)
                self._waiting[key] = replace(older or entry, count=count, until=entry.until)
        if lost:
            _log.error("audit entries lost", extra={"fields": {"entries": lost, "why": "too many at once"}})


def _key(entry: AuditEntry) -> _Key:
    return (entry.event, entry.grant_id, entry.app, entry.origin, entry.subject)


def _short(text: str | None) -> str | None:
    return None if text is None else _tamed(text)


def _tamed(text: str) -> str:
    """A text that fits a line of the log: bounded, without control characters."""
    shown = text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
    return "".join(c if c.isprintable() else "\ufffd" for c in shown)
