"""One call of an app to an outside service, from what the app asked to an answer that may be told.

In order: method and path against what the owner allows; the cache; then the requests themselves (`exchange`);
what comes back is filtered (`answer`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from localsrv.base.errors import BadRequest, Forbidden, LocalsrvError, VaultError
from localsrv.model.integration_headers import Headers, to_send
from localsrv.model.integration_paths import normal_path, normal_query, require_allowed
from localsrv.model.integrations import Integration
from localsrv.model.redirects import Hop, RedirectRefused
from localsrv.model.scopes import Grant
from localsrv.outbound.guarded import Outside
from localsrv.outbound.services import AddressForbidden, ServiceError, Stream
from localsrv.services.audit import INTEGRATION_REFUSED, Audit
from localsrv.services.integrations.answer import Answer, streamed, told, without
from localsrv.services.integrations.credentials import Credentials, Key
from localsrv.services.integrations.exchange import CircuitOpen, Exchange
from localsrv.services.integrations.kept import KeptAnswers, Lookup, Storing
from localsrv.services.integrations.kept_rules import Kept
from localsrv.services.integrations.registry import NotSetUp, Registry

_AWAY = frozenset({502, 503, 504})
"""Answers in the place of which a stale one may be given."""


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
            call = self._exchange(key, integration, grant, _first_hop(integration, asked))
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

    def _exchange(self, key: Key, integration: Integration, grant: Grant | None, hop: Hop) -> Exchange:
        return Exchange(self._registry, self._credentials, self._outside, key, integration, grant, hop)

    def _failed(self, key: Key, error: LocalsrvError) -> None:
        if self._registry.find(*key) is not None and not isinstance(error, CircuitOpen):
            self._registry.note_failure(key, error.code)

    async def _answered(self, call: Exchange, asked: Asked) -> Answer:
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
            return told(lookup.answer, headers)
        return await self._looked_up(call, lookup, headers)

    async def _plain(self, call: Exchange, headers: Headers, body: bytes | Stream | None) -> Answer:
        incoming = await call.follow(headers, body)
        return streamed(incoming, call.hidden)

    async def _looked_up(self, call: Exchange, lookup: Lookup, headers: Headers) -> Answer:
        try:
            incoming = await call.follow(lookup.headers, None)
        except ServiceError as error:
            if lookup.stale is None or not error.is_passing:
                raise
            self._failed(call.key, error)
            return told(lookup.stale, headers)
        if lookup.stale is not None and incoming.status in _AWAY:
            incoming.close()
            return told(lookup.stale, headers)
        learned: Kept | Storing | None = None
        try:
            if not incoming.is_events and not call.has_left_home:
                learned = await self._kept.learn(
                    lookup, incoming.status, without(incoming.headers, call.hidden)
                )
        except BaseException:
            incoming.close()
            raise
        if isinstance(learned, Kept):
            incoming.close()
            return told(learned, headers)
        if incoming.status == 304:  # about something that is not here any more
            incoming.close()
            plain = tuple((n, v) for n, v in lookup.headers if not n.lower().startswith("if-"))
            return await self._plain(call, plain, None)
        return streamed(incoming, call.hidden, learned, self._kept)


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
