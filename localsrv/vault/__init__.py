"""Where secrets live: the operating system's keyring, or a file that is sealed with a passphrase."""

from localsrv.vault.interface import MAX_SECRET, Kind, Vault, VaultStatus, check_name, check_secret
from localsrv.vault.os_keyring import OsKeyring
from localsrv.vault.sealed_file import SealedFile, WrongPassphrase

__all__ = [
    "MAX_SECRET",
    "Kind",
    "OsKeyring",
    "SealedFile",
    "Vault",
    "VaultStatus",
    "WrongPassphrase",
    "check_name",
    "check_secret",
]
