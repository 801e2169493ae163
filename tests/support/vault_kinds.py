"""Every implementation of the vault, each on the real thing: a Secret Service, a file, the list over both."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keyring
import pytest

from localsrv.services.audit import Audit
from localsrv.services.vaults import Vaults
from localsrv.store.audit import AuditStore
from localsrv.store.system import System
from localsrv.store.vault_entries import VaultEntries
from localsrv.vault import Kind, OsKeyring, SealedFile, Vault
from localsrv.vault.sealing import Cost

CHEAP = Cost("argon2id", 8, 1, 1)
"""A key in no time: how long a guess takes is not what these tests are about."""

PASSPHRASE = "correct horse battery"
SERVICE = "localsrv:test"


@contextlib.contextmanager
def keyring_of(session: dict[str, str]) -> Iterator[None]:
    """Leads `keyring` in this process to the Secret Service of a session."""
    from keyring.backends.SecretService import Keyring

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBUS_SESSION_BUS_ADDRESS", session["DBUS_SESSION_BUS_ADDRESS"])
        patch.setattr(keyring, "get_keyring", Keyring)
        yield


class Chosen:
    """The setting `vault`, in memory."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def check(self, kind: Kind) -> None:
        """Anything may be chosen."""

    def keep(self, kind: Kind) -> None:
        self.kind = kind


@dataclass
class Opened:
    """A vault, and what makes it anew, as the next start of the server does."""

    vault: Vault
    folder: Path
    again: Callable[[], Any]

    async def reopened(self) -> Vault:
        self.vault = await self.again()
        return self.vault

    def files(self) -> list[str]:
        """What lies on the disk beside a keyring."""
        large = self.folder / "large"
        return sorted(os.listdir(large)) if large.exists() else []


async def open_vaults(system: System, folder: Path, choice: Chosen) -> Vaults:
    """Both vaults over one list, the sealed file unlocked (and made, if it is not there)."""
    sealed = SealedFile(folder / "vault" / "secrets.sealed", CHEAP)
    await (sealed.unlock if sealed.path.exists() else sealed.create)(PASSPHRASE)
    every: dict[Kind, Vault] = {
        "os_keyring": OsKeyring(SERVICE, folder / "large", timeout_s=60),
        "sealed_file": sealed,
    }
    entries = await VaultEntries.open(system)
    return Vaults(every, choice.kind, entries, Audit(AuditStore(system)), choice)


@contextlib.asynccontextmanager
async def opened(kind: str, folder: Path) -> AsyncIterator[Opened]:
    """`os_keyring`, `sealed_file`, or `vaults`: what services see, with the sealed file in use."""
    async with contextlib.AsyncExitStack() as stack:
        if kind == "vaults":
            system = await System.open(folder / "system.db")
            stack.push_async_callback(system.close)

        async def again() -> Vault:
            if kind == "os_keyring":
                return OsKeyring(SERVICE, folder / "large", timeout_s=60)
            if kind == "vaults":
                return await open_vaults(system, folder, Chosen("sealed_file"))
            sealed = SealedFile(folder / "vault" / "secrets.sealed", CHEAP)
            await (sealed.unlock if sealed.path.exists() else sealed.create)(PASSPHRASE)
            return sealed

        yield Opened(await again(), folder, again)
