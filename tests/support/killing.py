"""Ends a program at every moment that matters to what it leaves on the disk, as a power cut would.

A run is a child of its own (forked, so that starting one costs nothing); it kills itself without warning at
its n-th *point*: after each change of a file, of a keyring's entry, and of the list in
`system.db`. After each death another child looks at what is left. POSIX only.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

_FILE_CALLS = {"replace", "rename", "unlink", "remove", "link", "fsync"}
_KEYRING_CALLS = {"set_password", "delete_password"}
MOST_POINTS = 1000


def _is_point(frame: FrameType, event: str, argument: Any) -> bool:
    if event == "c_return":
        return argument.__name__ in _FILE_CALLS and getattr(argument, "__module__", None) == "posix"
    if event != "return":
        return False
    name, file = frame.f_code.co_name, frame.f_code.co_filename
    return (name in _KEYRING_CALLS and "keyring" in file) or (
        name == "work" and file.endswith("vault_entries.py")
    )


def kill_at(number: int) -> None:
    """In this thread and those that begin from now on: dies at the point of this number, from 1."""
    seen = 0

    def look(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal seen
        if _is_point(frame, event, argument):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(look)
    sys.setprofile(look)


def _in_child(work: Callable[[], Awaitable[None]]) -> int:
    """The exit code of a child that does this, negative for a signal."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            asyncio.run(work())  # type: ignore[arg-type]
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def at_every_point(
    prepare: Callable[[], Awaitable[None]],
    work: Callable[[], Awaitable[None]],
    look: Callable[[bool], Awaitable[None]],
) -> int:
    """Prepares, works until the n-th point and looks, for n from 1 until the work survives; how many deaths.

    `look` is told whether the work was done, and raises what is wrong. Raises SystemExit then.
    """
    for number in range(1, MOST_POINTS):

        async def run(number: int = number) -> None:
            kill_at(number)
            await work()

        if _in_child(prepare) != 0:
            raise SystemExit("it could not be prepared")
        ended = _in_child(run)
        if ended not in (0, -signal.SIGKILL):
            raise SystemExit(f"the work failed at point {number}")
        if _in_child(lambda ended=ended: look(ended == 0)) != 0:  # type: ignore[misc]
            raise SystemExit(f"after point {number}: see above")
        if ended == 0:
            return number - 1
    raise SystemExit("it never came to its end")
