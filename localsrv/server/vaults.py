"""The two vaults, made as the settings say, and how a start unlocks the sealed one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from localsrv.base import config_file
from localsrv.base.config import PREFIX, Settings
from localsrv.base.errors import ConfigError, VaultError
from localsrv.base.paths import Paths
from localsrv.services.audit import Audit
from localsrv.services.vaults import Vaults
from localsrv.store.system import System
from localsrv.store.vault_entries import VaultEntries
from localsrv.vault import Kind, OsKeyring, SealedFile, Vault, WrongPassphrase

__all__ = ["SealedFile", "Setting", "ask_until_unlocked", "open_vaults", "unlocked"]

_VARIABLE = f"{PREFIX}VAULT"
_TRIES = 3


class Setting:
    """The setting `vault` in `config.toml`."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def check(self, kind: Kind) -> None:
        """Raises ConfigError when the environment says otherwise, which the file cannot change."""
        said = os.environ.get(_VARIABLE)
        if said is not None and said != kind:
            raise ConfigError(
                f"The environment variable {_VARIABLE} says `{said}`.",
                details=_VARIABLE,
                hint="Take it away, start localsrv again without it, and move then.",
            )

    def keep(self, kind: Kind) -> None:
        config_file.write_vault(self._file, kind)


async def open_vaults(
    settings: Settings, paths: Paths, device: str, system: System, audit: Audit, sealed: SealedFile | None
) -> Vaults:
    """`sealed` is the file that the start unlocked, if it did. Raises StorageError."""
    keyring = OsKeyring(f"localsrv:{device}", paths.sealed_folder, timeout_s=settings.vault_timeout_s)
    every: dict[Kind, Vault] = {
        "os_keyring": keyring,
        "sealed_file": sealed or SealedFile(paths.vault_file),
    }
    in_use: Kind = "sealed_file" if settings.vault == "sealed_file" else "os_keyring"
    return Vaults(every, in_use, await VaultEntries.open(system), audit, Setting(paths.config_file))


def unlocked(paths: Paths, passphrase: str, tell: Callable[[str], None]) -> SealedFile:
    """The sealed file, unlocked. Blocks. One that is not there or damaged is told of, and no reason not to
    start: everything but the secrets works without it. Raises WrongPassphrase."""
    sealed = SealedFile(paths.vault_file)
    try:
        sealed.unlock_now(passphrase)
    except WrongPassphrase:
        raise
    except VaultError as error:
        tell(" ".join(filter(None, (error.message, error.hint))))
    return sealed


def ask_until_unlocked(paths: Paths, ask: Callable[[str], str], tell: Callable[[str], None]) -> SealedFile:
    """The sealed file, unlocked by what `ask` answers to a question; as it is after an empty answer or too
    many wrong ones. A file that is not there is left so: making one is a decision of its own."""
    sealed = SealedFile(paths.vault_file)
    state = sealed.status.state
    for _ in range(_TRIES if state == "locked" else 0):
        passphrase = ask("Passphrase of the vault (Enter: leave it locked)")
        if not passphrase:
            break
        try:
            sealed.unlock_now(passphrase)
        except WrongPassphrase as error:
            tell(error.message)
            continue
        except VaultError as error:
            tell(error.message)
            break
        return sealed
    tell(f"The vault: {sealed.status.words}.")
    return sealed
