"""One child process, seen from the server: started, asked, watched by the clock, killed.

The clock measures the time between two messages. The child tells results about every tenth of a second while
it works through many documents, so a long request is no reason to kill it, but one document that takes longer
than `patience_s` is. Processor time would not do: a function can make the child wait for memory, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from localsrv.base.errors import DesignError, Unavailable
from localsrv.javascript.frames import BROKEN, HEADER, LAST, MAX_FRAME, PART, REQUEST, START_OVER, frame

COMMAND = "--javascript"
"""The argument that makes `localsrv` the child; see `localsrv.__main__`."""

_WINDOWS_NEEDS = ("SYSTEMROOT", "WINDIR")
"""Without these a process on Windows cannot load the system's own libraries."""


class JavaScriptError(DesignError):
    """A function failed as a whole. `error` and `message` are CouchDB's `error` and `reason`."""

    code = "javascript"


class Killed(JavaScriptError):
    """The child is gone: it took too long, used too much memory, or broke. `error` is `os_process_error`."""

    code = "javascript-killed"

    def __init__(self, reason: str, *, took_too_long: bool = False) -> None:
        super().__init__("os_process_error", reason)
        self.took_too_long = took_too_long


STARTING_S = 30.0
"""How long a child may take to start."""

TIMED_OUT = "OS process timed out."
"""CouchDB's words, which clients may know."""


class Worker:
    """A running child. One request at a time; after any `Killed` it is of no further use."""

    def __init__(self, process: asyncio.subprocess.Process, patience_s: float) -> None:
        self._process = process
        self._patience_s = patience_s
        self._was_killed = False

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked again, as far as is known by now."""
        return not self._was_killed and self._process.returncode is None

    @classmethod
    async def start(cls, command: Sequence[str], patience_s: float) -> Worker:
        """Raises Unavailable when the system starts no process."""
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                limit=1 << 20,
                env={name: os.environ[name] for name in _WINDOWS_NEEDS if name in os.environ},
                cwd=None if getattr(sys, "frozen", False) else Path(__file__).parents[2],
            )
        except OSError as error:
            raise Unavailable(
                f"JavaScript cannot be run: {error.strerror}.", code="javascript-unavailable"
            ) from error
        return cls(process, patience_s)

    async def ask(
        self, operation: str, options: Mapping[str, Any], body: bytes = b""
    ) -> AsyncGenerator[bytes | Mapping[str, Any], None]:
        """Sends a request. Gives the parts as JSON texts (arrays of results), then the answer's object.

        Raises:
            Killed: it took too long or broke; the child is ended. Also ended when the caller leaves early.
        """
        ended = False
        # A process may take its time to start on a busy machine, and no stranger's function runs then.
        patience_s = max(self._patience_s, STARTING_S) if operation == START_OVER else self._patience_s
        try:
            await self._send(frame(REQUEST, b"\n".join((operation.encode(), orjson.dumps(options), body))))
            while True:
                kind, content = await self._receive(patience_s)
                if kind == PART:
                    yield content
                    continue
                if kind == LAST:
                    ended = True
                    yield self._object(content)
                    return
                raise Killed(content.decode("utf-8", "replace") if kind == BROKEN else "no such message")
        finally:
            if not ended:
                self.kill()

    async def close(self) -> None:
        """Ends the child and waits until it is gone."""
        self.kill()
        await self._process.wait()

    def kill(self) -> None:
        self._was_killed = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _send(self, data: bytes) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        try:
            pipe.write(data)
            async with asyncio.timeout(self._patience_s):
                await pipe.drain()
        except TimeoutError:
            raise Killed(TIMED_OUT, took_too_long=True) from None
        except (ConnectionError, OSError, RuntimeError) as error:
            raise Killed(await self._how_it_ended()) from error

    async def _receive(self, patience_s: float) -> tuple[int, bytes]:
        pipe = self._process.stdout
        assert pipe is not None
        try:
            async with asyncio.timeout(patience_s):
                length, kind = HEADER.unpack(await pipe.readexactly(HEADER.size))
                if length > MAX_FRAME:
                    raise Killed("The JavaScript process answered too much.")
                return kind, await pipe.readexactly(length)
        except TimeoutError:
            raise Killed(TIMED_OUT, took_too_long=True) from None
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Killed(await self._how_it_ended()) from error

    def _object(self, content: bytes) -> Mapping[str, Any]:
        try:
            made = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise Killed("The JavaScript process answered no JSON.") from error
        if not isinstance(made, dict):
            raise Killed("The JavaScript process answered no object.")
        return made

    async def _how_it_ended(self) -> str:
        self.kill()
        return f"The JavaScript process ended (exit status {await self._process.wait()})."
