"""Credentials of stored replications: in the vault, never in a document, a log or an answer.

A definition names an entry of the vault (`auth.vault`); the entry is bound to the origin it was given for,
so that whoever edits the address afterwards cannot have the password sent elsewhere.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Protocol

from localsrv.base.errors import InvalidValue, VaultError
from localsrv.model.replication import NO_CREDENTIALS, SIDES, Credentials, Replication, Side


class Vault(Protocol):
    """The part of `services.vaults` that is needed here."""

    async def get(self, name: str) -> str | None: ...
    async def set(self, name: str, secret: str) -> None: ...
    async def discard(self, name: str) -> None: ...


class CredentialsMissing(InvalidValue):
    """The vault no longer has what a definition refers to, or has it for another address."""

    code = "credentials-missing"


class Secrets:
    """Every method raises VaultError when the vault refuses."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def keep(self, given: Replication, credentials: Mapping[Side, Credentials]) -> Replication:
        """Puts credentials into the vault and returns the definition that refers to them.

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
                    hint="Stored replications keep their credentials in the vault and nowhere else. "
                    "Without a keyring, a sealed file is one: localsrv secrets move --to sealed_file. "
                    "POST /_replicate holds them in memory until the server ends.",
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
                    f"The vault holds no credentials for {endpoint.label}.",
                    details=side,
                    hint="Give them again: they are kept for one address alone.",
                )
            out[side] = found
        return out

    async def drop(self, definition: Replication, unless: Replication | None = None) -> None:
        """Removes the credentials of a definition, except those that `unless` still refers to; from a vault
        that refuses, later: nothing refers to them any more."""
        still = entries_of(unless) if unless else []
        for entry in entries_of(definition):
            if entry not in still:
                await self._vault.discard(entry)


def entries_of(definition: Replication) -> list[str]:
    """The names in the vault that a definition refers to."""
    found = (definition.endpoint(side).secret for side in SIDES)
    return [_name(entry) for entry in found if entry is not None]


def _name(entry: str) -> str:
    return f"replication:{entry}"
