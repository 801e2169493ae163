"""One call of an app to an outside service, from what the app asked to an answer that may be told.

In order: method and path against what the owner allows; the cache; then requests, each signed in, sent to a
guarded address, and repeated where that is safe; redirects by the same rules; what comes back is filtered.
The circuit breaker of the integration sees every one of these requests.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from localsrv import __version__
from localsrv.base.errors import BadRequest, Forbidden, LocalsrvError, VaultError
from localsrv.model import redirects
from localsrv.model.breaker import SAFE_TO_REPEAT, pause_before, repeats
from localsrv.model.integration_headers import Headers, to_another_origin, to_return, to_send, value_of
from localsrv.model.integration_paths import normal_path, normal_query, require_allowed
from localsrv.model.integrations import OAUTH_KINDS, Integration
from localsrv.model.redirects import Hop, RedirectRefused
from localsrv.model.scopes import Grant
from localsrv.outbound.guarded import Outside
from localsrv.outbound.services import (
    AddressForbidden,
    Incoming,
    Outgoing,
    ServiceError,
    ServiceSilent,
    ServiceUnreachable,
    Stream,
    send,
)
from localsrv.services.audit import INTEGRATION_REFUSED, Audit
from localsrv.services.integrations.credentials import Credentials, Key, Signed
from localsrv.services.integrations.kept import (
    Gathering,
    Kept,
    KeptAnswers,
    Lookup,
    Storing,
    is_unchanged,
)
from localsrv.services.integrations.registry import NotSetUp, Registry

_BROKEN = frozenset({500, 502, 503, 504})
"""Answers that count as failures of the service."""
_AWAY = frozenset({502, 503, 504})
_SHORTEST_SECRET = 8
"""Shorter texts stand in headers by chance."""


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


@dataclass(frozen=True, slots=True)
class Asked:
    """What an app asked for: `path` and `query` as they came, `path` from behind the integration's name.

    `length` is that of a body which is a stream, in bytes, if it is known.
    """

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | Stream | None = None
    length: int | None = None


class Answer:
    """What the app gets. `chunks` once; close it, whatever happens. `length` in bytes, None if not known."""

    def __init__(
        self,
        status: int,
        headers: Headers,
        *,
        length: int | None = None,
        is_events: bool = False,
        body: bytes = b"",
        incoming: Incoming | None = None,
        storing: Storing | None = None,
        kept: KeptAnswers | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.length = len(body) if incoming is None else length
        self.is_events = is_events
        self._body = body
        self._incoming = incoming
        self._storing = storing
        self._kept = kept
        self.on_failure: Callable[[LocalsrvError], None] | None = None
        """Told when the body breaks off."""

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body. Raises ServiceError when it breaks off. One that may be kept is kept at its end."""
        if self._incoming is None:
            if self._body:
                yield self._body
            return
        gathering = None if self._storing is None or self._kept is None else Gathering(self._kept)
        try:
            async with aclosing(self._incoming.chunks()) as chunks:
                async for chunk in chunks:
                    if gathering is not None:
                        gathering.add(chunk)
                    yield chunk
            if gathering is not None and self._storing is not None:
                await gathering.store(self._storing)
        except ServiceError as error:
            if self.on_failure is not None:
                self.on_failure(error)
            raise
        finally:
            if gathering is not None:
                gathering.end()

    def close(self) -> None:
        if self._incoming is not None:
            self._incoming.close()


class Calls:
    """Belongs to the event loop."""

    def __init__(
        self, registry: Registry, credentials: Credentials, kept: KeptAnswers, outside: Outside, audit: Audit
    ) -> None:
        self._registry = registry
        self._credentials = credentials
        self._kept = kept
        self._outside = outside
        self._audit = audit

    async def call(self, app: str, name: str, grant: Grant | None, asked: Asked) -> Answer:
        """The service's answer, or one that was kept.

        Raises:
            NotFound, BadRequest, Forbidden: refused before anything was sent. ServiceError, RedirectRefused,
            VaultError: afterwards.
        """
        key = (app, name)
        try:
            integration = self._registry.get(app, name)
            call = _Call(self, key, integration, grant, _first_hop(integration, asked))
            self._registry.health(key).calls += 1
            answer = await self._answered(call, asked)
            answer.on_failure = partial(self._failed, key)
            return answer
        except (BadRequest, Forbidden, NotSetUp, AddressForbidden, RedirectRefused) as error:
            details = {"code": error.code, "method": asked.method}
            self._audit.note(INTEGRATION_REFUSED, grant=grant, app=app, subject=name, details=details)
            self._failed(key, error)
            raise
        except (ServiceError, VaultError) as error:
            self._failed(key, error)
            raise

    def _failed(self, key: Key, error: LocalsrvError) -> None:
        if self._registry.find(*key) is not None:
            self._registry.note_failure(key, error.code)

    async def _answered(self, call: _Call, asked: Asked) -> Answer:
        reserved = None
        if call.integration.auth.kind == "header":
            reserved = call.integration.auth.parameters["name"]
        headers = to_send(asked.headers, reserved=reserved)
        if asked.length is not None:
            headers = (*headers, ("Content-Length", str(asked.length)))
        lookup = None
        if asked.method == "GET" and call.integration.is_cached and asked.body is None:
            who = call.grant.id if call.grant else ""
            lookup = await self._kept.look(call.key, call.hop.url, headers, who)
        if lookup is None:
            answer = await self._plain(call, headers, asked.body)
            if asked.method not in ("GET", "HEAD") and answer.status < 400:
                await self._kept.forget(call.key, call.hop.url)
            return answer
        if lookup.answer is not None:
            return _told(lookup.answer, headers)
        return await self._looked_up(call, lookup, headers)

    async def _plain(self, call: _Call, headers: Headers, body: bytes | Stream | None) -> Answer:
        incoming = await call.follow(headers, body)
        return _streamed(incoming, call.secret)

    async def _looked_up(self, call: _Call, lookup: Lookup, headers: Headers) -> Answer:
        try:
            incoming = await call.follow(lookup.headers, None)
        except ServiceError as error:
            if lookup.stale is None or not error.is_passing:
                raise
            self._failed(call.key, error)
            return _told(lookup.stale, headers)
        if lookup.stale is not None and incoming.status in _AWAY:
            incoming.close()
            return _told(lookup.stale, headers)
        learned: Kept | Storing | None = None
        try:
            if not incoming.is_events and not call.has_left_home:
                learned = await self._kept.learn(
                    lookup, incoming.status, _without(incoming.headers, call.secret)
                )
        except BaseException:
            incoming.close()
            raise
        if isinstance(learned, Kept):
            incoming.close()
            return _told(learned, headers)
        if incoming.status == 304:  # about something that is not here any more
            incoming.close()
            plain = tuple((n, v) for n, v in lookup.headers if not n.lower().startswith("if-"))
            return await self._plain(call, plain, None)
        return _streamed(incoming, call.secret, learned, self._kept)


class _Call:
    """The requests that one call makes."""

    def __init__(
        self, calls: Calls, key: Key, integration: Integration, grant: Grant | None, hop: Hop
    ) -> None:
        self.key = key
        self.integration = integration
        self.grant = grant
        self.hop = hop
        self.has_left_home = False
        self.secret: str | None = None
        self._deadline = _now() + integration.limits.total_s
        self._calls = calls
        self._health = calls._registry.health(key)

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
        self._calls._credentials.spend(self.key, signed.token or "")
        return await self._counted(hop, headers, body, await self._sign(hop))

    async def _sign(self, hop: Hop) -> Signed:
        if not hop.is_home:
            return Signed()
        self._admit()
        try:
            signed = await self._calls._credentials.sign(self.key, self.integration, self.grant)
        except ServiceError as error:
            if error.is_passing:
                self._health.breaker = self._health.breaker.trying().failed(_now())
            raise
        if self._calls._registry.find(*self.key) is not self.integration:
            raise ServiceError(f"`{self.key[1]}` was changed while it was used; try again.")
        self.secret = signed.secret
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
                self._calls._outside,
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
            self._calls._registry.note_failure(self.key, f"status-{incoming.status}")
        else:
            health.breaker = health.breaker.succeeded()
        return incoming


def _now() -> float:
    return asyncio.get_running_loop().time()


def _first_hop(integration: Integration, asked: Asked) -> Hop:
    """Where a call goes. Raises BadRequest, or Forbidden for a method or path that is not allowed."""
    if not integration.may_use(asked.method):
        raise Forbidden(
            f"This integration does not allow {asked.method}.",
            code="integration-method-refused",
            details=", ".join(integration.methods),
            hint="The owner may allow more: localsrv integration set NAME --method METHOD.",
        )
    path = normal_path(asked.path)
    require_allowed(path, integration.paths)
    without = integration.auth.parameters["name"] if integration.auth.kind == "query" else None
    query = normal_query(asked.query, without)
    url = integration.base_url + path
    if not urlsplit(url).path:
        url += "/"
    return Hop(asked.method, url + (f"?{query}" if query else ""))


def _outgoing(hop: Hop, headers: Headers, body: bytes | Stream | None, signed: Signed) -> Outgoing:
    url = hop.url
    if signed.query:
        url += ("&" if "?" in url else "?") + signed.query
    sent = (*headers, *signed.headers, ("User-Agent", f"localsrv/{__version__}"))
    return Outgoing(hop.method, url, sent, body)


def _without(headers: Headers, secret: str | None) -> Headers:
    """Headers without those that tell the secret."""
    if secret is None or len(secret) < _SHORTEST_SECRET:
        return headers
    return tuple((name, value) for name, value in headers if secret not in value)


def _streamed(
    incoming: Incoming,
    secret: str | None,
    storing: Kept | Storing | None = None,
    kept: KeptAnswers | None = None,
) -> Answer:
    return Answer(
        incoming.status,
        _without(to_return(incoming.headers), secret),
        length=incoming.length,
        is_events=incoming.is_events,
        incoming=incoming,
        storing=storing if isinstance(storing, Storing) else None,
        kept=kept,
    )


def _told(answer: Kept, headers: Headers) -> Answer:
    """A kept answer, or that the client has it already."""
    if is_unchanged(headers, answer):
        return Answer(304, tuple((n, v) for n, v in answer.headers if not n.startswith("content-")))
    return Answer(answer.status, answer.headers, body=answer.body)
