"""The vault over `keyring`.

Backends block: a locked Secret Service waits for a dialog that nobody may ever see, and a hung one never
answers. So every call runs in a daemon thread of its own with a time limit. A thread that is past its limit
cannot be ended; while one hangs, further calls fail at once instead of piling up threads behind it, and when
it returns at last the vault works again by itself.

`keyring` is imported by the first call: it costs more than the rest of a start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from localsrv.base.errors import InvalidValue, LocalsrvError, VaultError
from localsrv.vault import backends

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

State = Literal["unused", "ok", "locked", "absent", "refused", "silent", "failing"]
"""`unused`: nothing was asked of it yet. `absent`: no keyring here. `refused`: only ones that keep no
secrets. `silent`: it does not answer in time. `failing`: it answers with errors or does not give back what
was written."""

MAX_SECRET = 1200
"""Characters of one secret. Windows holds about 1,280 in an entry; the same everywhere, to be portable."""

_log = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class VaultStatus:
    """`backend`: its name, None when there is none. `state` as above."""

    backend: str | None
    state: State


class OsKeyring:
    """Secrets by name, in the keyring's entries of one service. All methods belong to one event loop."""

    def __init__(self, service: str, *, timeout_s: float = 5.0) -> None:
        self._service = service
        self._timeout_s = timeout_s
        self._backend: KeyringBackend | None = None
        self._turn = asyncio.Lock()
        self._hanging: threading.Thread | None = None
        self._why_hanging: VaultError | None = None
        self._status = VaultStatus(None, "unused")

    async def get(self, name: str) -> str | None:
        """The secret, or None if there is none. Raises VaultError."""
        return await self._call(lambda backend: backend.get_password(self._service, name))

    async def set(self, name: str, secret: str) -> None:
        """Stores a secret of 1 to `MAX_SECRET` characters. Raises VaultError, InvalidValue."""
        if not 0 < len(secret) <= MAX_SECRET or "\0" in secret:
            raise InvalidValue(f"A secret has 1 to {MAX_SECRET} characters and no NUL.", code="bad-secret")
        await self._call(lambda backend: backend.set_password(self._service, name, secret))

    async def delete(self, name: str) -> bool:
        """Removes a secret; False if there was none. Raises VaultError."""

        def delete(backend: KeyringBackend) -> bool:
            # Backends raise one error for «not there» and «not allowed»; asking first tells them apart.
            if backend.get_password(self._service, name) is None:
                return False
            backend.delete_password(self._service, name)
            return True

        return await self._call(delete)

    @property
    def status(self) -> VaultStatus:
        """How the last use went. Costs nothing: an idle server need not load `keyring` (9 MB) to say this."""
        return self._status

    async def probe(self) -> VaultStatus:
        """Finds out by a write and a read whether secrets can be kept now. Never opens a dialog: a locked
        keyring is only reported."""
        with contextlib.suppress(VaultError):
            if not await self._call(self._write_and_read):
                self._note("failing")
        _log.info(
            "vault probed", extra={"fields": {"backend": self._status.backend, "state": self._status.state}}
        )
        return self._status

    def _note(self, state: State) -> None:
        self._status = VaultStatus(backends.name(self._backend) if self._backend else None, state)

    def _write_and_read(self, backend: KeyringBackend) -> bool:
        if backends.is_locked(backend):
            raise _locked()
        entry, value = f"probe-{secrets.token_hex(4)}", secrets.token_urlsafe(12)
        backend.set_password(self._service, entry, value)
        found = backend.get_password(self._service, entry)
        backend.delete_password(self._service, entry)
        return found == value

    async def _call(self, work: Callable[[KeyringBackend], Result]) -> Result:
        """`work` in a thread, one at a time, within the limit. Raises VaultError for all that goes wrong."""
        try:
            result = await self._in_turn(work)
        except VaultError as error:
            self._note(_STATES.get(error.code, "failing"))
            raise
        self._note("ok")
        return result

    async def _in_turn(self, work: Callable[[KeyringBackend], Result]) -> Result:
        async with self._turn:
            if self._hanging is not None and self._hanging.is_alive():
                raise self._why_hanging or _silent(self._timeout_s)
            self._why_hanging = None
            outcome: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
            thread = _start(lambda: work(self._open()), outcome)
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await outcome
            except TimeoutError:
                self._hanging = thread
                self._why_hanging = await self._why_silent()
                raise self._why_hanging from None
            except LocalsrvError:
                raise
            except Exception as error:
                raise _failed(error) from error

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
        _start(lambda: backends.is_locked(backend), outcome)
        try:
            async with asyncio.timeout(min(1.0, self._timeout_s)):
                return _locked() if await outcome else _silent(self._timeout_s)
        except Exception:  # a hung service times out here too, or answers with any error of its own
            return _silent(self._timeout_s)


_STATES: dict[str, State] = {
    "vault-locked": "locked",
    "vault-absent": "absent",
    "vault-refused": "refused",
    "vault-silent": "silent",
}


def _start(work: Callable[[], Result], outcome: asyncio.Future[Result]) -> threading.Thread:
    """Runs `work` in a thread that does not hold up the end of the process, and reports to `outcome`."""
    loop = asyncio.get_running_loop()

    def report(result: Result | None, error: BaseException | None) -> None:
        if outcome.done():  # the caller stopped waiting
            return
        if error is None:
            outcome.set_result(result)  # type: ignore[arg-type]
        else:
            outcome.set_exception(error)

    def run() -> None:
        result: Result | None = None
        failure: BaseException | None = None
        try:
            result = work()
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(report, result, failure)

    thread = threading.Thread(target=run, name="vault", daemon=True)
    thread.start()
    return thread


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
