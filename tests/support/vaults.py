"""A vault for tests: what services need of `services.vaults`, in memory."""

from __future__ import annotations

from localsrv.base.errors import VaultError
from localsrv.vault import Kind, VaultStatus


class NoChoice:
    """The setting `vault` for tests that have one vault."""

    def check(self, kind: Kind) -> None:
        pass

    def keep(self, kind: Kind) -> None:
        pass


class MemoryVault:
    """Keeps secrets until the test ends; refuses everything while `is_absent`."""

    kind: Kind = "os_keyring"

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.is_absent = False

    def _check(self) -> None:
        if self.is_absent:
            raise VaultError("There is no keyring here.", code="vault-absent")

    @property
    def status(self) -> VaultStatus:
        return VaultStatus("os_keyring", "memory", "absent" if self.is_absent else "ok")

    async def probe(self) -> VaultStatus:
        return self.status

    async def get(self, name: str) -> str | None:
        self._check()
        return self.secrets.get(name)

    async def set(self, name: str, secret: str) -> None:
        self._check()
        self.secrets[name] = secret

    async def delete(self, name: str) -> bool:
        self._check()
        return self.secrets.pop(name, None) is not None

    async def discard(self, name: str) -> None:
        if not self.is_absent:
            self.secrets.pop(name, None)
