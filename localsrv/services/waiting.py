"""The requests that wait, in memory: found by their id, by what their client knows, or by the code both see.

Whoever shows the list waits for its next `version`. One timer runs while something waits, so that what nobody
decided ends by itself; nothing runs while nothing waits.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from hashlib import sha256

from localsrv.services.asking import Asked, Request, Status

LIFETIME_S = 600

ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
"""RFC 8628, 6.1: no vowels, so no words, and nothing that looks like another letter or a digit."""


class WaitingRequests:
    """Belongs to the event loop. `clock` counts seconds and never goes back.

    `expired` is called with each request that ends because nobody decided, before anybody is told.
    """

    def __init__(self, clock: Callable[[], float], expired: Callable[[Request], None]) -> None:
        self.clock = clock
        self._expired = expired
        self._requests: dict[str, Request] = {}
        self._by_secret: dict[bytes, Request] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()
        self.version = secrets.randbits(40)
        """Another number after every change of what waits; not the same after a restart."""

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    # ── asking ─────────────────────────────────────────────────────────────────────────────────────────────

    def all(self) -> list[Request]:
        """Those that are remembered, oldest first; those that waited too long have ended."""
        self._sweep()
        return list(self._requests.values())

    def undecided(self) -> list[Asked]:
        """What nobody decided about, the ended ones among it until their time is over."""
        now = self.clock()
        return [r.asked for r in self.all() if r.status in ("waiting", "expired") and now < r.ends]

    def by_secret(self, secret: str) -> Request | None:
        self._sweep()
        return self._by_secret.get(_digest(secret))

    def by_id(self, ident: str) -> Request | None:
        self._sweep()
        return self._requests.get(ident)

    def by_code(self, text: str) -> Request | None:
        """By the user code as a person types it."""
        code = "".join(c for c in text.upper() if c.isalnum())
        return next((r for r in self.all() if r.user_code and r.user_code.replace("-", "") == code), None)

    async def wait(self, version: int, seconds: float) -> None:
        """Returns when what waits is not that of `version` any more, or the time is over."""
        if version == self.version:
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                pass

    # ── changing ───────────────────────────────────────────────────────────────────────────────────────────

    def add(self, asked: Asked) -> tuple[Request, str]:
        """A new one, and the secret that its client comes back with. A redirect has no user code."""
        secret = secrets.token_urlsafe(32)
        code = None if asked.redirect is not None else self._new_user_code()
        made = Request(secrets.token_hex(4), asked, code, self.clock() + LIFETIME_S, int(time.time()))
        self._requests[made.id] = made
        self._by_secret[_digest(secret)] = made
        self._changed()
        return made, secret

    def exchange(self, secret: str, seconds: float) -> str:
        """Another secret in place of one, good for so long."""
        request = self._by_secret.pop(_digest(secret))
        new = secrets.token_urlsafe(32)
        self._by_secret[_digest(new)] = request
        request.code_ends = self.clock() + seconds
        request.ends = max(request.ends, request.code_ends)
        return new

    def settle(self, request: Request, status: Status) -> None:
        """What became of a request; everybody who waits for it is told."""
        request.status = status
        request.changed.set()
        self._changed()

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────────────

    def _new_user_code(self) -> str:
        taken = {r.user_code for r in self._requests.values()}
        while True:
            letters = "".join(secrets.choice(ALPHABET) for _ in range(8))
            code = f"{letters[:4]}-{letters[4:]}"
            if code not in taken:
                return code

    def _sweep(self) -> None:
        """Ends what waited too long, and forgets what ended long ago."""
        now = self.clock()
        for request in list(self._requests.values()):
            if request.status == "waiting" and now >= request.ends:
                self._expired(request)
                self.settle(request, "expired")
            if now >= request.ends + LIFETIME_S:
                del self._requests[request.id]
        self._by_secret = {k: r for k, r in self._by_secret.items() if r.id in self._requests}

    def _changed(self) -> None:
        self.version += 1
        news, self._news = self._news, asyncio.Event()
        news.set()
        ends = [r.ends for r in self._requests.values() if r.status == "waiting"]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if ends:
            delay = max(0.0, min(ends) - self.clock())
            self._timer = asyncio.get_running_loop().call_later(delay + 0.01, self._sweep)


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()
