"""The vault on a real Secret Service in every state, and beside backends that keep no secrets."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest

from localsrv.base.errors import VaultError
from localsrv.vault import OsKeyring, backends
from tests.support.disks import fill
from tests.support.leaks import secret
from tests.support.secret_service import secret_service
from tests.support.vault_kinds import keyring_of

ROOT = Path(__file__).parents[2]


def in_session(state: str, tmp_path: Path) -> Any:
    """What `vault_states` reports from a session bus, a home and a run-time folder of its own."""
    if shutil.which("gdbus") is None:
        pytest.skip("gdbus is not installed")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
    command = [sys.executable, "-W", "error", "-m", "tests.support.vault_states", state]
    with contextlib.ExitStack() as stack:
        if state != "absent":
            environment |= stack.enter_context(secret_service(tmp_path / "session"))
        else:
            environment |= {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: Secret Service")
def test_secret_service(tmp_path: Path) -> None:
    assert in_session("unlocked", tmp_path) == {
        "backend": "SecretService",
        "state": "ok",
        "get nothing": None,
        "set": None,
        "get": "sécret \N{KEY}",
        "replace": None,
        "get again": 1200,
        "other service": None,
        "delete": True,
        "delete again": False,
    }


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: Secret Service")
@pytest.mark.parametrize(("state", "code"), [("locked", "vault-locked"), ("absent", "vault-absent")])
def test_secret_service_that_cannot_be_used(state: str, code: str, tmp_path: Path) -> None:
    found = in_session(state, tmp_path)
    assert found["state"] == state
    assert {found[call] for call in ("get nothing", "set", "get", "replace", "delete")} == {code}


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: Secret Service")
def test_secret_service_that_hangs_and_recovers(tmp_path: Path) -> None:
    found = in_session("hanging", tmp_path)
    assert found == {"before": None, "hung": ["vault-silent", "silent"], "after": "kept"}


class Memory:
    """A keyring that works, in memory, to stand beside those that must be refused.

    Not a subclass of KeyringBackend: those register themselves for every later choice in this process.
    """

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.held[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.held[service, username]


class Forgetful(Memory):
    def get_password(self, service: str, username: str) -> str | None:
        return None


class Broken(Memory):
    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError(f"could not store {password}")


class Slow(Memory):
    """Blocks until `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.calls = 0

    def get_password(self, service: str, username: str) -> str | None:
        self.calls += 1
        self.go.wait(30)
        return super().get_password(service, username)


PlainText = type("PlaintextKeyring", (Memory,), {"__module__": "keyrings.alt.file"})
ChildOfPlainText = type("Nicer", (PlainText,), {"__module__": "somewhere"})
Null = type("Keyring", (Memory,), {"__module__": "keyring.backends.null"})
Fail = type("Keyring", (Memory,), {"__module__": "keyring.backends.fail"})


class Chain:
    """What `keyring` returns when several backends are there."""

    def __init__(self, *backends: Memory) -> None:
        self.backends = backends


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(backend: Any) -> Any:
        monkeypatch.setattr(keyring, "get_keyring", lambda: backend)
        return backend

    return use


async def test_a_failure_that_quotes_the_secret(
    use: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What a keyring says of its failure goes no further than its kind."""
    use(Broken())
    hidden = secret()
    with pytest.raises(VaultError) as caught:
        await OsKeyring("localsrv-test", tmp_path / "large").set("a", hidden)
    told = "".join(traceback.format_exception(caught.value))
    assert caught.value.details == "RuntimeError"
    assert hidden not in told + repr(caught.value.as_dict()) + caplog.text


@pytest.mark.parametrize(
    ("backend", "state", "code"),
    [
        (Memory(), "ok", None),
        (PlainText(), "refused", "vault-refused"),
        (ChildOfPlainText(), "refused", "vault-refused"),
        (Null(), "refused", "vault-refused"),
        (Fail(), "absent", "vault-absent"),
        (Chain(Fail(), PlainText()), "refused", "vault-refused"),
        (Chain(PlainText(), Memory()), "ok", None),
        (Broken(), "failing", "vault-failed"),
        (Forgetful(), "failing", None),
    ],
)
async def test_backends(
    backend: Memory | Chain, state: str, code: str | None, use: Any, tmp_path: Path
) -> None:
    use(backend)
    vault = OsKeyring("localsrv:test", tmp_path)
    assert (vault.status.state, backend.__dict__.get("held", {})) == ("unused", {})
    assert (await vault.probe()).state == state
    assert vault.status.state == state
    if code is None:
        await vault.set("key", "secret")
    else:
        with pytest.raises(VaultError) as caught:
            await vault.set("key", "secret")
        assert caught.value.code == code
        assert "secret" not in str(caught.value.as_dict()).replace("secrets", "")
    held = [*getattr(backend, "backends", [backend])]
    for member in held:
        if backends.keeps_no_secret(member) or type(member) is Fail:
            assert member.held == {}


async def test_a_hung_call_does_not_pile_up_threads(use: Any, tmp_path: Path) -> None:
    slow = Slow()
    use(slow)
    vault = OsKeyring("localsrv:test", tmp_path, timeout_s=0.2)
    for _ in range(3):
        with pytest.raises(VaultError) as caught:
            await vault.get("key")
        assert (caught.value.code, vault.status.state) == ("vault-silent", "silent")
    assert slow.calls == 1
    slow.go.set()
    for thread in threading.enumerate():
        if thread.name == "vault":
            thread.join(10)
    assert (await vault.get("key"), vault.status.state) == (None, "ok")


# ── entries and files that go missing, on a real Secret Service ────────────────────────────────────────────


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[dict[str, str]]:
    if sys.platform != "linux":
        pytest.skip("only on Linux: Secret Service")
    with secret_service(tmp_path / "session") as session, keyring_of(session):
        yield session


def entries(name: str) -> list[Any]:
    """The items of the Secret Service that hold a name, with the connection they need."""
    import secretstorage

    connection = secretstorage.dbus_init()
    collection = secretstorage.get_default_collection(connection)
    return [connection, *collection.search_items({"service": "localsrv:test", "username": name})]


def lose(name: str) -> None:
    """Removes an entry behind the vault's back."""
    connection, *items = entries(name)
    for item in items:
        item.delete()
    connection.close()


async def test_a_lost_entry(ring: dict[str, str], tmp_path: Path) -> None:
    vault = OsKeyring("localsrv:test", tmp_path / "large", timeout_s=30)
    for text in ("short", "long" * 1000):
        await vault.set("a", text)
        lose("a")
        assert (await vault.get("a"), vault.status.state) == (None, "ok")
        assert await vault.delete("a") is False
        assert list((tmp_path / "large").glob("*")) == [], "what nobody can open any more goes"


@pytest.mark.parametrize("how", ["gone", "empty", "cut", "flipped", "another name's", "a folder"])
async def test_a_lost_file(how: str, ring: dict[str, str], tmp_path: Path) -> None:
    vault = OsKeyring("localsrv:test", tmp_path / "large", timeout_s=30)
    await vault.set("b", "other" * 1000)
    (other,) = (tmp_path / "large").iterdir()
    await vault.set("a", "long" * 1000)
    (file,) = set((tmp_path / "large").iterdir()) - {other}
    whole = file.read_bytes()
    file.unlink()
    if how == "a folder":
        file.mkdir()
    elif how != "gone":
        contents = {"empty": b"", "cut": whole[:-1], "flipped": whole[:-1] + bytes([whole[-1] ^ 1])}
        file.write_bytes(contents.get(how, other.read_bytes()))
    with pytest.raises(VaultError) as caught:
        await vault.get("a")
    assert (caught.value.code, vault.status.state) == ("vault-damaged", "ok"), "only this one is lost"
    assert caught.value.hint
    assert await vault.get("b") == "other" * 1000
    await vault.set("a", "again")
    assert await vault.get("a") == "again"
    assert await vault.delete("a") and await vault.delete("b")


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ("localsrv-sealed 2 x y z", "vault-too-new"),
        ("localsrv-sealed 1 ../../etc/passwd AAAA", "vault-damaged"),
        ("localsrv-sealed 1 x.sealed AAAA", "vault-damaged"),
        ("localsrv-sealed 1", "vault-damaged"),
        ("localsrv-sealed 1 x.sealed !", "vault-damaged"),
    ],
)
async def test_entries_that_lead_nowhere(entry: str, code: str, use: Any, tmp_path: Path) -> None:
    memory = use(Memory())
    memory.held["localsrv:test", "a"] = entry
    vault = OsKeyring("localsrv:test", tmp_path)
    with pytest.raises(VaultError) as caught:
        await vault.get("a")
    assert (caught.value.code, vault.status.state) == (code, "unused")
    await vault.set("a", "new")
    assert await vault.get("a") == "new"


async def test_a_keyring_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    """Its session ends, or it crashes: an error at once, and everything is there when it is back."""
    if sys.platform != "linux":
        pytest.skip("only on Linux: Secret Service")
    folder = tmp_path / "session"
    vault = OsKeyring("localsrv:test", tmp_path / "large", timeout_s=30)
    with secret_service(folder) as session, keyring_of(session):
        await vault.set("a", "short")
        await vault.set("b", "long" * 1000)
    with keyring_of(session):
        for call in (vault.get("a"), vault.set("a", "x"), vault.delete("b")):
            with pytest.raises(VaultError) as caught:
                await call
            assert caught.value.code == "vault-failed"
        assert (await vault.probe()).state == "failing"
    shutil.rmtree(folder / "run")
    with secret_service(folder) as session, keyring_of(session):
        assert (await vault.get("a"), await vault.get("b")) == ("short", "long" * 1000)
        assert vault.status.state == "ok"


async def test_a_disk_that_is_full(use: Any, disk: Any) -> None:
    memory, folder = use(Memory()), disk(1)
    vault = OsKeyring("localsrv:test", folder / "large")
    await vault.set("a", "long" * 1000)
    filler = fill(folder)
    before = dict(memory.held)
    with pytest.raises(VaultError) as caught:
        await vault.set("a", "x" * 200_000)
    assert (caught.value.code, memory.held) == ("vault-failed", before)
    filler.unlink()
    assert await vault.get("a") == "long" * 1000


async def test_a_dialog_that_was_left_alone_is_not_shown_again_and_again(
    use: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading asks once and then for a while no more; storing always asks, and an unlocked one is used."""
    is_locked, dialogs = [True], [0]

    class Asking(Memory):
        def _ask(self) -> None:
            if is_locked[0]:
                dialogs[0] += 1
                raise keyring.errors.KeyringLocked("dismissed")

        def get_password(self, service: str, username: str) -> str | None:
            self._ask()
            return super().get_password(service, username)

        def set_password(self, service: str, username: str, password: str) -> None:
            self._ask()
            super().set_password(service, username, password)

    use(Asking())
    monkeypatch.setattr(backends, "is_locked", lambda backend: is_locked[0])
    vault = OsKeyring("localsrv:test", tmp_path)
    assert (await vault.probe()).state == "locked"
    assert dialogs == [0]
    for _ in range(3):
        with pytest.raises(VaultError, match="locked"):
            await vault.get("a")
    assert dialogs == [1]
    with pytest.raises(VaultError, match="locked"):
        await vault.set("a", "x")
    assert (dialogs, vault.status.state) == ([2], "locked")
    vault._quiet_until = 0.0  # as if the time were over
    with pytest.raises(VaultError, match="locked"):
        await vault.get("a")
    assert dialogs == [3]
    is_locked[0] = False
    await vault.set("a", "x")
    assert await vault.get("a") == "x"


async def test_two_files_cannot_be_swapped(use: Any, tmp_path: Path) -> None:
    """Nor entries: the name is bound to what it holds."""
    memory = use(Memory())
    vault = OsKeyring("localsrv:test", tmp_path)
    await vault.set("a", "of a" * 1000)
    await vault.set("b", "of b" * 1000)
    a, b = ("localsrv:test", "a"), ("localsrv:test", "b")
    memory.held[a], memory.held[b] = memory.held[b], memory.held[a]
    for name in "ab":
        with pytest.raises(VaultError) as caught:
            await vault.get(name)
        assert caught.value.code == "vault-damaged"
