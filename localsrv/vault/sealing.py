"""Authenticated encryption, and keys from passphrases. The only user of `cryptography`.

It is imported by the first call: it costs 9 MB of memory, which an idle server need not spend.
"""

from __future__ import annotations

import secrets
from typing import Any, Literal, NamedTuple

from localsrv.base.errors import VaultError

KEY_BYTES = 32
NONCE_BYTES = 12
SALT_BYTES = 16


class CannotOpen(Exception):
    """Wrong key, or what was sealed is no longer what it was: AEAD does not tell them apart."""


def new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def seal(key: bytes, content: bytes, bound: bytes) -> bytes:
    """`content` in AES-256-GCM under a random nonce, which comes first. `bound` is not in it, but must be
    the same when it is opened: it ties a sealed text to its name and place."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, bound)


def unseal(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    """What `seal` was given. Raises CannotOpen."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):  # ValueError: shorter than a nonce
        raise CannotOpen from None


class Cost(NamedTuple):
    """What deriving a key from a passphrase costs whoever guesses. `memory_kib` and `lanes` as Argon2id
    counts them; with scrypt `memory_kib` is its n, since r is 8, `rounds` its p, and `lanes` 1."""

    function: Literal["argon2id", "scrypt"]
    memory_kib: int
    rounds: int
    lanes: int

    @property
    def is_sane(self) -> bool:
        """Whether a file may ask for it: one that was made to take all memory or hours is not obeyed."""
        numbers = (self.memory_kib, self.rounds, self.lanes)
        if not all(type(number) is int and number >= 1 for number in numbers):
            return False
        if self.memory_kib > _MOST_MEMORY_KIB or self.rounds > 64 or self.lanes > 64:
            return False
        if self.function == "argon2id":
            return self.memory_kib >= 8 * self.lanes
        is_power = self.memory_kib > 1 and self.memory_kib & (self.memory_kib - 1) == 0
        return self.function == "scrypt" and is_power and self.lanes == 1


_MOST_MEMORY_KIB = 4 * 1024 * 1024


ARGON2ID = Cost("argon2id", 64 * 1024, 3, 4)
"""RFC 9106's second recommended choice: 64 MiB and three passes, 0.4 s on two old cores."""

SCRYPT = Cost("scrypt", 128 * 1024, 1, 1)
"""n = 2^17, r = 8, p = 1 (OWASP). For builds of `cryptography` whose OpenSSL has no Argon2."""


def usual_cost() -> Cost:
    """What new files are made with here."""
    return ARGON2ID if _has_argon2() else SCRYPT


def _has_argon2() -> bool:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    try:
        Argon2id(salt=bytes(SALT_BYTES), length=16, iterations=1, lanes=1, memory_cost=8)
    except UnsupportedAlgorithm:
        return False
    return True


def derive(passphrase: str, salt: bytes, cost: Cost, length: int) -> bytes:
    """A key from a passphrase, as slow as `cost` says. Blocks, without holding up other threads.

    The same passphrase typed on another system may be composed otherwise (NFD on macOS), so it is brought
    into NFC first (RFC 8265). Raises VaultError when this machine cannot.
    """
    import unicodedata

    from cryptography.exceptions import UnsupportedAlgorithm

    text = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    try:
        return bytes(_function(salt, cost, length).derive(text))
    except UnsupportedAlgorithm:
        raise VaultError(
            f"This build of OpenSSL has no {cost.function}.",
            code="vault-failed",
            hint="Install `cryptography` from its own wheel, which has it.",
        ) from None
    except MemoryError:
        raise VaultError(
            f"There are no {cost.memory_kib // 1024} MB of memory to unlock the vault with.",
            code="vault-failed",
            hint="End other programs and try again.",
        ) from None


def _function(salt: bytes, cost: Cost, length: int) -> Any:
    if cost.function == "argon2id":
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

        return Argon2id(
            salt=salt, length=length, iterations=cost.rounds, lanes=cost.lanes, memory_cost=cost.memory_kib
        )
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=length, n=cost.memory_kib, r=8, p=cost.rounds)
