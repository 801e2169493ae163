"""Secrets that no keyring entry can hold, sealed in a file each.

Windows holds about 1,280 characters of UTF-16 in an entry, and no keyring holds a NUL. Such a secret is
encrypted with a key of its own, new at every write, and the entry names file and key instead:

    localsrv-sealed 1 <file> <key>

The entry is what counts. A new file is complete on the disk before the entry names it, and the old one goes
after that: a crash at any moment leaves the old secret or the new one, and at worst a file whose key nobody
has any more, which the next change of that name removes. Deleting the entry deletes the key.
"""

from __future__ import annotations

import base64
import secrets
from hashlib import sha256
from pathlib import Path

from localsrv.base.errors import VaultError
from localsrv.base.files import make_owner_folder, write_atomic
from localsrv.vault import sealing
from localsrv.vault.interface import damaged, too_new

MAX_ENTRY = 1200
"""UTF-16 units of what an entry holds itself: the same everywhere, so that secrets can move."""

_MARK = "localsrv-sealed "
_VERSION = "1"
_FIRST_LINE = b"localsrv sealed secret 1\n"


def fits(secret: str) -> bool:
    """Whether a keyring's entry holds it as it is."""
    is_short = len(secret.encode("utf-16-le")) <= 2 * MAX_ENTRY
    return is_short and "\0" not in secret and not secret.startswith(_MARK)


class Large:
    """The files of one folder. Every method blocks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def seal(self, name: str, secret: str) -> str:
        """Writes the file; returns the entry that leads to it. Raises VaultError, and nothing is kept
        then."""
        key, file = sealing.new_key(), f"{_digest(name)}-{secrets.token_hex(8)}.sealed"
        content = _FIRST_LINE + sealing.seal(key, secret.encode(), _bound(name))
        try:
            make_owner_folder(self._folder)
            write_atomic(self._folder / file, content)
        except OSError as error:
            raise VaultError(
                f"The sealed part of a secret cannot be written: {error.strerror or type(error).__name__}.",
                code="vault-failed",
                details=str(self._folder),
                hint="Nothing was changed.",
            ) from error
        return f"{_MARK}{_VERSION} {file} {base64.urlsafe_b64encode(key).decode()}"

    def secret(self, name: str, entry: str) -> str:
        """The secret that an entry stands for. Raises VaultError when it cannot be opened."""
        if not entry.startswith(_MARK):
            return entry
        file, key = _parts(entry)
        try:
            content = (self._folder / file).read_bytes()
        except FileNotFoundError:
            raise _lost("is gone") from None
        except OSError as error:
            raise _lost(f"cannot be read ({error.strerror or type(error).__name__})") from error
        if not content.startswith(_FIRST_LINE):
            raise _lost("is damaged")
        try:
            return sealing.unseal(key, content.removeprefix(_FIRST_LINE), _bound(name)).decode()
        except (sealing.CannotOpen, UnicodeDecodeError):
            raise _lost("is damaged") from None

    def tidy(self, name: str, entry: str | None) -> None:
        """Removes what was left of a name, but for the file that its entry leads to."""
        kept = None if entry is None or not entry.startswith(_MARK) else _parts(entry)[0]
        digest = _digest(name)
        for file in (*self._folder.glob(f"{digest}-*"), *self._folder.glob(f".{digest}-*")):
            if file.name != kept:  # a hidden one is what a crash left of a write
                try:
                    file.unlink()
                except OSError:  # nobody has its key; the next change of this name tries again
                    continue


def _parts(entry: str) -> tuple[str, bytes]:
    """The file and the key that an entry names. Raises VaultError."""
    version, _, rest = entry.removeprefix(_MARK).partition(" ")
    if version != _VERSION:
        raise too_new("A secret")
    file, _, key = rest.partition(" ")
    if Path(file).name != file or not file.endswith(".sealed"):
        raise _lost("has a wrong name in the keyring")
    try:
        return file, base64.b64decode(key, altchars=b"-_", validate=True)
    except ValueError:
        raise _lost("has a wrong key in the keyring") from None


def _digest(name: str) -> str:
    return sha256(name.encode()).hexdigest()[:32]


def _bound(name: str) -> bytes:
    return _FIRST_LINE + name.encode()


def _lost(how: str) -> VaultError:
    return damaged(
        f"The sealed part of a secret {how}.",
        "Restore the data folder from a backup, or set the secret again.",
    )
