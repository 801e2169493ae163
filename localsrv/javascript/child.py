"""The child process that runs other people's JavaScript.

It is started as `localsrv --javascript`, with an empty environment, and knows nothing: no token, no file, no
socket but its standard input and output. Design documents come from peers, so what they hold must be taken
for hostile. QuickJS itself gives scripts no way out (no files, no network, no modules), bounds their heap and
their stack; the operating system bounds the process where it can; the parent watches the clock and kills.

Only the standard library and QuickJS are imported here: the process needs 10 MB and 20 ms to start.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

# The package `quickjs` would start a thread at import; the engine is in the module beneath it.
import _quickjs

from localsrv.javascript.frames import BROKEN, HEADER, LAST, PART, START_OVER, frame

HEAP_BYTES = 256 << 20
STACK_BYTES = 1 << 20
PROCESS_BYTES = 1 << 30
"""Address space of the whole process, the interpreter and the messages included."""


ALONE_S = 60.0
"""How long the child goes on without a word. The server loses its patience long before; this is for a
function without end whose server was killed, so that there is nobody left to end it."""


def main() -> None:
    """Answers requests until standard input ends."""
    _limit_process()
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    text = (Path(__file__).parent / "environment.js").read_text("utf-8")
    answer: Any = None
    while (request := _read(source)) is not None:
        operation, options, body = request
        _alarm(ALONE_S)
        try:
            if operation == START_OVER:
                answer = _context(text, sink)
                made = '{"result":true,"log":[]}'
            else:
                made = answer(operation, options, body)
            reply = frame(LAST, made.encode())
        except Exception as error:  # of the engine: a script's own errors come back as text
            _write(sink, frame(BROKEN, str(error)[:500].encode("utf-8", "replace")))
            return
        _alarm(0)
        _write(sink, reply)


def _context(text: str, sink: BinaryIO) -> Any:
    """The `answer` of `environment.js` in a fresh context, which it keeps alive."""
    context = _quickjs.Context()
    context.set_memory_limit(HEAP_BYTES)
    context.set_max_stack_size(STACK_BYTES)

    def send(part: str) -> None:
        _alarm(ALONE_S)
        _write(sink, frame(PART, part.encode()))

    context.add_callable("send", send)
    callable_send = context.get("send")
    context.eval("delete globalThis.send")
    return context.eval(text)(callable_send)


def _alarm(seconds: float) -> None:
    """Ends the process after so many seconds, whatever it does then; 0 calls that off. Not on Windows."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit_process() -> None:
    """Bounds the address space, where the system lets a process do so (not Windows; macOS ignores it)."""
    try:
        import resource
    except ImportError:
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (PROCESS_BYTES, PROCESS_BYTES))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read(source: BinaryIO) -> tuple[str, str, str] | None:
    header = source.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    length, _ = HEADER.unpack(header)
    operation, options, body = source.read(length).split(b"\n", 2)
    return operation.decode(), options.decode(), body.decode()


def _write(sink: BinaryIO, data: bytes) -> None:
    sink.write(data)
    sink.flush()
