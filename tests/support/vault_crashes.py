"""A program that kills itself in the middle of what changes vaults, again and again, and looks at what is
left.

`python -m tests.support.vault_crashes CASE FOLDER`; prints at how many points it died. The keyring is the
Secret Service of the session that its environment leads to.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import keyring
from keyring.backends.SecretService import Keyring

from localsrv.base import config_file
from localsrv.base.errors import NotFound
from localsrv.services.audit import Audit
from localsrv.services.moving import Moving
from localsrv.services.secrets import Secrets
from localsrv.services.vaults import Vaults
from localsrv.store.audit import AuditStore
from localsrv.store.system import System
from localsrv.vault import Kind, OsKeyring, SealedFile, WrongPassphrase
from tests.support.killing import at_every_point
from tests.support.vault_kinds import CHEAP, PASSPHRASE, SERVICE, Chosen, open_vaults

FOLDER = Path(sys.argv[2] if len(sys.argv) > 2 else ".")
SEALED = FOLDER / "vault" / "secrets.sealed"
OTHER = "another passphrase"
LONG_OLD, LONG_NEW = "old" * 1000, "new" * 1100


def os_keyring() -> OsKeyring:
    return OsKeyring(SERVICE, FOLDER / "large", timeout_s=60)


def sealed_file() -> SealedFile:
    return SealedFile(SEALED, CHEAP)


async def unlocked(passphrase: str = PASSPHRASE) -> SealedFile:
    vault = sealed_file()
    await vault.unlock(passphrase)
    return vault


# ── one secret replaced or removed ─────────────────────────────────────────────────────────────────────────


def replace_in(kind: str, old: str | None, new: str | None) -> int:
    """`a` changes from old to new (None: not there) beside `b`, which stays."""

    async def opened() -> OsKeyring | SealedFile:
        return os_keyring() if kind == "os_keyring" else await unlocked()

    async def prepare() -> None:
        shutil.rmtree(SEALED.parent, ignore_errors=True)
        if kind == "sealed_file":
            await sealed_file().create(PASSPHRASE)
        vault = await opened()
        await vault.set("b", "stays" * 500)
        await (vault.delete("a") if old is None else vault.set("a", old))

    async def work() -> None:
        vault = await opened()
        await (vault.delete("a") if new is None else vault.set("a", new))

    async def look(is_done: bool) -> None:
        vault = await opened()
        found = await vault.get("a")
        assert found in ((new,) if is_done else (old, new)), "neither the old secret nor the new one"
        assert await vault.get("b") == "stays" * 500
        await vault.set("a", LONG_OLD)  # and it goes on, without what was left
        assert await vault.get("a") == LONG_OLD
        if kind == "os_keyring":
            assert len(list((FOLDER / "large").iterdir())) == 2, "a file that nobody has the key of stays"

    return at_every_point(prepare, work, look)


# ── the sealed file's passphrase ───────────────────────────────────────────────────────────────────────────


def change_passphrase() -> int:
    async def prepare() -> None:
        shutil.rmtree(SEALED.parent, ignore_errors=True)
        vault = sealed_file()
        await vault.create(PASSPHRASE)
        await vault.set("a", LONG_OLD)

    async def work() -> None:
        await sealed_file().change_passphrase(PASSPHRASE, OTHER)

    async def look(is_done: bool) -> None:
        try:
            vault = await unlocked(OTHER)
        except WrongPassphrase:
            assert not is_done
            vault = await unlocked(PASSPHRASE)
        assert await vault.get("a") == LONG_OLD

    return at_every_point(prepare, work, look)


def create() -> int:
    async def prepare() -> None:
        shutil.rmtree(SEALED.parent, ignore_errors=True)

    async def work() -> None:
        await sealed_file().create(PASSPHRASE)

    async def look(is_done: bool) -> None:
        assert SEALED.exists() or not is_done
        vault = sealed_file()
        await (vault.unlock if SEALED.exists() else vault.create)(PASSPHRASE)
        assert await vault.get("a") is None

    return at_every_point(prepare, work, look)


# ── everything moved ───────────────────────────────────────────────────────────────────────────────────────

HELD = {"replication:1": LONG_OLD, "signing-key": "y"}


class File(Chosen):
    """The setting in a real configuration."""

    def __init__(self) -> None:
        self.path = FOLDER / "config.toml"
        text = self.path.read_text() if self.path.exists() else ""
        super().__init__("sealed_file" if "sealed_file" in text else "os_keyring")

    def keep(self, kind: Kind) -> None:
        config_file.write_vault(self.path, kind)


@contextlib.asynccontextmanager
async def services() -> AsyncIterator[tuple[Vaults, Moving, Secrets]]:
    """What a start of the server makes."""
    system = await System.open(FOLDER / "system.db")
    vaults = await open_vaults(system, FOLDER, File())
    audit = Audit(AuditStore(system))
    yield vaults, Moving(vaults, audit), Secrets(vaults, audit)
    await audit.close()
    await system.close()


def move(source: Kind, target: Kind) -> int:
    async def prepare() -> None:
        for left in FOLDER.glob("system.db*"):
            left.unlink()
        shutil.rmtree(SEALED.parent, ignore_errors=True)
        for name in HELD:
            await os_keyring().delete(name)
        config_file.write_vault(FOLDER / "config.toml", source)
        async with services() as (vaults, _, _):
            assert vaults.kind == source
            for name, secret in HELD.items():
                await vaults.set(name, secret)

    async def work() -> None:
        async with services() as (_, moving, _):
            assert (await moving.move(target)).moved == len(HELD)

    async def look(is_done: bool) -> None:
        async with services() as (vaults, moving, _):
            assert vaults.kind in ((target,) if is_done else (source, target))
            await _holds(vaults)
            await vaults.set("signing-key", "changed")  # by whichever is in use now
            again = await moving.move(target)
            assert (again.lost, again.left) == ((), 0)
        async with services() as (vaults, _, _):
            assert vaults.kind == target
            await _holds(vaults, {"signing-key": "changed"})
            assert {e.name for e in vaults.entries.of(target)} == set(HELD)
            assert vaults.entries.of(source) == []
            for name in HELD:
                assert await vaults.all[source].get(name) is None, "left behind"
        assert list((FOLDER / "large").glob("*")) == [] or target == "os_keyring"

    return at_every_point(prepare, work, look)


async def _holds(vaults: Vaults, changed: dict[str, str] | None = None) -> None:
    for name, secret in (HELD | (changed or {})).items():
        assert await vaults.get(name) == secret, f"{name} is lost"


# ── a secret through the list ──────────────────────────────────────────────────────────────────────────────


def listed(is_set: bool) -> int:
    """The list and the vault agree: what is listed is there, and what is there is listed or will be
    removed."""

    async def prepare() -> None:
        shutil.rmtree(SEALED.parent, ignore_errors=True)
        for left in FOLDER.glob("system.db*"):
            left.unlink()
        config_file.write_vault(FOLDER / "config.toml", "sealed_file")
        async with services() as (_, _, secrets):
            if not is_set:
                await secrets.set(None, "a", "x")

    async def work() -> None:
        async with services() as (_, _, secrets):
            await (secrets.set(None, "a", "x") if is_set else secrets.remove(None, "a"))

    async def look(is_done: bool) -> None:
        async with services() as (vaults, _, secrets):
            names = [secret.name for secret in secrets.names(None)]
            held = await vaults.all["sealed_file"].get("secret:*:a")
            try:
                assert await secrets.value(None, "a") == "x"
            except NotFound as error:
                assert error.code == "secret-not-found" or not is_set, "listed, and not there"
            if is_done:
                assert (names, held) == ((["a"], "x") if is_set else ([], None))
            if held is not None:
                assert vaults.entries.get("sealed_file", "secret:*:a") is not None, "there, and not listed"
            await secrets.set(None, "a", "again")
            assert await secrets.value(None, "a") == "again"

    return at_every_point(prepare, work, look)


CASES = {
    "keyring: long to long": lambda: replace_in("os_keyring", LONG_OLD, LONG_NEW),
    "keyring: short to long": lambda: replace_in("os_keyring", "old", LONG_NEW),
    "keyring: long to short": lambda: replace_in("os_keyring", LONG_OLD, "new"),
    "keyring: removed": lambda: replace_in("os_keyring", LONG_OLD, None),
    "file: replaced": lambda: replace_in("sealed_file", LONG_OLD, LONG_NEW),
    "file: first": lambda: replace_in("sealed_file", None, "new"),
    "file: removed": lambda: replace_in("sealed_file", LONG_OLD, None),
    "file: created": create,
    "file: passphrase": change_passphrase,
    "list: set": lambda: listed(True),
    "list: removed": lambda: listed(False),
    "moved to the file": lambda: move("os_keyring", "sealed_file"),
    "moved to the keyring": lambda: move("sealed_file", "os_keyring"),
}

if __name__ == "__main__":
    keyring.set_keyring(Keyring())
    print(CASES[sys.argv[1]]())
