"""The vault over `keyring`.

Backends block: a locked Secret Service waits for a dialog that nobody may ever see, and a hung one never
answers. So every call runs in a daemon thread with a time limit (`calls`). What no entry can hold is sealed
on disk with a key that the entry holds (`large`).

`keyring` is imported by the first call: it costs more than the rest of a start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from localsrv.base.errors import LocalsrvError, VaultError
from localsrv.vault import backends, large
from localsrv.vault.calls import Calls, start
from localsrv.vault.interface import Kind, State, VaultStatus, check_name, check_secret
from localsrv.vault.large import Large

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

QUIET_S = 600.0
"""How long reading shows no dialog again after a person left one alone. What reads may be a replication that
tries every minute; storing a secret is a person's own wish, and always asks."""

_log = logging.getLogger(__name__)
Result = TypeVar("Result")


class OsKeyring:
    """Secrets by name, in the keyring's entries of one service. All methods belong to one event loop."""

    kind: Kind = "os_keyring"

    def __init__(self, service: str, folder: Path, *, timeout_s: float = 5.0) -> None:
        """`folder` is for what no entry can hold; it is made when the first such secret comes."""
        self._service = service
        self._large = Large(folder)
        self._timeout_s = timeout_s
        self._backend: KeyringBackend | None = None
        self._quiet_until = -math.inf
        self._calls = Calls(timeout_s, self._why_silent)
        self._status = VaultStatus(self.kind, None, "unused")

    async def get(self, name: str) -> str | None:
        """The secret, or None if there is none. Raises VaultError."""
        check_name(name)

        def get(backend: KeyringBackend) -> str | None:
            if time.monotonic() < self._quiet_until and backends.is_locked(backend):
                raise _locked()
            entry = backend.get_password(self._service, name)
            return None if entry is None else self._large.secret(name, entry)

        return await self._call(get)

    async def set(self, name: str, secret: str) -> None:
        """As `interface.Vault`. One that the time limit cut off may still be stored afterwards."""
        check_name(name)
        check_secret(secret)

        def put(backend: KeyringBackend) -> None:
            entry = secret if large.fits(secret) else self._large.seal(name, secret)
            backend.set_password(self._service, name, entry)
            self._large.tidy(name, entry)

        await self._call(put)

    async def delete(self, name: str) -> bool:
        """Removes a secret; False if there was none. Raises VaultError."""
        check_name(name)

        def delete(backend: KeyringBackend) -> bool:
            # Backends raise one error for «not there» and «not allowed»; asking first tells them apart.
            is_there = backend.get_password(self._service, name) is not None
            if is_there:
                backend.delete_password(self._service, name)
            self._large.tidy(name, None)  # also what an interrupted change left
            return is_there

        return await self._call(delete)

    @property
    def status(self) -> VaultStatus:
        """How the last use went. Costs nothing: an idle server need not load `keyring` (9 MB) to say this."""
        return self._status

    async def probe(self) -> VaultStatus:
        """Finds out by a write and a read whether secrets can be kept now. Never opens a dialog: a locked
        keyring is only reported."""
        with contextlib.suppress(VaultError):
            if not await self._call(self._write_and_read, may_ask=False):
                self._note("failing")
        _log.info(
            "vault probed", extra={"fields": {"backend": self._status.backend, "state": self._status.state}}
        )
        return self._status

    def _note(self, state: State) -> None:
        self._status = VaultStatus(self.kind, backends.name(self._backend) if self._backend else None, state)

    def _write_and_read(self, backend: KeyringBackend) -> bool:
        if backends.is_locked(backend):
            raise _locked()
        entry, value = f"probe-{secrets.token_hex(4)}", secrets.token_urlsafe(12)
        backend.set_password(self._service, entry, value)
        found = backend.get_password(self._service, entry)
        backend.delete_password(self._service, entry)
        return found == value

    async def _call(self, work: Callable[[KeyringBackend], Result], *, may_ask: bool = True) -> Result:
        """`work` in a thread, one at a time, within the limit. Raises VaultError for all that goes wrong.
        `may_ask`: whether it may have shown a dialog."""
        try:
            result = await self._calls.call(lambda: work(self._open()))
        except VaultError as error:
            self._note_failure(error, may_ask)
            raise
        except LocalsrvError:
            raise
        except Exception as error:
            failure = _failed(error)
            self._note_failure(failure, may_ask)
            raise failure from None  # the cause may quote the secret
        self._note("ok")
        return result

    def _note_failure(self, error: VaultError, may_ask: bool) -> None:
        if may_ask and error.code == "vault-locked" and time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + QUIET_S
        if error.code not in _OF_ONE_SECRET:
            self._note(_STATES.get(error.code, "failing"))

    def _open(self) -> KeyringBackend:
        if self._backend is None:
            self._backend = backends.choose()
        return self._backend

    async def _why_silent(self) -> VaultError:
        """After a timeout: does the keyring wait for its person, or does it hang?"""
        backend = self._backend
        if backend is None:
            return _silent(self._timeout_s)
        outcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        start(lambda: backends.is_locked(backend), outcome)
        try:
            async with asyncio.timeout(min(1.0, self._timeout_s)):
                return _locked() if await outcome else _silent(self._timeout_s)
        except Exception as error:  # a hung service times out here too, or answers with any error of its own
            _log.info("a silent keyring", extra={"fields": {"error": type(error).__name__}})
            return _silent(self._timeout_s)


_STATES: dict[str, State] = {
    "vault-locked": "locked",
    "vault-absent": "absent",
    "vault-refused": "refused",
    "vault-silent": "silent",
}

_OF_ONE_SECRET = frozenset({"vault-damaged", "vault-too-new"})
"""Codes that say nothing about the keyring as a whole."""


def _locked() -> VaultError:
    return VaultError("The keyring is locked.", code="vault-locked", hint="Unlock it and try again.")


def _silent(limit: float) -> VaultError:
    return VaultError(
        f"The keyring does not answer within {limit:g} s.",
        code="vault-silent",
        hint="Look for a dialog that waits for you, or restart the keyring.",
    )


def _failed(error: Exception) -> VaultError:
    import keyring.errors

    if isinstance(error, keyring.errors.KeyringLocked):
        return _locked()
    return VaultError(
        "The keyring answered with an error.",
        code="vault-failed",
        details=type(error).__name__,
        hint="Run `localsrv doctor`.",
    )
