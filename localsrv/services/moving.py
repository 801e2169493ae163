"""Moving every secret to the other vault.

Nothing is removed before everything lies in the new vault, was read back and compared, and the setting names
the new vault. So a crash leaves the old vault in use and whole, or the new one; asking for the same again
finishes what was left (`Vaults` says what live and gone entries are).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import NamedTuple

from localsrv.base.errors import InvalidValue, VaultError
from localsrv.model.scopes import Grant
from localsrv.services.audit import SECRET_MOVED, Audit
from localsrv.services.vaults import Vaults
from localsrv.store.vault_entries import VaultEntry
from localsrv.vault import Kind, Vault


class Moved(NamedTuple):
    """What moving did: secrets brought to `to`; names listed for the old vault that it no longer had (they
    stay listed there); entries that the old vault could not remove yet."""

    to: Kind
    moved: int
    lost: tuple[str, ...]
    left: int


class Moving:
    """`move` holds off every other change of secrets meanwhile; reading goes on."""

    def __init__(self, vaults: Vaults, audit: Audit) -> None:
        self._vaults = vaults
        self._audit = audit

    async def move(self, to: Kind, also: Iterable[str] = (), *, grant: Grant | None = None) -> Moved:
        """Moves everything to the vault `to` and makes it the one in use.

        `also` names entries that may lie in the vault in use without being listed.

        Raises:
            VaultError: one of the vaults cannot be used, or did not give back what was written.
            ConfigError: the setting cannot be changed.
        """
        vaults = self._vaults
        if to not in vaults.all:
            raise InvalidValue(f"There is no vault `{to}`.", details="to", hint=" or ".join(vaults.all))
        vaults.choice.check(to)
        async with vaults.changing:
            target = vaults.all[to]
            await _usable(target)
            others = [vault for kind, vault in vaults.all.items() if kind != to]
            moved, lost = 0, list[str]()
            for source in others:
                names = {e.name for e in vaults.entries.of(source.kind) if not e.is_gone}
                names |= set(also) if source.kind == vaults.kind else set()
                if names:
                    await _usable(source)
                for name in sorted(names):
                    if source.kind != vaults.kind and await self._is_there(target, name):
                        continue  # moved before, and perhaps changed since
                    is_listed = vaults.entries.get(source.kind, name) is not None
                    if await self._copy(source, target, name):
                        moved += 1
                        self._audit.note(SECRET_MOVED, grant=grant, subject=name, details={"to": to})
                    elif is_listed:
                        lost.append(name)
            await vaults.remove_gone(to)
            if vaults.kind != to:
                vaults.choice.keep(to)
                vaults.use(to)
            left = 0
            for source in others:
                await self._release(source, to)
                left += await vaults.remove_gone(source.kind)
        vaults.tell_change()
        return Moved(to, moved, tuple(lost), left)

    async def _is_there(self, target: Vault, name: str) -> bool:
        entry = self._vaults.entries.get(target.kind, name)
        return entry is not None and not entry.is_gone and await target.get(name) is not None

    async def _copy(self, source: Vault, target: Vault, name: str) -> bool:
        """Copies one secret and reads it back; False when the source has none."""
        entries = self._vaults.entries
        secret = await source.get(name)
        if secret is None:
            return False
        known = entries.get(source.kind, name)
        at = 0 if known is None else known.updated_at
        here = entries.get(target.kind, name)
        if here is None:
            await entries.put(VaultEntry(target.kind, name, True, at))
        await target.set(name, secret)
        again = await target.get(name)
        if again is None or not hmac.compare_digest(again.encode(), secret.encode()):
            raise VaultError(
                "The new vault did not give back what was written.",
                code="vault-failed",
                details=name,
                hint="Nothing was removed from the old one, which is still in use.",
            )
        live = [VaultEntry(target.kind, name, False, at)]
        if known is None:
            live.append(VaultEntry(source.kind, name, False, at))
        await entries.put(*live)
        return True

    async def _release(self, source: Vault, to: Kind) -> None:
        """What `to` holds now is to be removed from the source."""
        entries = self._vaults.entries
        held = [e for e in entries.of(source.kind) if not e.is_gone and to in entries.holders(e.name)]
        await entries.put(*(VaultEntry(e.vault, e.name, True, e.updated_at) for e in held))


async def _usable(vault: Vault) -> None:
    """Raises VaultError unless secrets can be kept in it now."""
    status = await vault.probe()
    if status.state != "ok":
        raise VaultError(
            f"This vault cannot be used now: {status.words}.",
            code="vault-locked" if status.state == "locked" else "vault-absent",
            hint="Nothing was changed.",
        )
