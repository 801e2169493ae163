"""Programs and pages that ask for access, while the person has not decided.

Theory of operation. A *request* waits in memory for ten minutes; a restart forgets it, and its client asks
again. Two ways lead to one (web/oauth):

- *device* (RFC 8628): the client shows a short code and asks again and again whether it was allowed. The
  person sees the same code beside the request.
- *redirect* (RFC 8252 with PKCE, RFC 7636): the person's browser waits at our page with a *ticket*, and is
  sent back with a code that is good for one minute and one use.

Deciding is one step without waiting in between, so that of two decisions one wins. What was decided becomes
a grant only when the client comes for it. A code that comes twice ends the grant that it gave (RFC 6749,
4.1.2): the second one who has it is not who it was for, or the first one was not.

What a client calls itself is shown and proves nothing. What a browser says of the page that asks (`origin`)
is proven against pages; programs can forge it, as they can do anything that this person can.

All times here are of a clock that nobody sets.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256

from localsrv.base.errors import Conflict, NotFound
from localsrv.model.scopes import narrowed
from localsrv.services.asking import Asked, Decision, OAuthError, Request, Status
from localsrv.services.audit import (
    CODE_FAILED,
    REQUEST_APPROVED,
    REQUEST_EXPIRED,
    REQUEST_MADE,
    REQUEST_MUTED,
    REQUEST_REFUSED,
    Audit,
)
from localsrv.services.pairing_limits import Limits
from localsrv.services.tokens import Issued, Tokens

LIFETIME_S = 600
CODE_S = 60
"""How long the code of a redirect is good."""
SLOWER_S = 5
"""How much longer after each one that came too soon (RFC 8628, 3.5)."""
_JITTER_S = 0.25

ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
"""RFC 8628, 6.1: no vowels, so no words, and nothing that looks like another letter or a digit."""


class Pairing:
    """Belongs to the event loop. `clock` counts seconds and never goes back."""

    def __init__(self, tokens: Tokens, audit: Audit, clock: Callable[[], float] = time.monotonic) -> None:
        self._tokens = tokens
        self._audit = audit
        self._clock = clock
        self._limits = Limits(clock)
        self._requests: dict[str, Request] = {}
        self._by_secret: dict[bytes, Request] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()
        self.version = secrets.randbits(40)
        """Another number after every change of what waits; not the same after a restart."""

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    # ── clients ────────────────────────────────────────────────────────────────────────────────────────────

    def ask(self, asked: Asked) -> tuple[Request, str]:
        """A new request, and the secret that its client (device) or its browser (ticket) comes back with.

        Raises:
            OAuthError: it is muted, or too many wait.
        """
        self._sweep()
        try:
            self._limits.check(asked, self._undecided())
        except OAuthError as error:
            if error.error == "access_denied":
                self._note(REQUEST_MUTED, asked)
            raise
        secret = secrets.token_urlsafe(32)
        code = None if asked.redirect is not None else self._new_user_code()
        now = self._clock()
        made = Request(secrets.token_hex(4), asked, code, now + LIFETIME_S, int(time.time()))
        self._requests[made.id] = made
        self._by_secret[_digest(secret)] = made
        self._note(REQUEST_MADE, asked)
        self._changed()
        return made, secret

    async def poll(self, secret: str, client_id: str, origin: str | None) -> Issued:
        """What a device asks for with its code (RFC 8628, 3.4).

        Raises:
            OAuthError: not yet, asked too soon, refused, too old, or worth nothing.
        """
        self._sweep()
        found = self._by_secret.get(_digest(secret))
        if found is None or found.asked.redirect is not None:
            raise self._failed(None, "The device code is not known.")
        if (found.asked.client_id, found.asked.origin) != (client_id, origin):
            self._spoil(found)
            raise self._failed(found, "The device code was given to another client; it is void now.")
        match found.status:
            case "expired":
                raise OAuthError("expired_token", "Nobody decided in time. Ask anew.")
            case "refused":
                raise OAuthError("access_denied", "The owner of this computer refused.")
            case "waiting":
                self._pace(found)
                raise OAuthError("authorization_pending", "The owner of this computer has not decided yet.")
        return await self._redeem(found, origin)

    def outcome(self, ticket: str) -> tuple[Request, str | None]:
        """What became of a redirect's request, and where its browser goes now; None: nowhere (yet, or again).

        Raises:
            NotFound: no such ticket.
        """
        self._sweep()
        found = self._by_secret.get(_digest(ticket))
        if found is None or found.asked.redirect is None:
            raise NotFound("This request is not known any more.", code="request-not-found",
                           hint="Go back to the program and begin again.")  # fmt: skip
        asked, redirect = found.asked, found.asked.redirect
        if found.status in ("refused", "expired"):
            why = "The owner refused." if found.status == "refused" else "Nobody decided in time."
            return found, redirect.with_answer(
                error="access_denied", error_description=why, state=asked.state, iss=asked.issuer
            )
        if found.status != "approved" or found.code_ends is not None:
            return found, None
        code = secrets.token_urlsafe(32)
        self._by_secret[_digest(code)] = found
        del self._by_secret[_digest(ticket)]
        found.code_ends = self._clock() + CODE_S
        found.ends = max(found.ends, found.code_ends)
        return found, redirect.with_answer(code=code, state=asked.state, iss=asked.issuer)

    async def redeem_code(
        self, code: str, client_id: str, redirect_uri: str, verifier: str, origin: str | None
    ) -> Issued:
        """The tokens for a redirect's code. Any wrong try spends it.

        Raises:
            OAuthError: (`invalid_grant`) it is not known, was used, is too old, or something does not fit.
        """
        found = self._by_secret.get(_digest(code))
        if found is None or found.code_ends is None or found.asked.redirect is None:
            raise self._failed(None, "The code is not known.")
        if found.status == "approved":
            asked, redirect = found.asked, found.asked.redirect
            wrong = None
            if self._clock() >= found.code_ends:
                wrong = "The code is too old."
            elif asked.client_id != client_id or redirect.uri != redirect_uri:
                wrong = "The code is for another client or redirect_uri."
            elif not redirect.may_redeem(origin):
                wrong = "The code is for a page of another origin."
            elif not hmac.compare_digest(_challenge(verifier), (asked.challenge or "").encode()):
                wrong = "The code_verifier does not belong to the code_challenge."
            if wrong is not None:
                self._spoil(found)
                raise self._failed(found, f"{wrong} Begin again.")
        return await self._redeem(found, origin)

    # ── the person ─────────────────────────────────────────────────────────────────────────────────────────

    def waiting(self) -> list[Request]:
        """Those that wait for a decision, oldest first."""
        self._sweep()
        return [r for r in self._requests.values() if r.status == "waiting"]

    async def wait(self, version: int, seconds: float) -> None:
        """Returns when what waits is not that of `version` any more, or the time is over."""
        if version == self.version:
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                pass

    def find(self, text: str) -> Request:
        """A request by its id, or by its user code as a person types it.

        Raises:
            NotFound: none. OAuthError: too many wrong codes; whatever had a code has been ended.
        """
        self._sweep()
        if (found := self._requests.get(text)) is not None:
            return found
        self._limits.check_guesses()
        code = "".join(c for c in text.upper() if c.isalnum())
        for request in self._requests.values():
            if request.user_code is not None and request.user_code.replace("-", "") == code:
                return request
        self._audit.note(CODE_FAILED, details={"code": "of a request"})
        if self._limits.guessed_wrong():
            for request in self.waiting():
                if request.user_code is not None:
                    self._end(request, "expired", "wrong codes")
        raise NotFound("No request with this code waits.", code="request-not-found",
                       hint="Compare it with what the program shows; see localsrv requests.")  # fmt: skip

    def approve(self, request: Request, decision: Decision) -> None:
        """Allows it. What was asked for can be narrowed, never widened.

        Raises:
            Conflict: it was decided, or is too old. InvalidValue: more than was asked for.
        """
        self._still_waits(request)
        asked = request.asked
        narrowed(asked.scopes, decision.scopes)
        if asked.app is not None and decision.app != asked.app:
            raise Conflict(
                f"This is a request for the app `{asked.app}`.", code="another-app", details=decision.app
            )
        request.decision = decision
        self._limits.forgive(asked.asker)
        self._note(REQUEST_APPROVED, asked, app=decision.app)
        self._settle(request, "approved")

    def refuse(self, request: Request) -> bool:
        """Refuses it; whether its client is muted from now on. Raises Conflict as `approve`."""
        self._still_waits(request)
        is_muted = self._limits.refused(request.asked.asker)
        self._note(REQUEST_REFUSED, request.asked)
        self._settle(request, "refused")
        return is_muted

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────────────

    def _undecided(self) -> list[Asked]:
        """What nobody decided about, the ended ones among it until their time is over."""
        now = self._clock()
        return [
            r.asked for r in self._requests.values() if r.status in ("waiting", "expired") and now < r.ends
        ]

    def _new_user_code(self) -> str:
        taken = {r.user_code for r in self._requests.values()}
        while True:
            letters = "".join(secrets.choice(ALPHABET) for _ in range(8))
            code = f"{letters[:4]}-{letters[4:]}"
            if code not in taken:
                return code

    def _pace(self, request: Request) -> None:
        now, before = self._clock(), request.polled_at
        request.polled_at = now
        if before is not None and now - before < request.interval - _JITTER_S:
            request.interval += SLOWER_S
            raise OAuthError("slow_down", f"Wait {request.interval:g} s between two questions.")

    async def _redeem(self, request: Request, origin: str | None) -> Issued:
        decision, asked = request.decision, request.asked
        if request.status != "approved" or decision is None:
            if request.grant_id is not None:
                await self._tokens.end_by_id(request.grant_id)
            raise self._failed(request, "The code was used before; what it gave has ended.")
        request.status = "done"  # before anything waits: whoever comes second is too late
        try:
            issued = await self._tokens.pair(
                asked.client_id,
                decision.app,
                decision.scopes,
                origin=origin,
                expires_in=decision.expires_in,
                once=decision.once,
                is_page=asked.own_page,
            )
        except BaseException:
            request.status = "approved"
            raise
        request.grant_id = issued.grant.id
        return issued

    def _still_waits(self, request: Request) -> None:
        self._expire(request)
        if request.status == "expired":
            raise Conflict("This request is too old.", code="request-expired", hint="Begin again.")
        if request.status != "waiting":
            was = "refused" if request.status == "refused" else "allowed"
            raise Conflict(f"This request was {was} already.", code="request-decided", details=was)

    def _settle(self, request: Request, status: Status) -> None:
        request.status = status
        request.changed.set()
        self._changed()

    def _end(self, request: Request, status: Status, why: str) -> None:
        self._note(REQUEST_EXPIRED, request.asked, why=why)
        self._settle(request, status)

    def _spoil(self, request: Request) -> None:
        """After a wrong try nobody can come for it any more."""
        if request.status in ("waiting", "approved"):
            self._settle(request, "expired")

    def _failed(self, request: Request | None, text: str) -> OAuthError:
        asked = None if request is None else request.asked
        self._audit.note(
            CODE_FAILED,
            origin=asked.origin if asked else None,
            subject=asked.client_id if asked else None,
        )
        return OAuthError("invalid_grant", text)

    def _expire(self, request: Request) -> None:
        if request.status == "waiting" and self._clock() >= request.ends:
            self._end(request, "expired", "nobody decided")

    def _sweep(self) -> None:
        """Ends what waited too long, and forgets what ended long ago."""
        now = self._clock()
        for request in list(self._requests.values()):
            self._expire(request)
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
            delay = max(0.0, min(ends) - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay + 0.01, self._sweep)

    def _note(self, event: str, asked: Asked, app: str | None = None, **details: str) -> None:
        self._audit.note(
            event,
            app=app or asked.app,
            origin=asked.origin,
            subject=asked.client_id,
            details={"scopes": " ".join(sorted(asked.scopes)), **details},
        )


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _challenge(verifier: str) -> bytes:
    """S256 of RFC 7636, 4.2."""
    return urlsafe_b64encode(sha256(verifier.encode("ascii", "replace")).digest()).rstrip(b"=")
