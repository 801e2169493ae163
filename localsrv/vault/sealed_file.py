"""The vault of machines without a keyring: one encrypted file, unlocked by a passphrase.

Every use reads the file and every change writes it anew (whole or not at all), so that what is on the disk
is what counts; what stays in memory while it is unlocked is the key. A file that was put in its place
meanwhile (a backup) is locked until somebody unlocks it. Nothing here ever replaces a file that it could not
open.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from localsrv.base.errors import Conflict, InvalidValue, LocalsrvError, VaultError
from localsrv.base.files import make_owner_folder, write_atomic
from localsrv.vault import sealed_format, sealing
from localsrv.vault.interface import Kind, State, VaultStatus, check_name, check_secret
from localsrv.vault.sealed_format import Key, Sealed
from localsrv.vault.sealing import Cost

LEAST_PASSPHRASE = 8
"""Characters of a new passphrase. Each guess costs a machine like this one 0.4 s; length is what counts."""

MOST_PASSPHRASE = 1024

_Result = TypeVar("_Result")


class WrongPassphrase(VaultError):
    """The file is whole; it was sealed with another passphrase."""

    status = 403
    code = "vault-wrong-passphrase"


class SealedFile:
    """Create it, then `unlock`; until then every use raises VaultError `vault-locked`.

    The methods without `await` in front block: they are for a start, before there is an event loop.
    """

    kind: Kind = "sealed_file"

    def __init__(self, path: Path, cost: Cost | None = None) -> None:
        """`cost` is for new files and passphrases; None takes the usual."""
        self.path = path
        self._cost = cost
        self._key: Key | None = None
        self._state: State | None = None  # what is wrong beside being locked or absent
        self._in_use = threading.Lock()

    @property
    def status(self) -> VaultStatus:
        return VaultStatus(self.kind, "sealed file", self._current_state())

    def _current_state(self) -> State:
        if not self.path.exists():
            return "absent"
        return self._state or ("locked" if self._key is None else "ok")

    # ── secrets ────────────────────────────────────────────────────────────────────────────────────────────

    async def get(self, name: str) -> str | None:
        check_name(name)
        return await self._do(lambda: self._entries()[1].get(name))

    async def set(self, name: str, secret: str) -> None:
        check_name(name)
        check_secret(secret)

        def work() -> None:
            key, entries = self._entries()
            entries[name] = secret
            self._write(key, entries)

        await self._do(work)

    async def delete(self, name: str) -> bool:
        check_name(name)

        def work() -> bool:
            key, entries = self._entries()
            if entries.pop(name, None) is None:
                return False
            self._write(key, entries)
            return True

        return await self._do(work)

    async def probe(self) -> VaultStatus:
        """Reads the file; while it is locked, its header. Writes nothing."""
        try:
            await self._do(self._read if self._key is None else self._entries)
        except LocalsrvError:
            return self.status  # says what
        return self.status

    # ── the passphrase ─────────────────────────────────────────────────────────────────────────────────────

    async def create(self, passphrase: str) -> None:
        """Makes an empty file and leaves it unlocked.

        Raises:
            Conflict: `vault-exists`; the file that is there is not touched.
            InvalidValue: the passphrase is too short or too long.
        """
        await self._do(lambda: self.create_now(passphrase))

    async def unlock(self, passphrase: str) -> None:
        """Raises WrongPassphrase, VaultError (`vault-absent`, `vault-damaged`, `vault-too-new`)."""
        await self._do(lambda: self.unlock_now(passphrase))

    async def lock(self) -> None:
        """Forgets the key."""

        def work() -> None:
            self._key = None

        await self._do(work)

    async def change_passphrase(self, old: str, new: str) -> None:
        """Seals everything anew. A crash leaves the file with either passphrase, whole. Also unlocks.
        Raises as `unlock` and `create`."""
        check_new_passphrase(new)

        def work() -> None:
            self.unlock_now(old)
            _, entries = self._entries()
            self._write(sealed_format.new_key(new, self._new_cost()), entries)

        await self._do(work)

    def create_now(self, passphrase: str) -> None:
        """As `create`. Blocks."""
        check_new_passphrase(passphrase)
        if not self.path.exists():  # a key costs half a second; the write below is what decides
            key = sealed_format.new_key(passphrase, self._new_cost())
            try:
                self._write(key, {}, replace=False)
            except FileExistsError:
                pass
            else:
                return
        raise Conflict(
            "There is a vault file already.",
            code="vault-exists",
            details=str(self.path),
            hint="Unlock that one: localsrv vault unlock.",
        )

    def unlock_now(self, passphrase: str) -> None:
        """As `unlock`. Blocks."""
        sealed = self._read()
        key = sealed_format.key_of(passphrase, sealed) if len(passphrase) <= MOST_PASSPHRASE else None
        if key is None:
            raise WrongPassphrase(
                "This is not the vault's passphrase.", hint="Try again; the file itself is whole."
            )
        self._open(sealed, key)
        self._key = key

    # ── inside: all of it in a thread ──────────────────────────────────────────────────────────────────────

    async def _do(self, work: Callable[[], _Result]) -> _Result:
        def one_at_a_time() -> _Result:
            # Held by the thread, not by the caller: one that is cancelled does not end its change.
            with self._in_use:
                return work()

        return await asyncio.to_thread(one_at_a_time)

    def _new_cost(self) -> Cost:
        return self._cost or sealing.usual_cost()

    def _read(self) -> Sealed:
        try:
            is_ours = self.path.stat().st_size <= sealed_format.MOST_BYTES
            content = self.path.read_bytes() if is_ours else b""
        except FileNotFoundError:
            self._key = None
            raise _absent() from None
        except OSError as error:
            self._state = "failing"
            raise _file_error("read", error) from error
        try:
            sealed = sealed_format.read(content)
        except VaultError as error:
            self._state = "too-new" if error.code == "vault-too-new" else "damaged"
            raise
        self._state = None
        return sealed

    def _open(self, sealed: Sealed, key: Key) -> dict[str, str]:
        try:
            return sealed_format.entries_of(sealed, key)
        except VaultError:
            self._state = "damaged"
            raise

    def _entries(self) -> tuple[Key, dict[str, str]]:
        sealed = self._read()
        if self._key is None or self._key.header != sealed.header:  # locked, or another file than before
            self._key = None
            raise _locked()
        return self._key, self._open(sealed, self._key)

    def _write(self, key: Key, entries: dict[str, str], *, replace: bool = True) -> None:
        content = sealed_format.write(key, entries)
        if len(content) > sealed_format.MOST_BYTES:
            raise InvalidValue(
                "The vault is full.", code="vault-full", details=f"{len(content)} bytes", hint="Remove some."
            )
        try:
            make_owner_folder(self.path.parent)
            write_atomic(self.path, content, replace=replace)
            for left in self.path.parent.glob(f".{self.path.name}.*"):  # by a crash in the middle of a write
                left.unlink()
        except FileExistsError:
            raise
        except OSError as error:
            raise _file_error("written", error) from error
        self._key = key


def check_new_passphrase(passphrase: str) -> None:
    """Raises InvalidValue for one that is too short or too long."""
    if not LEAST_PASSPHRASE <= len(passphrase) <= MOST_PASSPHRASE:
        raise InvalidValue(
            f"A passphrase has {LEAST_PASSPHRASE} to {MOST_PASSPHRASE} characters.",
            code="bad-passphrase",
            hint="Four or five words that nobody else would put together are good and easy to keep.",
        )


def _locked() -> VaultError:
    return VaultError("The vault is locked.", code="vault-locked", hint="Unlock it: localsrv vault unlock.")


def _absent() -> VaultError:
    return VaultError(
        "There is no vault file.",
        code="vault-absent",
        hint="Put it back if it was moved away, or make a new one: localsrv vault unlock --create.",
    )


def _file_error(what: str, error: OSError) -> VaultError:
    return VaultError(
        f"The vault's file cannot be {what}: {error.strerror or type(error).__name__}.",
        code="vault-failed",
        hint="Nothing was changed. See localsrv doctor for its place.",
    )
