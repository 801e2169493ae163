"""The children: which design document runs where.

A *program* is what one design document says, for one purpose (its views, or its functions). Each program runs
in one child at a time, so that a function which never ends keeps nobody but its own callers waiting, and a
child serves one program after the other, each in a fresh context. There are at most `MAX_CHILDREN`; a child
that nobody asked for `IDLE_S` is ended. The first request starts the first child.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from localsrv.javascript.frames import START_OVER
from localsrv.javascript.worker import JavaScriptError, Killed, Worker

log = logging.getLogger("localsrv.javascript")

MAX_CHILDREN = 4
IDLE_S = 60.0
MOST_BYTES = 8 << 20
"""How long the answers to one request may grow where they are wanted all together."""

PATIENCE_S = 5.0
"""How long one call of a function may take: CouchDB's `os_process_timeout`."""


_NOT_ASKED = "The JavaScript process answered for other documents than it was asked about."


@dataclass(frozen=True, slots=True)
class Program:
    """A design document for one purpose. `key` tells programs apart; `name` is for the log."""

    key: str
    name: str
    design: bytes
    """What `require` sees, as JSON."""


def _parsed(worker: Worker, part: bytes) -> Any:
    try:
        return orjson.loads(part)
    except orjson.JSONDecodeError as error:
        worker.kill()
        raise Killed("The JavaScript process answered no JSON.") from error


@dataclass(slots=True)
class _Child:
    worker: Worker | None = None
    holds: str | None = None
    busy: bool = False
    idle: asyncio.TimerHandle | None = field(default=None, repr=False)


class JavaScript:
    """All the children of a server. `command` starts localsrv itself."""

    def __init__(
        self, command: Sequence[str], *, patience_s: float = PATIENCE_S, idle_s: float = IDLE_S
    ) -> None:
        self._command = list(command)
        self._patience_s = patience_s
        self._idle_s = idle_s
        self._children: list[_Child] = []
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}
        self._free = asyncio.Semaphore(MAX_CHILDREN)
        self._ending: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        for child in self._children:
            self._stop(child)
        self._children.clear()
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def run(
        self, program: Program, operation: str, options: Mapping[str, Any], lines: Sequence[bytes]
    ) -> list[Any]:
        """The results of an operation of `environment.js` for `lines`, a JSON text each.

        Raises:
            JavaScriptError: the function, or the design document, failed as a whole. Killed: see there.
        """
        results: list[Any] = []
        size = 0
        async with aclosing(self.stream(program, operation, options, lines)) as parts:
            async for part, length in parts:
                results += part
                size += length
                if size > MOST_BYTES and len(results) < len(lines):
                    raise Killed("The JavaScript process answered too much.")
        return results

    async def stream(
        self,
        program: Program,
        operation: str,
        options: Mapping[str, Any],
        lines: Sequence[bytes],
        *,
        in_pieces: bool = False,
    ) -> AsyncGenerator[tuple[list[Any], int], None]:
        """As `run`, giving the results for some of the lines at a time, in order, and how long they are.

        What is long comes in many parts, and the child waits while nobody takes them. `in_pieces`: an object
        among the results is a piece of what the next one goes on with, and the last lines may be left out.
        """
        body = b"\n".join(lines)
        left = len(lines)
        async with self._child(program) as worker, aclosing(worker.ask(operation, options, body)) as answers:
            async for part in answers:
                if isinstance(part, bytes):
                    results, size = _parsed(worker, part), len(part)
                else:
                    results, size = self._result(program, worker, part), 0
                if isinstance(results, list):
                    left -= sum(type(one) is not dict for one in results) if in_pieces else len(results)
                if not isinstance(results, list) or left < 0:
                    worker.kill()
                    raise Killed(_NOT_ASKED)
                yield results, size
            if left and (left == len(lines) or not in_pieces):
                worker.kill()
                raise Killed(_NOT_ASKED)

    def _result(self, program: Program, worker: Worker, answer: Mapping[str, Any]) -> Any:
        for line in answer.get("log") or ():
            log.info("%s: %s", program.name, line)
        if "error" in answer:
            error, reason = str(answer["error"]), str(answer.get("reason"))
            if error == "InternalError":  # memory is gone, and who knows what still holds it
                worker.kill()
            raise JavaScriptError(error, reason)
        return answer.get("result")

    # ── children ───────────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def _child(self, program: Program) -> AsyncIterator[Worker]:
        """A child that holds the program, for one caller at a time."""
        async with self._turn(program.key), self._free:
            child = self._choose(program.key)
            child.busy = True
            if child.idle is not None:
                child.idle.cancel()
                child.idle = None
            try:
                yield await self._prepare(child, program)
            finally:
                child.busy = False
                if child.worker is None or not child.worker.is_alive:
                    self._discard(child)
                else:
                    loop = asyncio.get_running_loop()
                    child.idle = loop.call_later(self._idle_s, self._discard, child)

    @asynccontextmanager
    async def _turn(self, key: str) -> AsyncIterator[None]:
        """One caller of a program after the other."""
        lock, waiting = self._locks.get(key) or (asyncio.Lock(), 0)
        self._locks[key] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._locks[key]
            if waiting == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, waiting - 1)

    def _choose(self, key: str) -> _Child:
        """A child that is not busy: the one that holds the program, else a new one, else the longest idle."""
        for child in self._children[:]:
            if not child.busy and (child.worker is None or not child.worker.is_alive):
                self._discard(child)  # it died while nobody looked
        idle = [child for child in self._children if not child.busy]
        for child in idle:
            if child.holds == key:
                return child
        if len(self._children) < MAX_CHILDREN:
            self._children.append(_Child())
            return self._children[-1]
        self._children.remove(idle[0])  # last in the list is last used
        self._children.append(idle[0])
        return idle[0]

    async def _prepare(self, child: _Child, program: Program) -> Worker:
        if child.worker is None:
            child.worker = await Worker.start(self._command, self._patience_s)
        if child.holds != program.key:
            child.holds = None
            for operation, body in ((START_OVER, b""), ("design", program.design)):
                async for answer in child.worker.ask(operation, {}, body):
                    assert not isinstance(answer, bytes)
                    self._result(program, child.worker, answer)
            child.holds = program.key
        return child.worker

    def _discard(self, child: _Child) -> None:
        if child in self._children:
            self._children.remove(child)
        self._stop(child)

    def _stop(self, child: _Child) -> None:
        if child.idle is not None:
            child.idle.cancel()
        if child.worker is not None:
            task = asyncio.get_running_loop().create_task(child.worker.close())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            child.worker = None
