"""Named secrets, the list of them, and moving all to the other vault. The vaults are two sealed files, since
what a keyring does is in `tests/contract/test_vaults.py`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localsrv.base.errors import ConfigError, Conflict, InvalidValue, NotFound, VaultError
from localsrv.services.audit import Audit
from localsrv.services.moving import Moving
from localsrv.services.secrets import REMEMBERED_S, Secrets
from localsrv.services.unlocking import TooManyAttempts
from localsrv.services.vaults import Vaults
from localsrv.store.audit import AuditStore
from localsrv.store.system import System
from localsrv.store.vault_entries import VaultEntries
from localsrv.vault import Kind, SealedFile, Vault, WrongPassphrase
from tests.support.leaks import secret
from tests.support.vault_kinds import CHEAP, PASSPHRASE, Chosen


class Stand(SealedFile):
    """A sealed file in the place of the keyring."""

    kind: Kind = "os_keyring"


class House:
    """Everything together, as `server.wiring` does."""

    def __init__(self, folder: Path, vaults: Vaults, audit: Audit) -> None:
        self.folder, self.vaults, self.audit = folder, vaults, audit
        self.now = 0.0
        self.secrets = Secrets(vaults, audit, lambda: self.now)
        self.moving = Moving(vaults, audit)

    @property
    def keyring(self) -> SealedFile:
        found = self.vaults.all["os_keyring"]
        assert isinstance(found, SealedFile)
        return found

    async def events(self) -> list[tuple[str, str | None, str | None]]:
        return [(e.event, e.app, e.subject) for e in reversed(await self.audit.page())]


@contextlib.asynccontextmanager
async def house(folder: Path, in_use: Kind = "os_keyring") -> AsyncIterator[House]:
    system = await System.open(folder / "system.db")
    audit = Audit(AuditStore(system))
    every: dict[Kind, Vault] = {}
    for kind, sealed in (
        ("os_keyring", Stand(folder / "k", CHEAP)),
        ("sealed_file", SealedFile(folder / "s", CHEAP)),
    ):
        await (sealed.unlock if sealed.path.exists() else sealed.create)(PASSPHRASE)
        every[kind] = sealed  # type: ignore[index]
    vaults = Vaults(every, in_use, await VaultEntries.open(system), audit, Chosen(in_use))
    yield House(folder, vaults, audit)
    await audit.close()
    await system.close()


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as made:
        yield made


def listed(secrets: Secrets) -> list[tuple[str | None, str]]:
    return [(found.app, found.name) for found in secrets.all()]


# ── one by one ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_set_list_use_remove(here: House) -> None:
    hidden = secret()
    assert await here.secrets.set(None, "openai", hidden) is True
    assert await here.secrets.set("shop", "openai", hidden + "2") is True
    assert await here.secrets.set("shop", "openai", hidden + "3") is False
    await here.secrets.set("shop", "b", "x")
    assert listed(here.secrets) == [(None, "openai"), ("shop", "b"), ("shop", "openai")]
    assert [found.name for found in here.secrets.names("shop")] == ["b", "openai"]
    assert await here.secrets.value("shop", "openai") == hidden + "3", "an app's own goes before"
    assert await here.secrets.value("other", "openai") == hidden
    await here.secrets.remove("shop", "openai")
    assert await here.secrets.value("shop", "openai") == hidden
    with pytest.raises(NotFound) as caught:
        await here.secrets.remove("shop", "openai")
    assert caught.value.code == "secret-not-found"
    events = await here.events()
    assert ("secret-removed", "shop", "openai") in events
    assert ("secret-used", "other", "openai") in events
    sets = [e for e in await here.audit.page() if e.event == "secret-set"]
    assert sum(entry.count for entry in sets) == 4
    assert hidden not in str(await here.audit.page())


@pytest.mark.parametrize("name", ["", ".a", "-a", "a b", "a/b", "a:b", "é", "a\n", "x" * 101, "a\0"])
async def test_names_that_are_none(here: House, name: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        await here.secrets.set("shop", name, "x")
    assert caught.value.code == "bad-secret-name"
    assert "a b" not in str(caught.value.as_dict()), "it may be a value that was typed in the wrong place"
    for call in (here.secrets.remove("shop", name), here.secrets.value("shop", name)):
        with pytest.raises(NotFound):
            await call
    assert listed(here.secrets) == []


async def test_names_that_differ_by_case_alone(here: House) -> None:
    await here.secrets.set(None, "OpenAI", "x")
    with pytest.raises(Conflict) as caught:
        await here.secrets.set(None, "openai", "y")
    assert caught.value.code == "secret-exists"
    await here.secrets.set("shop", "openai", "z")


async def test_a_value_is_remembered_for_a_minute_and_no_change_is_missed(here: House) -> None:
    await here.secrets.set(None, "a", "one")
    assert await here.secrets.value(None, "a") == "one"
    await here.keyring.set("secret:*:a", "changed behind our back")
    assert await here.secrets.value(None, "a") == "one"
    here.now += REMEMBERED_S + 1
    assert await here.secrets.value(None, "a") == "changed behind our back"
    await here.secrets.set(None, "a", "two")
    assert await here.secrets.value(None, "a") == "two"
    reading = asyncio.create_task(here.secrets.value(None, "a"))
    await here.secrets.set(None, "a", "three")
    assert await reading in ("two", "three")
    assert await here.secrets.value(None, "a") == "three"
    await here.vaults.lock()  # drops what is remembered, whichever vault is in use
    await here.keyring.lock()
    with pytest.raises(VaultError):
        await here.secrets.value(None, "a")


async def test_a_secret_that_the_vault_lost(here: House) -> None:
    await here.secrets.set("shop", "a", "x")
    await here.keyring.delete("secret:shop:a")
    with pytest.raises(NotFound) as caught:
        await here.secrets.value("shop", "a")
    assert caught.value.code == "secret-lost"
    assert "localsrv secrets set a --app shop" in str(caught.value.hint)
    assert listed(here.secrets) == [("shop", "a")]
    await here.secrets.set("shop", "a", "again")
    assert await here.secrets.value("shop", "a") == "again"


async def test_a_vault_that_refuses_leaves_no_name(here: House) -> None:
    await here.secrets.set(None, "kept", "x")
    await here.keyring.lock()
    for app in (None, "shop"):
        with pytest.raises(VaultError):
            await here.secrets.set(app, "new", "x")
    with pytest.raises(VaultError):
        await here.secrets.set(None, "kept", "y")
    with pytest.raises(VaultError):
        await here.secrets.remove(None, "kept")
    assert listed(here.secrets) == [(None, "kept")]
    await here.keyring.unlock(PASSPHRASE)
    assert await here.secrets.value(None, "kept") == "x"
    with pytest.raises(InvalidValue):
        await here.secrets.set(None, "empty", "")
    assert here.vaults.entries.get("os_keyring", "secret:*:empty") is None


async def test_an_app_that_goes_takes_its_secrets_along(tmp_path: Path) -> None:
    async with house(tmp_path, "sealed_file") as here:
        for app in (None, "shop", "shop-2"):
            await here.secrets.set(app, "a", "x")
        await here.secrets.forget_app("shop")
        assert listed(here.secrets) == [(None, "a"), ("shop-2", "a")]
        assert await here.vaults.sealed.get("secret:shop:a") is None
        await here.vaults.lock()
        await here.secrets.forget_app("shop-2")  # a locked vault gives it up later
        assert listed(here.secrets) == [(None, "a")]
        await here.vaults.unlock(PASSPHRASE)
        assert await here.vaults.sealed.get("secret:shop-2:a") is None
        assert [entry.name for entry in here.vaults.entries.of("sealed_file")] == ["secret:*:a"]


# ── the passphrase ─────────────────────────────────────────────────────────────────────────────────────────


async def test_unlocking_is_noted_and_slowed_down(tmp_path: Path) -> None:
    async with house(tmp_path, "sealed_file") as here:
        told: list[str] = []
        here.vaults.on_unlock.append(lambda: told.append("unlocked"))
        await here.vaults.lock()
        for _ in range(3):
            with pytest.raises(WrongPassphrase):
                await here.vaults.unlock("a wrong passphrase")
        with pytest.raises(TooManyAttempts):
            await here.vaults.unlock(PASSPHRASE)
        with pytest.raises(TooManyAttempts):
            await here.vaults.change_passphrase(PASSPHRASE, "another passphrase")
        assert (told, here.vaults.status.state) == ([], "locked")
        assert {event[0] for event in await here.events()} == {"vault-unlock-failed"}
        assert sum(entry.count for entry in await here.audit.page()) == 3
    async with house(tmp_path, "sealed_file") as here:
        here.vaults.on_unlock.append(lambda: told.append("unlocked"))
        await here.vaults.lock()
        await here.vaults.unlock(PASSPHRASE)
        await here.vaults.change_passphrase(PASSPHRASE, "another passphrase")
        assert told == ["unlocked", "unlocked"]
        assert "passphrase" not in str([e.subject for e in await here.audit.page()])


# ── moving ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_moving_takes_everything_there_and_back(tmp_path: Path) -> None:
    held = {"secret:*:a": "x", "replication:1": "y" * 5000, "signing-key": "z\n\0"}
    async with house(tmp_path) as here:
        for name, value in held.items():
            await here.vaults.set(name, value)
        await here.keyring.set("replication:unlisted", "from before there was a list")
        also = ["replication:unlisted", "replication:1", "replication:gone"]
        done = await here.moving.move("sealed_file", also)
        assert (done.moved, done.lost, done.left) == (4, (), 0)
        assert (here.vaults.kind, here.vaults.choice.kind) == ("sealed_file", "sealed_file")  # type: ignore[attr-defined]
        assert "brings order" not in here.vaults.words
        for name, value in held.items():
            assert await here.vaults.get(name) == await here.vaults.sealed.get(name) == value
        assert await here.vaults.get("replication:unlisted") == "from before there was a list"
        for name in (*held, "replication:unlisted"):
            assert await here.keyring.get(name) is None
        assert here.vaults.entries.of("os_keyring") == []
        again = await here.moving.move("sealed_file")
        assert (again.moved, again.lost, again.left) == (0, (), 0)
    async with house(tmp_path, "sealed_file") as here:
        assert (await here.moving.move("os_keyring")).moved == 4
        assert await here.keyring.get("signing-key") == "z\n\0"
        assert here.vaults.entries.of("sealed_file") == []
        assert ("secret-moved", None, "signing-key") in await here.events()


@pytest.mark.parametrize("locked", ["source", "target"])
async def test_moving_needs_both_vaults(here: House, locked: str) -> None:
    await here.secrets.set(None, "a", "x")
    await (here.keyring if locked == "source" else here.vaults.sealed).lock()
    with pytest.raises(VaultError) as caught:
        await here.moving.move("sealed_file")
    assert caught.value.code == "vault-locked"
    assert (here.vaults.kind, listed(here.secrets)) == ("os_keyring", [(None, "a")])
    await here.keyring.unlock(PASSPHRASE)
    assert await here.secrets.value(None, "a") == "x"


async def test_a_vault_that_does_not_give_back_what_was_written(
    here: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a keyring does: nothing is removed from the old one."""
    await here.secrets.set(None, "a", "x")
    await here.secrets.set(None, "b", "y")
    whole = here.vaults.sealed.get

    async def broken(name: str) -> str | None:
        return "mangled" if name.endswith("b") else await whole(name)

    monkeypatch.setattr(here.vaults.sealed, "get", broken)
    with pytest.raises(VaultError) as caught:
        await here.moving.move("sealed_file")
    assert caught.value.code == "vault-failed"
    assert here.vaults.kind == "os_keyring"
    assert [await here.keyring.get(f"secret:*:{name}") for name in "ab"] == ["x", "y"]
    monkeypatch.undo()
    assert (await here.moving.move("sealed_file")).moved == 2
    assert await here.secrets.value(None, "b") == "y"


async def test_moving_what_the_old_vault_lost(here: House) -> None:
    await here.secrets.set(None, "a", "x")
    await here.secrets.set(None, "lost", "y")
    await here.keyring.delete("secret:*:lost")
    done = await here.moving.move("sealed_file")
    assert (done.moved, done.lost) == (1, ("secret:*:lost",))
    with pytest.raises(VaultError) as caught:
        await here.secrets.value(None, "lost")
    assert caught.value.code == "vault-elsewhere"
    await here.secrets.set(None, "lost", "found")
    assert await here.secrets.value(None, "lost") == "found"
    assert (await here.moving.move("sealed_file")).left == 0
    assert here.vaults.entries.of("os_keyring") == []


async def test_the_setting_is_changed_before_anything_is_removed(here: House) -> None:
    await here.secrets.set(None, "a", "x")

    class Stubborn(Chosen):
        def keep(self, kind: Kind) -> None:
            raise ConfigError("no")

    here.vaults.choice = Stubborn("os_keyring")
    with pytest.raises(ConfigError):
        await here.moving.move("sealed_file")
    assert (here.vaults.kind, await here.keyring.get("secret:*:a")) == ("os_keyring", "x")


async def test_a_setting_that_was_changed_by_hand(tmp_path: Path) -> None:
    """What lies in the other vault is named, not taken for lost; moving brings it over, and what was set in
    the meantime stays."""
    async with house(tmp_path) as here:
        for name in ("a", "b", "c"):
            await here.secrets.set(None, name, f"old {name}")
    async with house(tmp_path, "sealed_file") as here:
        with pytest.raises(VaultError) as caught:
            await here.secrets.value(None, "a")
        assert caught.value.code == "vault-elsewhere"
        assert "localsrv secrets move --to sealed_file" in here.vaults.words
        await here.secrets.set(None, "b", "new b")
        await here.secrets.remove(None, "c")
        assert listed(here.secrets) == [(None, "a"), (None, "b")]
        done = await here.moving.move("sealed_file")
        assert (done.moved, done.lost, done.left) == (1, (), 0)
        assert [await here.secrets.value(None, name) for name in "ab"] == ["old a", "new b"]
        assert [await here.keyring.get(f"secret:*:{name}") for name in "abc"] == [None] * 3
        with pytest.raises(NotFound):
            await here.secrets.value(None, "c")


async def test_a_half_moved_secret_that_is_changed_again(tmp_path: Path) -> None:
    """A copy from a move that was interrupted must not come back to life."""
    async with house(tmp_path) as here:
        await here.secrets.set(None, "a", "old")
        await here.secrets.set(None, "gone", "old")
        for name in ("a", "gone"):  # what a move leaves that dies before the setting is changed
            await here.moving._copy(here.keyring, here.vaults.sealed, f"secret:*:{name}")
        await here.secrets.set(None, "a", "new")
        await here.secrets.remove(None, "gone")
    async with house(tmp_path, "sealed_file") as here:  # somebody changes the setting by hand
        with pytest.raises(VaultError):
            await here.secrets.value(None, "a")
        with pytest.raises(NotFound):
            await here.secrets.value(None, "gone")
    async with house(tmp_path) as here:
        assert (await here.moving.move("sealed_file")).moved == 1
        assert await here.secrets.value(None, "a") == "new"
        assert await here.vaults.sealed.get("secret:*:gone") is None


async def test_what_the_old_vault_does_not_remove_is_removed_later(
    here: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await here.secrets.set(None, "a", "x")
    await here.secrets.set(None, "b", "y")

    async def refuse(name: str) -> bool:
        raise VaultError("no", code="vault-silent")

    monkeypatch.setattr(here.keyring, "delete", refuse)
    done = await here.moving.move("sealed_file")
    assert (done.moved, done.left) == (2, 2)
    assert "2 secrets still lie in the other one" in here.vaults.words
    assert await here.secrets.value(None, "a") == "x"
    monkeypatch.undo()
    assert (await here.moving.move("sealed_file")).left == 0
    assert await here.keyring.get("secret:*:a") is None


async def test_secrets_set_while_others_move_wait(here: House) -> None:
    for at in range(5):
        await here.secrets.set(None, f"n{at}", "x" * 100)
    moving = asyncio.create_task(here.moving.move("sealed_file"))
    await asyncio.sleep(0)
    await asyncio.gather(*(here.secrets.set(None, f"n{at}", f"new {at}") for at in range(7)))
    assert (await moving).moved == 5
    assert here.vaults.kind == "sealed_file"
    for at in range(7):
        assert await here.vaults.sealed.get(f"secret:*:n{at}") == f"new {at}"
    assert here.vaults.entries.of("os_keyring") == []
