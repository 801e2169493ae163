"""The requests that one call makes: signed in, repeated where that is safe, and followed where they lead.

The circuit breaker of the integration lets each of them through, and hears how it went.
"""

from __future__ import annotations

import asyncio
import random
import time

from localsrv import __version__
from localsrv.model import redirects
from localsrv.model.breaker import SAFE_TO_REPEAT, pause_before, repeats
from localsrv.model.integration_headers import Headers, to_another_origin, value_of
from localsrv.model.integrations import OAUTH_KINDS, Integration
from localsrv.model.redirects import Hop, RedirectRefused
from localsrv.model.scopes import Grant
from localsrv.outbound.guarded import Outside
from localsrv.outbound.services import (
    Incoming,
    Outgoing,
    ServiceError,
    ServiceSilent,
    ServiceUnreachable,
    Stream,
    send,
)
from localsrv.services.integrations.credentials import Credentials, Key, Signed
from localsrv.services.integrations.registry import Registry

_BROKEN = frozenset({500, 502, 503, 504})
"""Answers that count as failures of the service."""


class CircuitOpen(ServiceError):
    """The service failed too often; nothing is sent until `after_s` seconds have passed."""

    status = 503
    code = "integration-circuit-open"

    def __init__(self, name: str, after_s: float, last: str | None) -> None:
        super().__init__(
            f"`{name}` failed too often. It is tried again in {max(1, round(after_s))} s.",
            details=last,
            hint="localsrv integration list says how it fares.",
        )
        self.after_s = after_s


class Exchange:
    """The requests that one call makes."""

    def __init__(
        self,
        registry: Registry,
        credentials: Credentials,
        outside: Outside,
        key: Key,
        integration: Integration,
        grant: Grant | None,
        hop: Hop,
    ) -> None:
        """`hop` is the first of them. `hidden` are texts that no client may be shown."""
        self.key = key
        self.integration = integration
        self.grant = grant
        self.hop = hop
        self.has_left_home = False
        self.hidden: tuple[str, ...] = ()
        self._deadline = _now() + integration.limits.total_s
        self._registry = registry
        self._credentials = credentials
        self._outside = outside
        self._health = registry.health(key)

    async def follow(self, headers: Headers, body: bytes | Stream | None) -> Incoming:
        """Sends a request, and follows where its answer leads."""
        hop = self.hop
        for _ in range(redirects.MOST + 1):
            sent = headers if hop.is_home else to_another_origin(headers)
            incoming = await self._patiently(hop, sent, body)
            location = value_of(incoming.headers, "location")
            if incoming.status not in redirects.STATUSES or location is None:
                return incoming
            incoming.close()
            following = redirects.next_hop(
                hop, incoming.status, location, self.integration, has_body=body is not None
            )
            if following.method != hop.method:
                body = None
                headers = tuple((n, v) for n, v in headers if not n.lower().startswith("content-"))
            hop = following
            self.has_left_home = self.has_left_home or not hop.is_home
        raise RedirectRefused(
            f"The outside service redirects more than {redirects.MOST} times.",
            hint="Does it lead in a circle?",
        )

    async def _patiently(self, hop: Hop, headers: Headers, body: bytes | Stream | None) -> Incoming:
        """One request, repeated where that is safe, as often as the owner allows."""
        attempt = 0
        while True:
            attempt += 1
            is_last = attempt > self.integration.limits.retries or callable(body)
            retry_after = None
            try:
                incoming = await self._signed(hop, headers, body)
            except ServiceError as error:
                was_sent = not isinstance(error, ServiceUnreachable)
                is_safe = hop.method in SAFE_TO_REPEAT or not was_sent
                if is_last or not error.is_passing or not is_safe or isinstance(error, CircuitOpen):
                    raise
            else:
                if is_last or not repeats(hop.method, incoming.status):
                    return incoming
                retry_after = value_of(incoming.headers, "retry-after")
                if pause_before(attempt, retry_after, 1.0, time.time()) is None:
                    return incoming
                incoming.close()
            pause = pause_before(attempt, retry_after, random.random(), time.time())  # noqa: S311
            if _now() + (pause or 0.0) >= self._deadline:
                raise ServiceSilent(f"`{self.key[1]}` did not answer in time.", details="total_s")
            await asyncio.sleep(pause or 0.0)

    async def _signed(self, hop: Hop, headers: Headers, body: bytes | Stream | None) -> Incoming:
        """One request with the secret; with a new token once more, when the service refuses the old one."""
        signed = await self._sign(hop)
        incoming = await self._counted(hop, headers, body, signed)
        can_renew = self.integration.auth.kind in OAUTH_KINDS and signed.token is not None
        if incoming.status != 401 or not can_renew or callable(body):
            return incoming
        incoming.close()
        self._credentials.spend(self.key, signed.token or "")
        return await self._counted(hop, headers, body, await self._sign(hop))

    async def _sign(self, hop: Hop) -> Signed:
        if not hop.is_home:
            return Signed()
        self._admit()
        try:
            signed = await self._credentials.sign(self.key, self.integration, self.grant)
        except ServiceError as error:
            if error.is_passing:
                self._health.breaker = self._health.breaker.trying().failed(_now())
            raise
        if self._registry.find(*self.key) is not self.integration:
            raise ServiceError(f"`{self.key[1]}` was changed while it was used; try again.")
        self.hidden = signed.hidden
        return signed

    def _admit(self) -> None:
        breaker = self._health.breaker
        if not breaker.admits(_now()):
            raise CircuitOpen(self.key[1], breaker.left_s(_now()), self._health.error)

    async def _counted(
        self, hop: Hop, headers: Headers, body: bytes | Stream | None, signed: Signed
    ) -> Incoming:
        """One request, which the breaker lets through and hears of."""
        self._admit()
        health = self._health
        health.breaker = health.breaker.trying()
        outgoing = _outgoing(hop, headers, body, signed)
        try:
            incoming = await send(
                self._outside,
                outgoing,
                self.integration.limits,
                is_named=self.integration.names_host(hop.url),
                deadline=self._deadline,
            )
        except ServiceError as error:
            has_failed = error.is_passing
            health.breaker = health.breaker.failed(_now()) if has_failed else health.breaker.gave_up()
            raise
        except BaseException:
            health.breaker = health.breaker.gave_up()
            raise
        if incoming.status in _BROKEN:
            health.breaker = health.breaker.failed(_now())
            self._registry.note_failure(self.key, f"status-{incoming.status}")
        else:
            health.breaker = health.breaker.succeeded()
        return incoming


def _now() -> float:
    return asyncio.get_running_loop().time()


def _outgoing(hop: Hop, headers: Headers, body: bytes | Stream | None, signed: Signed) -> Outgoing:
    url = hop.url
    if signed.query:
        url += ("&" if "?" in url else "?") + signed.query
    sent = (*headers, *signed.headers, ("User-Agent", f"localsrv/{__version__}"))
    return Outgoing(hop.method, url, sent, body)
