"""Secrets that the owner names: API keys and passwords that integrations use and nobody can read back.

Each belongs to one app, or to the server and so to all apps. A value leaves the vault through `value` alone,
which is for other services and never for an answer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import NamedTuple

from localsrv.base.errors import Conflict, InvalidValue, NotFound
from localsrv.model.scopes import ALL, Grant
from localsrv.services.audit import SECRET_REMOVED, SECRET_SET, SECRET_USED, Audit
from localsrv.services.vaults import Vaults

REMEMBERED_S = 60.0
"""How long a value that was used is kept in memory: a keyring takes 30 ms to give it again."""

OF_INTEGRATIONS = "integration."
"""How the names of secrets begin that are for integrations."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\Z")
_PREFIX = "secret:"


class Secret(NamedTuple):
    """A secret without its value. `app` None: every app's. Time in seconds since 1970."""

    name: str
    app: str | None
    updated_at: int


class Secrets:
    """Every method that reaches the vault raises VaultError when that refuses. `clock` never goes back."""

    def __init__(self, vaults: Vaults, audit: Audit, clock: Callable[[], float] = time.monotonic) -> None:
        self._vaults = vaults
        self._audit = audit
        self._clock = clock
        self._remembered: dict[str, tuple[float, str]] = {}
        self._changes = 0
        vaults.on_change.append(self._forget)

    def names(self, app: str | None) -> list[Secret]:
        """The secrets of one app, or with None the server's, by name."""
        return [secret for secret in self.all() if secret.app == app]

    def all(self) -> list[Secret]:
        """Every secret: the server's first, then by app and name."""
        found = [
            _secret(entry.name, entry.updated_at)
            for entry in self._vaults.entries.live()
            if entry.name.startswith(_PREFIX)
        ]
        return sorted(found, key=lambda secret: (secret.app or "", secret.name))

    async def set(self, app: str | None, name: str, value: str, *, grant: Grant | None = None) -> bool:
        """Stores or replaces a secret; True if it is new.

        Raises:
            InvalidValue: a name that is none, or a value that no vault takes.
            Conflict: another secret's name differs by case alone, which some keyrings cannot tell apart.
        """
        _check_name(name)
        known = {secret.name for secret in self.names(app)}
        alike = next((other for other in known if other != name and other.lower() == name.lower()), None)
        if alike is not None:
            raise Conflict(
                f"There is a secret `{alike}`, which differs by case alone.",
                code="secret-exists",
                details=name,
                hint="Replace that one, or take another name.",
            )
        entry = _entry(app, name)
        try:
            await self._vaults.set(entry, value)
        finally:
            self._forget()
        self._audit.note(SECRET_SET, grant=grant, app=app, subject=name)
        return name not in known

    async def remove(self, app: str | None, name: str, *, grant: Grant | None = None) -> None:
        """Raises NotFound."""
        entry = _entry(app, name)
        if not any(secret.name == name for secret in self.names(app)):
            raise _unknown(app, name)
        try:
            await self._vaults.delete(entry)
        finally:
            self._forget()
        self._audit.note(SECRET_REMOVED, grant=grant, app=app, subject=name)

    async def value(self, app: str | None, name: str, *, grant: Grant | None = None) -> str:
        """What a secret is: the app's own of this name, otherwise the server's. For services only.

        What signs an integration in is the app's own alone: it was given for one address, and an app's
        administrator, who may set another, must not send the server's there.

        Raises:
            NotFound: there is no such secret, or the vault lost it.
        """
        known = (app,) if name.lower().startswith(OF_INTEGRATIONS) else (app, None)
        owners = [owner for owner in dict.fromkeys(known) if self._is_listed(owner, name)]
        if not owners:
            raise _unknown(app, name)
        found = await self._read(_entry(owners[0], name))
        if found is None:
            raise NotFound(
                f"The vault no longer holds the secret `{name}`.",
                code="secret-lost",
                details=name,
                hint=_how_to_set(owners[0], name),
            )
        self._audit.note(SECRET_USED, grant=grant, app=app, subject=name)
        return found

    async def forget_app(self, app: str) -> None:
        """Removes the secrets of an app that goes with its data; from a vault that is locked, later."""
        for secret in self.names(app):
            await self._vaults.discard(_entry(app, secret.name))
            self._audit.note(SECRET_REMOVED, app=app, subject=secret.name)
        self._forget()

    def _is_listed(self, app: str | None, name: str) -> bool:
        return bool(self._vaults.entries.holders(_entry(app, name)))

    async def _read(self, entry: str) -> str | None:
        now, changes = self._clock(), self._changes
        self._remembered = {e: kept for e, kept in self._remembered.items() if kept[0] > now}
        known = self._remembered.get(entry)
        if known is not None:
            return known[1]
        found = await self._vaults.get(entry)
        if found is not None and changes == self._changes:  # what was read during a change may be the old one
            self._remembered[entry] = (now + REMEMBERED_S, found)
        return found

    def _forget(self) -> None:
        self._changes += 1
        self._remembered.clear()


def _check_name(name: str) -> None:
    if not _NAME.match(name):
        raise InvalidValue(
            "This cannot be the name of a secret.",
            code="bad-secret-name",
            details="name",
            hint="A name has 1 to 100 letters, digits, _, . or -, and begins with a letter, a digit or _.",
        )


def _entry(app: str | None, name: str) -> str:
    return f"{_PREFIX}{app or ALL}:{name}"


def _secret(entry: str, updated_at: int) -> Secret:
    app, _, name = entry.removeprefix(_PREFIX).partition(":")
    return Secret(name, None if app == ALL else app, updated_at)


def _how_to_set(app: str | None, name: str) -> str:
    return f"Set it: localsrv secrets set {name}" + (f" --app {app}." if app else ".")


def _unknown(app: str | None, name: str) -> NotFound:
    shown = name if _NAME.match(name) else "…"
    return NotFound(
        f"There is no secret `{shown}`.", code="secret-not-found", details=shown, hint=_how_to_set(app, shown)
    )
