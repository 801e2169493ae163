"""The sealed file's form: three lines of text, then everything else encrypted.

    localsrv vault 1
    {"check": …, "function": "argon2id", "lanes": 4, "memory_kib": 65536, "rounds": 3, "salt": …}
    <SHA-256 of the two lines above>
    <nonce, AES-256-GCM of the JSON {"entries": {name: secret}}, bound to the three lines>

Every version keeps these three lines. The checksum tells a damaged header from a wrong passphrase, and a
newer version's file from a damaged one; `check` (HMAC by the second half of the derived key) tells a wrong
passphrase from a damaged body. Neither is what protects the secrets: that is the encryption, which covers
the header. Names are sealed with the secrets: the file does not say what is in it.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

from localsrv.base.errors import VaultError
from localsrv.vault import sealing
from localsrv.vault.interface import damaged, too_new
from localsrv.vault.sealing import Cost

VERSION = 1
MOST_BYTES = 64 << 20
"""A file of this size is no vault."""

_FIRST_WORDS = b"localsrv vault "
_CHECKED = b"localsrv vault passphrase check"


class Key:
    """What a passphrase became: the key, and the three lines that belong to it. Its `repr` shows neither."""

    __slots__ = ("header", "secret")

    def __init__(self, secret: bytes, header: bytes) -> None:
        self.secret = secret
        self.header = header


class Sealed(NamedTuple):
    """A file's parts, not yet opened. `header` is the three lines."""

    header: bytes
    cost: Cost
    salt: bytes
    check: bytes
    body: bytes


def new_key(passphrase: str, cost: Cost) -> Key:
    """A key of its own salt for this passphrase. Slow on purpose; blocks."""
    salt = secrets.token_bytes(sealing.SALT_BYTES)
    derived = sealing.derive(passphrase, salt, cost, 2 * sealing.KEY_BYTES)
    fields = {
        "check": _check(derived).hex(),
        "function": cost.function,
        "lanes": cost.lanes,
        "memory_kib": cost.memory_kib,
        "rounds": cost.rounds,
        "salt": base64.b64encode(salt).decode(),
    }
    lines = _FIRST_WORDS + f"{VERSION}\n{json.dumps(fields, sort_keys=True)}\n".encode()
    return Key(derived[: sealing.KEY_BYTES], lines + sha256(lines).hexdigest().encode() + b"\n")


def key_of(passphrase: str, sealed: Sealed) -> Key | None:
    """The key of a file, or None when the passphrase is not its own. Slow on purpose; blocks."""
    derived = sealing.derive(passphrase, sealed.salt, sealed.cost, 2 * sealing.KEY_BYTES)
    if not hmac.compare_digest(_check(derived), sealed.check):
        return None
    return Key(derived[: sealing.KEY_BYTES], sealed.header)


def _check(derived: bytes) -> bytes:
    return hmac.digest(derived[sealing.KEY_BYTES :], _CHECKED, "sha256")


def write(key: Key, entries: Mapping[str, str]) -> bytes:
    """The whole file."""
    content = json.dumps({"entries": dict(entries)}, ensure_ascii=False).encode()
    return key.header + sealing.seal(key.secret, content, key.header)


def entries_of(sealed: Sealed, key: Key) -> dict[str, str]:
    """What a file holds, by name. Raises VaultError `vault-damaged`."""
    try:
        found = json.loads(sealing.unseal(key.secret, sealed.body, sealed.header))
        return dict(found["entries"])
    except (sealing.CannotOpen, ValueError, KeyError, TypeError):
        raise _damaged() from None


def read(content: bytes) -> Sealed:
    """A file's parts.

    Raises:
        VaultError: `vault-damaged`, or `vault-too-new` for a file of a later version.
    """
    first, second, third, body = ([*content.split(b"\n", 3), b"", b"", b""])[:4]
    lines = first + b"\n" + second + b"\n"
    if not first.startswith(_FIRST_WORDS) or third.decode("ascii", "replace") != sha256(lines).hexdigest():
        raise _damaged()
    version = first.removeprefix(_FIRST_WORDS)
    if version != str(VERSION).encode():
        raise too_new("The vault's file")
    return _parts(second, lines + third + b"\n", body)


def _parts(second: bytes, header: bytes, body: bytes) -> Sealed:
    try:
        fields = json.loads(second)
        cost = Cost(fields["function"], fields["memory_kib"], fields["rounds"], fields["lanes"])
        salt = base64.b64decode(fields["salt"], validate=True)
        check = bytes.fromhex(fields["check"])
        is_sane = cost.is_sane and len(salt) >= sealing.SALT_BYTES and len(check) == sealing.KEY_BYTES
    except (KeyError, TypeError, ValueError, RecursionError):
        raise _damaged() from None
    if not is_sane:
        raise _damaged()
    return Sealed(header, cost, salt, check, body)


def _damaged() -> VaultError:
    return damaged(
        "The vault's file is damaged: it cannot be opened, whatever the passphrase.",
        "It is left as it is. Put a copy from a backup in its place; localsrv doctor says where it lies.",
    )
