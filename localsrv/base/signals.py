"""The ways in which the system asks a server to leave, as one callback on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def leaving(on_leave: Callable[[], None]) -> Iterator[None]:
    """Calls `on_leave` on the running loop at every request to leave, as long as the block runs.

    Those are SIGTERM, Ctrl-C and the end of the terminal; on Windows Ctrl-C, Ctrl-Break, the console's
    close button, logging off and shutting down. Windows ends the process when its handler returns, so that
    the handler waits until the block was left (Windows gives it 5 seconds).
    """
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":
        with _console_handler(loop, on_leave):
            yield
        return
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, on_leave)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


if sys.platform == "win32":

    @contextlib.contextmanager
    def _console_handler(loop: asyncio.AbstractEventLoop, on_leave: Callable[[], None]) -> Iterator[None]:
        import ctypes

        left = threading.Event()

        # https://learn.microsoft.com/windows/console/handlerroutine
        def handle(event: int) -> int:
            with contextlib.suppress(RuntimeError):  # the loop is closed: leaving already
                loop.call_soon_threadsafe(on_leave)
            if event >= 2:  # close, log off, shut down
                left.wait(5)
            return 1

        handler = ctypes.WINFUNCTYPE(ctypes.c_int, ctypes.c_uint)(handle)
        kernel = ctypes.windll.kernel32
        kernel.SetConsoleCtrlHandler(handler, 1)
        try:
            yield
        finally:
            left.set()
            kernel.SetConsoleCtrlHandler(handler, 0)
