"""How requests of an integration are signed in: the owner's secret, or a token that it is exchanged for.

The owner's secrets are ordinary ones of the app (`services.secrets`): `integration.<name>`, and
`integration.<name>.client` where OAuth wants a client secret besides. Tokens are in the vault too, since a
refresh token that was rotated is all that is left of the consent. A token is renewed by one task, whoever
waits for it, and that task ends even when nobody waits any more: what was rotated must be kept.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from localsrv.base.errors import InvalidValue, NotFound, VaultError
from localsrv.model.integration_headers import Headers
from localsrv.model.integrations import OAUTH_KINDS, REFRESH_TOKEN, Integration, checked_secret
from localsrv.model.scopes import Grant
from localsrv.outbound.guarded import Outside
from localsrv.outbound.services import ServiceError
from localsrv.outbound.token_endpoint import Tokens, request_tokens
from localsrv.services.audit import SECRET_USED, Audit
from localsrv.services.secrets import OF_INTEGRATIONS

EARLY_S = 30.0
"""A token is renewed this long before its end, or in the last fifth of a short life."""

_log = logging.getLogger(__name__)

Key = tuple[str, str]
"""An app and the name of its integration."""


class SecretValues(Protocol):
    """The part of `services.secrets.Secrets` that is needed here."""

    async def set(self, app: str | None, name: str, value: str, *, grant: Grant | None = None) -> bool: ...
    async def remove(self, app: str | None, name: str, *, grant: Grant | None = None) -> None: ...
    async def value(self, app: str | None, name: str, *, grant: Grant | None = None) -> str: ...


class TokenVault(Protocol):
    """The part of `services.vaults.Vaults` that is needed here."""

    on_change: list[Callable[[], None]]

    async def get(self, name: str) -> str | None: ...
    async def set(self, name: str, secret: str) -> None: ...
    async def discard(self, name: str) -> None: ...


class SecretMissing(ServiceError):
    """The vault has no secret for an integration."""

    status = 503
    code = "integration-secret-missing"
    is_passing = False


@dataclass(frozen=True, slots=True)
class Signed:
    """What signs a request in: headers, a query's end, and the token in them, if it can be renewed. `hidden`
    are the texts that no client may be shown."""

    headers: Headers = ()
    query: str = ""
    token: str | None = None
    hidden: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Signed(…)"


class Credentials:
    """Belongs to the event loop. Every method raises VaultError when the vault refuses."""

    def __init__(self, secrets: SecretValues, vault: TokenVault, outside: Outside, audit: Audit) -> None:
        self._secrets = secrets
        self._vault = vault
        self._outside = outside
        self._audit = audit
        self._tokens: dict[Key, Tokens] = {}
        self._unkept: set[Key] = set()  # tokens that the vault refused: they are in memory alone
        self.is_current: Callable[[Key, Integration], bool] = lambda key, integration: True
        """Whether an integration is still as the owner set it, for `Registry` to say."""
        self._renewals: dict[Key, asyncio.Task[Tokens]] = {}
        vault.on_change.append(self.forget_remembered)

    async def close(self) -> None:
        """Waits for renewals that are under way."""
        if self._renewals:
            await asyncio.wait(list(self._renewals.values()))

    async def keep(
        self,
        key: Key,
        integration: Integration,
        secret: str | None,
        client: str | None,
        grant: Grant | None,
        *,
        before: Integration | None = None,
    ) -> None:
        """Stores the owner's secrets, as far as they are given. Tokens made of those `before` are forgotten.

        Raises:
            InvalidValue: one that cannot be sent; it is not told.
        """
        app, name = key
        if client is not None and integration.auth.kind != REFRESH_TOKEN:
            raise InvalidValue("`client_secret` is for refresh tokens alone.", details="client_secret")
        for value, place in ((secret, "secret"), (client, "client_secret")):
            if value is not None:
                checked_secret(integration.auth, value, place)
        if secret is not None:
            await self._secrets.set(app, _entry(name), secret, grant=grant)
        if client is not None:
            await self._secrets.set(app, _client(name), client, grant=grant)
        elif secret is not None:  # the older one was given for another
            with contextlib.suppress(NotFound):
                await self._secrets.remove(app, _client(name), grant=grant)
        await self.forget_tokens(key, before)

    async def drop(self, key: Key, before: Integration, grant: Grant | None = None) -> None:
        """Removes everything that was kept for an integration."""
        app, name = key
        for entry in (_entry(name), _client(name)):
            with contextlib.suppress(NotFound):
                await self._secrets.remove(app, entry, grant=grant)
        await self.forget_tokens(key, before)

    async def forget_tokens(self, key: Key, before: Integration | None) -> None:
        """Forgets the tokens of an integration; from a vault that is locked they are removed later."""
        task = self._renewals.get(key)
        if task is not None:
            await asyncio.wait([task])
        self._tokens.pop(key, None)
        self._unkept.discard(key)
        if before is not None and before.auth.kind in OAUTH_KINDS:
            await self._vault.discard(_tokens_entry(key))

    def forget_remembered(self) -> None:
        """The vault was locked, or another one is in use: what it holds is read from it again."""
        self._tokens = {key: tokens for key, tokens in self._tokens.items() if key in self._unkept}

    async def sign(self, key: Key, integration: Integration, grant: Grant | None) -> Signed:
        """What signs a request in.

        Raises:
            SecretMissing: the vault has none. SignInFailed, ServiceError: of the token endpoint, or the
            owner changed the integration meanwhile.
        """
        self._require_current(key, integration)
        auth, given = integration.auth, integration.auth.parameters
        if not auth.needs_secret:
            return Signed()
        if auth.kind in OAUTH_KINDS:
            token = (await self._token(key, integration)).access
            self._audit.note(SECRET_USED, grant=grant, app=key[0], subject=_entry(key[1]))
            return Signed((("Authorization", f"Bearer {token}"),), token=token, hidden=(token,))
        secret = await self._secret(key, _entry(key[1]), grant)
        if auth.kind == "query":
            return Signed(
                query=f"{quote(given['name'], safe='[]')}={quote(secret, safe='')}",
                hidden=(secret, quote(secret)),
            )
        if auth.kind == "header":
            return Signed(((given["name"], given.get("prefix", "") + secret),), hidden=(secret,))
        if auth.kind == "basic":
            pair = base64.b64encode(f"{given['username']}:{secret}".encode()).decode()
            return Signed((("Authorization", f"Basic {pair}"),), hidden=(secret, pair))
        return Signed((("Authorization", f"Bearer {secret}"),), hidden=(secret,))

    def spend(self, key: Key, spent: str) -> None:
        """Forgets a token that the service refused, so that the next `sign` gets another."""
        tokens = self._tokens.get(key)
        if tokens is not None and tokens.access == spent:
            self._tokens[key] = Tokens("", 0.0, tokens.refresh)

    # ── tokens ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _token(self, key: Key, integration: Integration) -> Tokens:
        if key not in self._tokens:
            text = await self._vault.get(_tokens_entry(key))
            found = None if text is None else Tokens.from_text(text)
            self._tokens.setdefault(key, found or Tokens("", 0.0))
        known = self._tokens[key]
        if time.time() < known.expires_at - EARLY_S:
            return known
        task = self._renewals.get(key)
        if task is None:
            task = self._renewals[key] = asyncio.ensure_future(self._renew(key, integration, known))
            task.add_done_callback(lambda done: self._renewed(key, done))
        return await asyncio.shield(task)

    def _renewed(self, key: Key, task: asyncio.Task[Tokens]) -> None:
        self._renewals.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever waited was told; if nobody did, nobody needs to be

    async def _renew(self, key: Key, integration: Integration, known: Tokens) -> Tokens:
        auth = integration.auth
        secrets = {}
        if auth.kind == REFRESH_TOKEN:
            secrets["refresh"] = known.refresh or await self._secret(key, _entry(key[1]), None)
            with contextlib.suppress(SecretMissing):
                secrets["client"] = await self._secret(key, _client(key[1]), None)
        else:
            secrets["client"] = await self._secret(key, _entry(key[1]), None)
        self._require_current(key, integration)  # what was read may be for another place
        is_named = integration.names_host(auth.parameters["token_url"])
        made = await request_tokens(self._outside, auth, secrets, integration.limits, is_named=is_named)
        if auth.kind == REFRESH_TOKEN:
            made = Tokens(made.access, made.expires_at, made.refresh or known.refresh)
        else:
            made = Tokens(made.access, made.expires_at)
        now = time.time()
        if made.expires_at - now < 5 * EARLY_S:  # so short a life must not end before it begins
            made = Tokens(made.access, now + EARLY_S + (made.expires_at - now) * 0.8, made.refresh)
        self._tokens[key] = made
        try:
            await self._vault.set(_tokens_entry(key), made.as_text())
            self._unkept.discard(key)
        except VaultError as error:
            # It works until the server ends; a rotated refresh token is then lost, and the log says why.
            self._unkept.add(key)
            fields = {"app": key[0], "integration": key[1], "why": error.code}
            _log.warning("token not kept", extra={"fields": fields})
        return made

    def _require_current(self, key: Key, integration: Integration) -> None:
        if not self.is_current(key, integration):
            raise ServiceError(f"`{key[1]}` was changed while it was used; try again.")

    async def _secret(self, key: Key, entry: str, grant: Grant | None) -> str:
        try:
            return await self._secrets.value(key[0], entry, grant=grant)
        except NotFound as error:
            raise SecretMissing(
                f"The vault has no secret for `{key[1]}`.",
                details=entry,
                hint=f"The owner sets it: localsrv integration set {key[1]} --app {key[0]}.",
            ) from error


def _entry(name: str) -> str:
    return f"{OF_INTEGRATIONS}{name}"


def _client(name: str) -> str:
    return f"{OF_INTEGRATIONS}{name}.client"


def _tokens_entry(key: Key) -> str:
    return f"integration-tokens:{key[0]}:{key[1]}"
