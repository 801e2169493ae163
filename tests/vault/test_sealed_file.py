"""The sealed file: its passphrase, and every kind of damage. What it shares with other vaults is in
`tests/contract/test_vaults.py`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from localsrv.base.errors import Conflict, InvalidValue, VaultError
from localsrv.vault import SealedFile, WrongPassphrase, sealed_format
from tests.support.disks import fill, read_only
from tests.support.vault_kinds import CHEAP, PASSPHRASE

OTHER = "another passphrase"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vault" / "secrets.sealed"


async def made(path: Path, **secrets: str) -> SealedFile:
    """An unlocked file with these secrets."""
    vault = SealedFile(path, CHEAP)
    await vault.create(PASSPHRASE)
    for name, secret in secrets.items():
        await vault.set(name, secret)
    return vault


async def code_of(call: object) -> str:
    with pytest.raises(VaultError) as caught:
        await call  # type: ignore[misc]
    assert caught.value.hint, "says what to do"
    return caught.value.code


async def test_locked_until_its_passphrase_comes(path: Path) -> None:
    await made(path, a="secret")
    before = path.read_bytes()
    vault = SealedFile(path, CHEAP)
    assert vault.status.state == "locked"
    assert "locked" in vault.status.words
    for call in (vault.get("a"), vault.set("a", "x"), vault.delete("a")):
        assert await code_of(call) == "vault-locked"
    for wrong in (OTHER, "", PASSPHRASE + " ", PASSPHRASE.upper(), "x" * 10_000, "\ud800", "a\0b"):
        assert await code_of(vault.unlock(wrong)) == "vault-wrong-passphrase"
    assert (vault.status.state, path.read_bytes()) == ("locked", before)
    await vault.unlock(PASSPHRASE)
    assert (vault.status.state, await vault.get("a")) == ("ok", "secret")
    await vault.lock()
    assert await code_of(vault.get("a")) == "vault-locked"


async def test_without_a_file(path: Path) -> None:
    vault = SealedFile(path, CHEAP)
    assert (vault.status.state, (await vault.probe()).state) == ("absent", "absent")
    for call in (vault.get("a"), vault.set("a", "x"), vault.delete("a"), vault.unlock(PASSPHRASE)):
        assert await code_of(call) == "vault-absent"
    assert not path.parent.exists(), "nothing makes one but `create`"


async def test_create_never_replaces_a_file(path: Path) -> None:
    vault = await made(path, a="secret")
    before = path.read_bytes()
    for again in (vault, SealedFile(path, CHEAP)):
        with pytest.raises(Conflict) as caught:
            await again.create(OTHER)
        assert caught.value.code == "vault-exists"
    path.write_bytes(b"")
    with pytest.raises(Conflict):
        await SealedFile(path, CHEAP).create(OTHER)
    path.write_bytes(before)
    assert await vault.get("a") == "secret"


@pytest.mark.parametrize("passphrase", ["", "short", "1234567", "x" * 1025])
async def test_new_passphrases_that_are_refused(path: Path, passphrase: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        await SealedFile(path, CHEAP).create(passphrase)
    assert caught.value.code == "bad-passphrase"
    assert not path.exists()
    vault = await made(path, a="secret")
    with pytest.raises(InvalidValue):
        await vault.change_passphrase(PASSPHRASE, passphrase)
    assert await SealedFile(path).probe()


async def test_a_passphrase_may_be_composed_either_way(path: Path) -> None:
    vault = SealedFile(path, CHEAP)
    await vault.create("cafe\u0301 au lait")
    await vault.lock()
    await vault.unlock("caf\u00e9 au lait")
    assert vault.status.state == "ok"


async def test_changing_the_passphrase(path: Path) -> None:
    vault = await made(path, a="secret")
    before = path.read_bytes()
    assert await code_of(vault.change_passphrase(OTHER, "a third passphrase")) == "vault-wrong-passphrase"
    assert path.read_bytes() == before
    await vault.change_passphrase(PASSPHRASE, OTHER)
    assert await vault.get("a") == "secret", "it stays unlocked"
    assert sealed_format.read(before).salt != sealed_format.read(path.read_bytes()).salt
    later = SealedFile(path, CHEAP)
    with pytest.raises(WrongPassphrase):
        await later.unlock(PASSPHRASE)
    await later.unlock(OTHER)
    assert await later.get("a") == "secret"
    locked = SealedFile(path, CHEAP)
    await locked.change_passphrase(OTHER, PASSPHRASE)
    assert await locked.get("a") == "secret", "also from a locked one"


async def test_every_write_has_its_own_nonce(path: Path) -> None:
    vault = await made(path)
    bodies = set()
    for _ in range(5):
        await vault.set("a", "the same")
        bodies.add(sealed_format.read(path.read_bytes()).body)
    assert len(bodies) == 5


# ── damage ─────────────────────────────────────────────────────────────────────────────────────────────────


async def _notices(path: Path, unlocked: SealedFile, content: bytes) -> set[str]:
    """What a file with this content is called, locked and unlocked; it must be left as it is."""
    path.write_bytes(content)
    locked = SealedFile(path, CHEAP)
    calls = (
        locked.unlock(PASSPHRASE),
        locked.unlock(OTHER),
        locked.change_passphrase(PASSPHRASE, OTHER),
        unlocked.set("a", "new"),
        unlocked.delete("a"),
        unlocked.get("a"),
    )
    told = {await code_of(call) for call in calls}
    assert path.read_bytes() == content, "it was written over"
    return told


@pytest.mark.timeout(300)
async def test_every_flipped_byte_is_noticed(path: Path) -> None:
    """In the header as damage and never as a wrong passphrase; in the body, whose header is whole, as damage
    to whoever has the passphrase."""
    vault = await made(path, a="secret")
    whole = path.read_bytes()
    header = len(sealed_format.read(whole).header)
    for at in range(len(whole)):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << (at % 8)
        told = await _notices(path, vault, bytes(flipped))
        allowed = {"vault-damaged"} if at < header else {"vault-damaged", "vault-wrong-passphrase"}
        assert told == allowed, (at, whole[at : at + 1], told)
        path.write_bytes(whole)
        assert await vault.get("a") == "secret"


@pytest.mark.timeout(300)
async def test_every_truncation_is_noticed(path: Path) -> None:
    vault = await made(path, a="secret")
    whole = path.read_bytes()
    header = len(sealed_format.read(whole).header)
    for size in range(len(whole)):
        told = await _notices(path, vault, whole[:size])
        assert told == {"vault-damaged"} | ({"vault-wrong-passphrase"} if size >= header - 1 else set()), size
    told = await _notices(path, vault, whole + b"\0")
    assert told == {"vault-damaged", "vault-wrong-passphrase"}


def _with_lines(whole: bytes, change: Callable[[list[bytes]], None]) -> bytes:
    """The file with changed lines and a checksum that is right."""
    lines = whole.split(b"\n", 3)
    change(lines)
    lines[2] = sha256(lines[0] + b"\n" + lines[1] + b"\n").hexdigest().encode()
    return b"\n".join(lines)


async def test_a_file_of_a_newer_version(path: Path) -> None:
    vault = await made(path, a="secret")
    whole = path.read_bytes()

    def newer(lines: list[bytes]) -> None:
        lines[:2] = [b"localsrv vault 2", b"whatever comes"]

    assert await _notices(path, vault, _with_lines(whole, newer)) == {"vault-too-new"}
    assert (await SealedFile(path).probe()).state == "too-new"
    path.write_bytes(whole.replace(b"vault 1", b"vault 2", 1))
    assert await code_of(SealedFile(path).unlock(PASSPHRASE)) == "vault-damaged", "a flipped digit is damage"


HEADERS: dict[str, object] = {
    "no object": [],
    "nothing": None,
    "deep": "[" * 100_000,
    "no function": {"function": None},
    "another function": {"function": "md5"},
    "all memory": {"memory_kib": 2**40},
    "no memory": {"memory_kib": 0},
    "negative": {"rounds": -1},
    "for hours": {"rounds": 10**9},
    "a text": {"memory_kib": "64"},
    "a fraction": {"memory_kib": 64.5},
    "many lanes": {"lanes": 10**6},
    "too little for its lanes": {"lanes": 64},
    "a flag": {"rounds": True},
    "scrypt, no power of two": {"function": "scrypt", "memory_kib": 1000},
    "no salt": {"salt": ""},
    "a salt that is none": {"salt": "!"},
    "half a check": {"check": "00"},
    "a check that is none": {"check": "zz"},
}


@pytest.mark.parametrize("change", HEADERS.values(), ids=HEADERS)
async def test_a_header_cannot_ask_for_everything(path: Path, change: object) -> None:
    """With a checksum that is right, as somebody would make it on purpose."""
    await made(path, a="secret")

    def ask(lines: list[bytes]) -> None:
        if isinstance(change, str):
            lines[1] = change.encode()
        else:
            known = json.loads(lines[1])
            lines[1] = json.dumps(known | change if isinstance(change, dict) else change).encode()

    path.write_bytes(_with_lines(path.read_bytes(), ask))
    assert await code_of(SealedFile(path).unlock(PASSPHRASE)) == "vault-damaged"
    assert (await SealedFile(path).probe()).state == "damaged"


async def test_a_file_without_end_is_not_read(path: Path) -> None:
    vault = await made(path)
    with path.open("r+b") as file:
        file.truncate(sealed_format.MOST_BYTES + 1)
    assert await code_of(vault.get("a")) == "vault-damaged"


async def test_a_copy_that_is_put_back_is_locked(path: Path, tmp_path: Path) -> None:
    """The same key may open it, or not: it is not taken for the file that was unlocked."""
    vault = await made(path, a="old")
    shutil.copy(path, tmp_path / "backup")
    await vault.set("a", "new")
    shutil.copy(tmp_path / "backup", path)
    assert await vault.get("a") == "old", "what is on the disk is what counts"
    await vault.change_passphrase(PASSPHRASE, OTHER)
    shutil.copy(tmp_path / "backup", path)
    assert await code_of(vault.set("a", "newer")) == "vault-locked"
    assert vault.status.state == "locked"
    await vault.unlock(PASSPHRASE)
    assert await vault.get("a") == "old"


async def test_a_file_that_goes_away(path: Path) -> None:
    vault = await made(path, a="secret")
    kept = path.rename(path.with_name("away"))
    for call in (vault.get("a"), vault.set("a", "x"), vault.delete("a")):
        assert await code_of(call) == "vault-absent"
    assert not path.exists(), "no new file hides that the old one is gone"
    kept.rename(path)
    assert await code_of(vault.get("a")) == "vault-locked"


# ── disks that refuse ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_full_disk(disk: Callable[[int], Path]) -> None:
    folder = disk(1)
    vault = await made(folder / "vault" / "secrets.sealed", a="secret")
    filler = fill(folder)
    assert await code_of(vault.set("a", "x" * 100_000)) == "vault-failed"
    assert await vault.get("a") == "secret"
    filler.unlink()
    await vault.set("a", "x" * 100_000)
    assert sorted(f.name for f in vault.path.parent.iterdir()) == ["secrets.sealed"]


async def test_a_read_only_disk(path: Path) -> None:
    vault = await made(path, a="secret")
    with read_only(path.parent):
        assert await code_of(vault.set("a", "x")) == "vault-failed"
        assert await code_of(vault.change_passphrase(PASSPHRASE, OTHER)) == "vault-failed"
        assert await vault.get("a") == "secret"
    await vault.set("a", "x")


async def test_a_vault_that_grows_too_large(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_format, "MOST_BYTES", 5000)
    vault = await made(path, a="secret")
    with pytest.raises(InvalidValue) as caught:
        await vault.set("b", "x" * 5000)
    assert caught.value.code == "vault-full"
    assert (await vault.get("a"), await vault.get("b")) == ("secret", None)


async def test_what_a_crash_left_of_a_write_goes_with_the_next(path: Path) -> None:
    vault = await made(path)
    (path.parent / f".{path.name}.0123456789ab").write_bytes(b"half")
    await vault.set("a", "secret")
    assert [file.name for file in path.parent.iterdir()] == [path.name]
