"""Credentials of stored replications: in the keyring, never in a document, a log or an answer.

A definition names an entry of the keyring (`auth.vault`); the entry is bound to the origin it was given for,
so that whoever edits the address afterwards cannot have the password sent elsewhere.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from typing import Protocol

from localsrv.base.errors import InvalidValue, VaultError
from localsrv.model.replication import NO_CREDENTIALS, SIDES, Credentials, Replication, Side


class Vault(Protocol):
    """The part of `vault.OsKeyring` that is needed here."""

    async def get(self, name: str) -> str | None: ...
    async def set(self, name: str, secret: str) -> None: ...
    async def delete(self, name: str) -> bool: ...


class CredentialsMissing(InvalidValue):
    """The keyring no longer has what a definition refers to, or has it for another address."""

    code = "credentials-missing"


class Secrets:
    """Every method raises VaultError when the keyring refuses."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def keep(self, given: Replication, credentials: Mapping[Side, Credentials]) -> Replication:
        """Puts credentials into the keyring and returns the definition that refers to them.

        Raises:
            VaultError: with a hint for the person: nothing is kept then.
        """
        kept = given
        for side in SIDES:
            if not credentials[side]:
                continue
            entry = secrets.token_hex(12)
            text = credentials[side].as_text(given.endpoint(side).origin)
            try:
                await self._vault.set(_name(entry), text)
            except VaultError as error:
                await self.drop(kept, given)
                raise VaultError(
                    f"The credentials of `{side}` cannot be kept: {error.message}",
                    code=error.code,
                    details=side,
                    hint="Stored replications keep their credentials in the keyring and nowhere else. "
                    "Without one, POST /_replicate works: it holds them in memory until the server ends.",
                ) from error
            kept = kept.with_secret(side, entry)
        return kept

    async def find(self, definition: Replication) -> dict[Side, Credentials]:
        """The credentials that a stored definition refers to.

        Raises:
            CredentialsMissing: they are not there, or not for this address.
        """
        out: dict[Side, Credentials] = {}
        for side in SIDES:
            endpoint = definition.endpoint(side)
            out[side] = NO_CREDENTIALS
            if endpoint.secret is None:
                continue
            text = await self._vault.get(_name(endpoint.secret))
            found = None if text is None else Credentials.from_text(text, endpoint.origin)
            if found is None:
                raise CredentialsMissing(
                    f"The keyring holds no credentials for {endpoint.label}.",
                    details=side,
                    hint="Give them again: they are kept for one address alone.",
                )
            out[side] = found
        return out

    async def drop(self, definition: Replication, unless: Replication | None = None) -> None:
        """Removes the credentials of a definition, except those that `unless` still refers to. A keyring
        that refuses keeps them: nothing refers to them any more."""
        still = {unless.endpoint(side).secret for side in SIDES} if unless else set()
        for side in SIDES:
            entry = definition.endpoint(side).secret
            if entry is not None and entry not in still:
                with contextlib.suppress(VaultError):
                    await self._vault.delete(_name(entry))


def _name(entry: str) -> str:
    return f"replication:{entry}"
