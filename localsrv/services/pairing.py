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

import hmac
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256

from localsrv.base.errors import Conflict, NotFound
from localsrv.model.scopes import narrowed
from localsrv.services.asking import Asked, Decision, OAuthError, Request
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
from localsrv.services.waiting import WaitingRequests

CODE_S = 60
"""How long the code of a redirect is good."""
SLOWER_S = 5
"""How much longer after each one that came too soon (RFC 8628, 3.5)."""
_JITTER_S = 0.25


class Pairing:
    """Belongs to the event loop. `clock` counts seconds and never goes back."""

    def __init__(self, tokens: Tokens, audit: Audit, clock: Callable[[], float] = time.monotonic) -> None:
        self._tokens = tokens
        self._audit = audit
        self._limits = Limits(clock)
        self._waiting = WaitingRequests(clock, self._note_expired)

    def close(self) -> None:
        self._waiting.close()

    @property
    def version(self) -> int:
        """Another number after every change of what waits."""
        return self._waiting.version

    # ── clients ────────────────────────────────────────────────────────────────────────────────────────────

    def ask(self, asked: Asked) -> tuple[Request, str]:
        """A new request, and the secret that its client (device) or its browser (ticket) comes back with.

        Raises:
            OAuthError: it is muted, or too many wait.
        """
        try:
            self._limits.check(asked, self._waiting.undecided())
        except OAuthError as error:
            if error.error == "access_denied":
                self._note(REQUEST_MUTED, asked)
            raise
        made, secret = self._waiting.add(asked)
        self._note(REQUEST_MADE, asked)
        return made, secret

    async def poll(self, secret: str, client_id: str, origin: str | None) -> Issued:
        """What a device asks for with its code (RFC 8628, 3.4).

        Raises:
            OAuthError: not yet, asked too soon, refused, too old, or worth nothing.
        """
        found = self._waiting.by_secret(secret)
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
        found = self._waiting.by_secret(ticket)
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
        code = self._waiting.exchange(ticket, CODE_S)
        return found, redirect.with_answer(code=code, state=asked.state, iss=asked.issuer)

    async def redeem_code(
        self, code: str, client_id: str, redirect_uri: str, verifier: str, origin: str | None
    ) -> Issued:
        """The tokens for a redirect's code. Any wrong try spends it.

        Raises:
            OAuthError: (`invalid_grant`) it is not known, was used, is too old, or something does not fit.
        """
        found = self._waiting.by_secret(code)
        if found is None or found.code_ends is None or found.asked.redirect is None:
            raise self._failed(None, "The code is not known.")
        if found.status == "approved":
            asked, redirect = found.asked, found.asked.redirect
            wrong = None
            if self._waiting.clock() >= found.code_ends:
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
        return [r for r in self._waiting.all() if r.status == "waiting"]

    async def wait(self, version: int, seconds: float) -> None:
        """Returns when what waits is not that of `version` any more, or the time is over."""
        await self._waiting.wait(version, seconds)

    def find(self, text: str) -> Request:
        """A request by its id, or by its user code as a person types it.

        Raises:
            NotFound: none. OAuthError: too many wrong codes; whatever had a code has been ended.
        """
        if (found := self._waiting.by_id(text)) is not None:
            return found
        self._limits.check_guesses()
        if (found := self._waiting.by_code(text)) is not None:
            return found
        self._audit.note(CODE_FAILED, details={"code": "of a request"})
        if self._limits.guessed_wrong():
            for request in self.waiting():
                if request.user_code is not None:
                    self._end(request, "wrong codes")
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
        self._waiting.settle(request, "approved")

    def refuse(self, request: Request) -> bool:
        """Refuses it; whether its client is muted from now on. Raises Conflict as `approve`."""
        self._still_waits(request)
        is_muted = self._limits.refused(request.asked.asker)
        self._note(REQUEST_REFUSED, request.asked)
        self._waiting.settle(request, "refused")
        return is_muted

    async def forget_app(self, app: str) -> None:
        """For an app that was removed: what was allowed in it is not for the next one of its name."""
        for request in self._waiting.all():
            decision = request.decision
            if request.status == "approved" and decision is not None and decision.app == app:
                self._end(request, "the app was removed")

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────────────

    def _pace(self, request: Request) -> None:
        now, before = self._waiting.clock(), request.polled_at
        request.polled_at = now
        if before is not None and now - before < request.interval - _JITTER_S:
            request.interval += SLOWER_S
            raise OAuthError("slow_down", f"Wait {request.interval:g} s between two questions.")

    async def _redeem(self, request: Request, origin: str | None) -> Issued:
        decision, asked = request.decision, request.asked
        if request.status != "approved" or decision is None:
            request.decision = None
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
        if request.decision is None:  # somebody else came with the same code meanwhile
            await self._tokens.end(issued.grant)
            raise self._failed(request, "The code came twice at once; what it gave has ended.")
        return issued

    def _still_waits(self, request: Request) -> None:
        if request.status == "expired":
            raise Conflict("This request is too old.", code="request-expired", hint="Begin again.")
        if request.status != "waiting":
            was = "refused" if request.status == "refused" else "allowed"
            raise Conflict(f"This request was {was} already.", code="request-decided", details=was)

    def _note_expired(self, request: Request) -> None:
        self._note(REQUEST_EXPIRED, request.asked, why="nobody decided")

    def _end(self, request: Request, why: str) -> None:
        self._note(REQUEST_EXPIRED, request.asked, why=why)
        self._waiting.settle(request, "expired")

    def _spoil(self, request: Request) -> None:
        """After a wrong try nobody can come for it any more."""
        if request.status in ("waiting", "approved"):
            self._waiting.settle(request, "expired")

    def _failed(self, request: Request | None, text: str) -> OAuthError:
        asked = None if request is None else request.asked
        self._audit.note(
            CODE_FAILED,
            origin=asked.origin if asked else None,
            subject=asked.client_id if asked else None,
        )
        return OAuthError("invalid_grant", text)

    def _note(self, event: str, asked: Asked, app: str | None = None, **details: str) -> None:
        self._audit.note(
            event,
            app=app or asked.app,
            origin=asked.origin,
            subject=asked.client_id,
            details={"scopes": " ".join(sorted(asked.scopes)), **details},
        )


def _challenge(verifier: str) -> bytes:
    """S256 of RFC 7636, 4.2."""
    return urlsafe_b64encode(sha256(verifier.encode("ascii", "replace")).digest()).rstrip(b"=")
