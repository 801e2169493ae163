"""Where secrets live: the operating system's keyring, and nothing that merely looks like one."""

from localsrv.vault.os_keyring import MAX_SECRET, OsKeyring, VaultStatus

__all__ = ["MAX_SECRET", "OsKeyring", "VaultStatus"]
