"""The vault in use, and the list of what lies in it.

The person chooses between two vaults by a setting; nothing is ever put into the other one by itself.
Everything that keeps secrets (`services.secrets`, replications, signing) does it through here, so that the
list is whole: keyrings cannot list, and moving to the other vault has to find everything.

An entry of the list is *live* or *gone*. A live entry's secret, if the vault has one, is the newest. A gone
entry counts for nothing: it says that the vault may still hold something that has to be removed. What is
about to be written is listed as gone first and becomes live when it is written, so that a crash between list
and vault leaves neither a secret that nobody knows of nor a name that promises what is not there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from localsrv.base.errors import InvalidValue, LocalsrvError, VaultError
from localsrv.model.scopes import Grant
from localsrv.services.audit import VAULT_UNLOCK_FAILED, VAULT_UNLOCKED, Audit
from localsrv.services.unlocking import Unlocking
from localsrv.store.vault_entries import VaultEntries, VaultEntry, now
from localsrv.vault import (
    Kind,
    SealedFile,
    Vault,
    VaultStatus,
    WrongPassphrase,
    check_name,
    check_secret,
)


class Choice(Protocol):
    """The setting that says which vault is in use."""

    def check(self, kind: Kind) -> None:
        """Raises ConfigError when the setting cannot be changed to this from here."""

    def keep(self, kind: Kind) -> None:
        """Changes it for all later starts. Raises ConfigError, OSError."""


class Vaults:
    """A vault itself (`vault.Vault`): what is asked of it is asked of the one in use."""

    def __init__(
        self,
        vaults: Mapping[Kind, Vault],
        in_use: Kind,
        entries: VaultEntries,
        audit: Audit,
        choice: Choice,
    ) -> None:
        self.all = vaults
        self.entries = entries
        self.choice = choice
        self.changing = asyncio.Lock()
        """Held by whoever changes what lies where."""
        self.on_unlock: list[Callable[[], None]] = []
        self.on_change: list[Callable[[], None]] = []
        """Called when secrets that somebody remembered may no longer count: locked, moved."""
        self._in_use = in_use
        self._audit = audit
        self._unlocking = Unlocking()

    @property
    def kind(self) -> Kind:
        return self._in_use

    @property
    def current(self) -> Vault:
        return self.all[self._in_use]

    @property
    def status(self) -> VaultStatus:
        return self.current.status

    async def probe(self) -> VaultStatus:
        return await self.current.probe()

    @property
    def words(self) -> str:
        """Which vault is in use, how it is, and what still lies in the other, for a person."""
        told = self.status.words
        count = sum(len(self.entries.of(kind)) for kind in self.all if kind != self.kind)
        if count:
            what = "secret still lies" if count == 1 else "secrets still lie"
            told += f"; {count} {what} in the other one: localsrv secrets move --to {self.kind} brings order"
        return told

    # ── secrets ────────────────────────────────────────────────────────────────────────────────────────────

    async def get(self, name: str) -> str | None:
        """As `vault.Vault`. Raises VaultError `vault-elsewhere` for one that only the other vault holds."""
        check_name(name)
        entry = self.entries.get(self.kind, name)
        secret = None if entry is not None and entry.is_gone else await self.current.get(name)
        if secret is None:
            for kind in self.entries.holders(name):
                if kind != self.kind:
                    raise _elsewhere(self.all[kind].status, self.kind)  # type: ignore[index] # one of them
        return secret

    async def set(self, name: str, secret: str) -> None:
        """As `vault.Vault`."""
        check_name(name)
        check_secret(secret)
        async with self.changing:
            kind = self.kind
            known = self.entries.get(kind, name)
            is_live = known is not None and not known.is_gone
            if is_live:
                await self.entries.put(*self._superseded(name, kind))
            else:
                await self.entries.put(VaultEntry(kind, name, True, now()))
            try:
                await self.all[kind].set(name, secret)
            except LocalsrvError as error:
                if known is None and _left_nothing(kind, error):
                    await self.entries.put(forget=[VaultEntry(kind, name, True, 0)])
                raise
            await self.entries.put(VaultEntry(kind, name, False, now()), *self._superseded(name, kind))

    async def delete(self, name: str) -> bool:
        """As `vault.Vault`. A copy in the other vault is removed when that is next tidied (`moving`)."""
        check_name(name)
        async with self.changing:
            kind = self.kind
            others = self._superseded(name, kind)
            await self.entries.put(*others)
            found = await self.all[kind].delete(name)
            known = self.entries.get(kind, name)
            await self.entries.put(forget=[known] if known else [])
            return found or bool(others)

    async def discard(self, name: str) -> None:
        """Removes a secret that nothing refers to any more: now, or when its vault can be used again."""
        async with self.changing:
            known = [self.entries.get(kind, name) for kind in self.all]
            await self.entries.put(*(e._replace(is_gone=True) for e in known if e is not None))
            with contextlib.suppress(VaultError):
                await self.current.delete(name)
                own = self.entries.get(self.kind, name)
                await self.entries.put(forget=[own] if own else [])

    async def remove_gone(self, kind: Kind) -> int:
        """Removes from a vault what counts no longer; how much it refused to. For whoever holds
        `changing`."""
        gone = [entry for entry in self.entries.of(kind) if entry.is_gone]
        for at, entry in enumerate(gone):
            try:
                await self.all[kind].delete(entry.name)
            except VaultError:
                return len(gone) - at
            await self.entries.put(forget=[entry])
        return 0

    def _superseded(self, name: str, kind: Kind) -> list[VaultEntry]:
        """The live entries of a name in other vaults, as gone ones."""
        return [VaultEntry(k, name, True, now()) for k in self.entries.holders(name) if k != kind]

    # ── the sealed file ────────────────────────────────────────────────────────────────────────────────────

    async def unlock(self, passphrase: str, *, create: bool = False, grant: Grant | None = None) -> None:
        """Unlocks the sealed file, or makes it, whether it is in use or about to be.

        Raises:
            TooManyAttempts: wait a little.
            WrongPassphrase, VaultError, Conflict, InvalidValue: as `vault.SealedFile`.
        """
        sealed = self.sealed
        async with self._tried(grant):
            await (sealed.create(passphrase) if create else sealed.unlock(passphrase))
        self._audit.note(VAULT_UNLOCKED, grant=grant, details={"created": "yes"} if create else None)
        await self._unlocked()

    async def lock(self) -> None:
        """Forgets the sealed file's key, and what others remember."""
        await self.sealed.lock()
        self.tell_change()

    async def change_passphrase(self, old: str, new: str, *, grant: Grant | None = None) -> None:
        """Raises as `unlock`."""
        sealed = self.sealed
        async with self._tried(grant):
            await sealed.change_passphrase(old, new)
        self._audit.note(VAULT_UNLOCKED, grant=grant, details={"passphrase": "changed"})
        await self._unlocked()

    async def _unlocked(self) -> None:
        async with self.changing:
            await self.remove_gone("sealed_file")
        for tell in self.on_unlock:
            tell()

    @property
    def sealed(self) -> SealedFile:
        found = self.all["sealed_file"]
        assert isinstance(found, SealedFile)
        return found

    def _tried(self, grant: Grant | None) -> AbstractAsyncContextManager[None]:
        def failed(error: BaseException) -> bool:
            if not isinstance(error, WrongPassphrase):
                return False
            self._audit.note(VAULT_UNLOCK_FAILED, grant=grant)
            return True

        return self._unlocking.attempt(failed)

    # ── for moving ─────────────────────────────────────────────────────────────────────────────────────────

    def use(self, kind: Kind) -> None:
        """Makes a vault the one in use, for this process."""
        self._in_use = kind

    def tell_change(self) -> None:
        for tell in self.on_change:
            tell()


def _left_nothing(kind: Kind, error: LocalsrvError) -> bool:
    """Whether a failed write surely wrote nothing. A keyring that is late or locked may still do it."""
    if isinstance(error, InvalidValue) or error.code in ("vault-absent", "vault-refused"):
        return True
    return kind == "sealed_file" and error.code in ("vault-locked", "vault-damaged", "vault-too-new")


def _elsewhere(there: VaultStatus, here: Kind) -> VaultError:
    return VaultError(
        "This secret lies in another vault than the one in use.",
        code="vault-elsewhere",
        details=there.words,
        hint=f"Bring everything here with localsrv secrets move --to {here}, or set `vault` back.",
    )
