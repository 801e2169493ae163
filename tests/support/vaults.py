"""A vault for tests: what the replicator needs of `vault.OsKeyring`, in memory."""

from __future__ import annotations

from localsrv.base.errors import VaultError


class MemoryVault:
    """Keeps secrets until the test ends; refuses everything while `is_absent`."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.is_absent = False

    def _check(self) -> None:
        if self.is_absent:
            raise VaultError("There is no keyring here.", code="vault-absent")

    async def get(self, name: str) -> str | None:
        self._check()
        return self.secrets.get(name)

    async def set(self, name: str, secret: str) -> None:
        self._check()
        self.secrets[name] = secret

    async def delete(self, name: str) -> bool:
        self._check()
        return self.secrets.pop(name, None) is not None
