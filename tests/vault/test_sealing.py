"""Keys from passphrases, and what is encrypted with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from localsrv.base.errors import VaultError
from localsrv.vault import SealedFile, sealed_format, sealing
from localsrv.vault.sealing import ARGON2ID, SCRYPT, Cost

SCRYPT_CHEAP = Cost("scrypt", 16, 1, 1)


def test_what_new_files_cost() -> None:
    """A guess needs 64 MiB and three passes, as RFC 9106 recommends."""
    assert sealing.usual_cost() == ARGON2ID == Cost("argon2id", 64 * 1024, 3, 4)
    assert ARGON2ID.is_sane and SCRYPT.is_sane


def test_known_answers() -> None:
    """Made with the reference implementations: `argon2` (20190702) and RFC 7914."""
    cost = Cost("argon2id", 65536, 2, 1)
    assert sealing.derive("password", b"somesalt", cost, 32).hex() == (
        "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"
    )
    scrypt = Cost("scrypt", 16384, 1, 1)
    assert (
        sealing.derive("pleaseletmein", b"SodiumChloride", scrypt, 64)
        .hex()
        .startswith("7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2")
    )


async def test_scrypt_where_there_is_no_argon2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build without Argon2 makes files of its own, and says so of others'."""
    monkeypatch.setattr(sealing, "_has_argon2", lambda: False)
    assert sealing.usual_cost() == SCRYPT
    vault = SealedFile(tmp_path / "f", SCRYPT_CHEAP)
    await vault.create("correct horse")
    await vault.set("a", "secret")
    again = SealedFile(tmp_path / "f")
    await again.unlock("correct horse")
    assert await again.get("a") == "secret"
    assert sealed_format.read((tmp_path / "f").read_bytes()).cost == SCRYPT_CHEAP


def test_not_enough_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hungry:
        def derive(self, text: bytes) -> bytes:
            raise MemoryError

    monkeypatch.setattr(sealing, "_function", lambda *_: Hungry())
    with pytest.raises(VaultError, match="64 MB"):
        sealing.derive("x", bytes(16), ARGON2ID, 32)


def test_sealed_is_bound() -> None:
    key = sealing.new_key()
    sealed = sealing.seal(key, b"content", b"name")
    assert sealing.unseal(key, sealed, b"name") == b"content"
    assert sealing.seal(key, b"content", b"name") != sealed
    for wrong in (
        (sealing.new_key(), sealed, b"name"),
        (key, sealed, b"other"),
        (key, sealed[:-1], b"name"),
        (key, b"", b"name"),
        (key, sealed[:12], b"name"),
        (b"short", sealed, b"name"),
    ):
        with pytest.raises(sealing.CannotOpen):
            sealing.unseal(*wrong)
