"""Which integrations there are: what apps ask for, what the owner set, and how each fares."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from localsrv.base.errors import InvalidValue, NotFound
from localsrv.model.breaker import Breaker
from localsrv.model.integration_addresses import origin_of
from localsrv.model.integrations import NAME, Ask, Integration, changed, checked_name
from localsrv.model.scopes import Grant
from localsrv.services.apps import Apps
from localsrv.services.audit import INTEGRATION_SET, Audit
from localsrv.services.integrations.credentials import Credentials, Key
from localsrv.services.integrations.kept import KeptAnswers
from localsrv.store.integrations import IntegrationStore


@dataclass(slots=True)
class Health:
    """How calls fare since the server began. `error` is the code of the last failure."""

    breaker: Breaker = field(default_factory=Breaker)
    calls: int = 0
    error: str | None = None
    error_at: int | None = None


class NotSetUp(NotFound):
    """The app asks for it, or names it, but the owner did not set it up."""

    code = "integration-not-set-up"


class Registry:
    """Create it with `start`. Belongs to the event loop."""

    def __init__(
        self, store: IntegrationStore, apps: Apps, credentials: Credentials, kept: KeptAnswers, audit: Audit
    ) -> None:
        self._store = store
        self._apps = apps
        self._credentials = credentials
        self._kept = kept
        self._audit = audit
        self._set: dict[Key, Integration] = {}
        self._health: dict[Key, Health] = {}
        self._changing = asyncio.Lock()

    @classmethod
    async def start(
        cls, store: IntegrationStore, apps: Apps, credentials: Credentials, kept: KeptAnswers, audit: Audit
    ) -> Registry:
        registry = cls(store, apps, credentials, kept, audit)
        credentials.is_current = lambda key, integration: registry.find(*key) is integration
        for row in await store.all():
            registry._set[row.app, row.name] = _stored(row.settings)
        apps.on_delete.append(registry.forget_app)
        return registry

    # ── asking ─────────────────────────────────────────────────────────────────────────────────────────────

    def asked(self, app: str) -> Mapping[str, Ask]:
        """What the app's manifest asks for."""
        return self._apps.hosted(app).integrations

    def names(self, app: str) -> list[str]:
        """Those that were asked for and those that were set, by name."""
        return sorted({*self.asked(app), *(name for owner, name in self._set if owner == app)})

    def find(self, app: str, name: str) -> Integration | None:
        return self._set.get((app, name))

    def get(self, app: str, name: str) -> Integration:
        """Raises NotSetUp, or NotFound for a name that nobody ever said."""
        found = self._set.get((app, name))
        if found is not None:
            return found
        shown = name if NAME.match(name) else "…"
        if name in self.asked(app):
            raise NotSetUp(
                f"The owner has not set up `{shown}` yet.",
                details=shown,
                hint=f"localsrv integration set {shown} --app {app}",
            )
        raise NotFound(
            f"This app has no integration `{shown}`.",
            code="integration-not-found",
            details=shown,
            hint="See localsrv integration list.",
        )

    def health(self, key: Key) -> Health:
        return self._health.setdefault(key, Health())

    # ── changing ───────────────────────────────────────────────────────────────────────────────────────────

    async def set(
        self,
        app: str,
        name: str,
        value: Mapping[str, Any],
        *,
        secret: str | None = None,
        client_secret: str | None = None,
        grant: Grant | None = None,
    ) -> Integration:
        """Sets an integration up or changes it; members that `value` lacks stay, or are as asked for.

        Raises:
            InvalidValue: something does not fit; `code="secret-needed"` when the secret would go elsewhere
                than it was given for. VaultError: nothing was changed.
        """
        checked_name(name)
        self._apps.row(app)
        async with self._changing:
            made = await self._change(app, name, value, secret, client_secret, grant)
        self._audit.note(
            INTEGRATION_SET, grant=grant, app=app, subject=name, details={"to": origin_of(made.base_url)}
        )
        return made

    async def _change(
        self,
        app: str,
        name: str,
        value: Mapping[str, Any],
        secret: str | None,
        client_secret: str | None,
        grant: Grant | None,
    ) -> Integration:
        key = (app, name)
        before = self._set.get(key)
        made = changed(before, self.asked(app).get(name), value)
        if made.auth.needs_secret and secret is None and (before is None or _is_elsewhere(before, made)):
            raise InvalidValue(
                "The secret has to be given, since it would go to another place than before."
                if before is not None and before.auth.needs_secret
                else f"`{made.auth.kind}` needs a secret.",
                code="secret-needed",
                details="secret",
                hint="Give it with the settings: a secret is for one place and one way of signing in.",
            )
        if secret is not None and not made.auth.needs_secret:
            raise InvalidValue(
                "`none` takes no secret.", details="secret", hint="Choose another kind in `auth`."
            )
        self._set.pop(key, None)  # nothing is sent while settings and secret do not belong together
        try:
            await self._credentials.keep(key, made, secret, client_secret, grant, before=before)
        except BaseException:
            if before is not None:
                self._set[key] = before
            raise
        try:
            await self._store.put(app, name, made.as_json())
        except BaseException:
            if secret is not None:  # which the older settings would send elsewhere
                await self._credentials.drop(key, made, grant)
            if before is not None:
                self._set[key] = before
            raise
        self._set[key] = made
        self._health.pop(key, None)
        await self._kept.clear(key)
        return made

    async def remove(self, app: str, name: str, grant: Grant | None = None) -> None:
        """Forgets what the owner set, with its secrets and answers. Raises NotFound."""
        key = (app, name)
        async with self._changing:
            gone = self.get(app, name)
            await self._store.delete(app, name)
            self._set.pop(key, None)
            self._health.pop(key, None)
            await self._kept.clear(key)
            await self._credentials.drop(key, gone, grant)
        self._audit.note(INTEGRATION_SET, grant=grant, app=app, subject=name, details={"removed": "yes"})

    async def forget_app(self, app: str) -> None:
        """Everything of an app that goes with its data; its secrets are removed with all others of it."""
        for key in [key for key in self._set if key[0] == app]:
            gone = self._set.pop(key)
            self._health.pop(key, None)
            await self._kept.clear(key)
            await self._credentials.forget_tokens(key, gone)
        await self._store.delete(app)

    async def clear(self, app: str, name: str) -> int:
        """Empties the cache of an integration; how many answers there were. Raises NotFound."""
        self.get(app, name)
        return await self._kept.clear((app, name))

    async def cached(self, app: str, name: str) -> tuple[int, int]:
        """How many answers are kept, and their bytes."""
        return await self._kept.count((app, name))

    # ── how it fares ───────────────────────────────────────────────────────────────────────────────────────

    def note_failure(self, key: Key, code: str) -> None:
        health = self.health(key)
        health.error, health.error_at = code, int(time.time())


def _stored(settings: Mapping[str, Any]) -> Integration:
    """Settings as the file has them, which were checked before they were written."""
    return changed(None, None, settings)


def _is_elsewhere(before: Integration, after: Integration) -> bool:
    """Whether a secret that was given for `before` would go another way."""
    return (
        before.origin != after.origin
        or before.auth.kind != after.auth.kind
        or origin_of(before.auth.parameters.get("token_url", before.base_url))
        != origin_of(after.auth.parameters.get("token_url", after.base_url))
    )
