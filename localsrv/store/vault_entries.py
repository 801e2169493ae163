"""The table `vault_entries` of the server's own file: which secrets there are, and in which vault."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

from localsrv.store.driver import Connection
from localsrv.store.system import System


class VaultEntry(NamedTuple):
    """What one vault holds, or may hold, under a name. `is_gone`: it counts no longer, and is to be
    removed."""

    vault: str
    name: str
    is_gone: bool
    updated_at: int


class VaultEntries:
    """The list, in memory and in the file. Reading costs nothing; every change is durable when it returns,
    and raises StorageError when the disk or the file refuses."""

    def __init__(self, system: System, entries: Iterable[VaultEntry]) -> None:
        self._system = system
        self._by_name: dict[str, dict[str, VaultEntry]] = {}
        for entry in entries:
            self._by_name.setdefault(entry.name, {})[entry.vault] = entry

    @classmethod
    async def open(cls, system: System) -> VaultEntries:
        def work(c: Connection) -> list[VaultEntry]:
            rows = c.execute("SELECT vault, name, is_gone, updated_at FROM vault_entries")
            return [VaultEntry(vault, name, bool(gone), at) for vault, name, gone, at in rows]

        return cls(system, await system.run(work))

    def of(self, vault: str) -> list[VaultEntry]:
        """What a vault holds or may hold, by name."""
        found = [entries[vault] for entries in self._by_name.values() if vault in entries]
        return sorted(found, key=lambda entry: entry.name)

    def get(self, vault: str, name: str) -> VaultEntry | None:
        return self._by_name.get(name, {}).get(vault)

    def holders(self, name: str) -> list[str]:
        """The vaults whose entry of this name counts."""
        return [e.vault for e in self._by_name.get(name, {}).values() if not e.is_gone]

    def live(self) -> list[VaultEntry]:
        """Every secret that counts, once, by name; where two vaults hold it, the newer."""
        best: dict[str, VaultEntry] = {}
        for entries in self._by_name.values():
            for entry in entries.values():
                known = best.get(entry.name)
                if not entry.is_gone and (known is None or entry.updated_at > known.updated_at):
                    best[entry.name] = entry
        return [best[name] for name in sorted(best)]

    async def put(self, *entries: VaultEntry, forget: Iterable[VaultEntry] = ()) -> None:
        """Adds or replaces rows and forgets others, all or nothing."""
        rows = [(e.vault, e.name, int(e.is_gone), e.updated_at) for e in entries]
        gone = [(e.vault, e.name) for e in forget]

        def work(c: Connection) -> None:
            c.execute("BEGIN IMMEDIATE")
            try:
                c.executemany("DELETE FROM vault_entries WHERE vault = ? AND name = ?", gone)
                c.executemany("INSERT OR REPLACE INTO vault_entries VALUES (?, ?, ?, ?)", rows)
                c.execute("COMMIT")
            except BaseException:
                if c.in_transaction:
                    c.execute("ROLLBACK")
                raise

        if not rows and not gone:
            return
        await self._system.run(work)
        for vault, name in gone:
            self._by_name.get(name, {}).pop(vault, None)
        for entry in entries:
            self._by_name.setdefault(entry.name, {})[entry.vault] = entry


def now() -> int:
    return int(time.time())
