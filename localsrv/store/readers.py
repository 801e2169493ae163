"""A few threads that read a file.

Each has a read-only connection of its own and runs what it is given in one read transaction, with a deadline
(`deadline`).
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from localsrv.base.errors import Unavailable
from localsrv.store import deadline
from localsrv.store.driver import Connection, connect, sqlite3, translate

T = TypeVar("T")


class Reader:
    """One read-only connection with a deadline."""

    __slots__ = ("connection",)

    def __init__(self, path: Path, setup: Callable[[Connection], None]) -> None:
        self.connection = connect(path, read_only=True)
        setup(self.connection)
        deadline.watch(self.connection)

    def run(self, function: Callable[[Connection], T], seconds: float) -> T:
        """Runs `function` in one read transaction (one state of the file), at most `seconds`.

        Raises:
            QueryTimeout: it took longer.
            StorageError: the file could not be read.
        """
        deadline.begin(seconds)
        try:
            self.connection.execute("BEGIN")
            return function(self.connection)
        except sqlite3.Error as error:
            raise translate(error) from error
        finally:
            deadline.end()
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")


class Readers:
    """A few reader threads, each with its own connection, started when first needed.

    Not an executor: its locks and second future cost more than a small query (measured: 36 of 130
    microseconds of an indexed filter).
    """

    def __init__(self, path: Path, setup: Callable[[Connection], None], threads: int = 4) -> None:
        self._path = path
        self._setup = setup
        self._limit = threads
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Reading[Any] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._unanswered = 0
        self._closed = False

    async def run(self, function: Callable[[Connection], T], seconds: float) -> T:
        """Runs `function` on a reader thread; see `Reader.run`. Raises Unavailable while closing."""
        if self._closed:
            raise Unavailable("The store is closing.", code="closing")
        self._unanswered += 1
        if len(self._threads) < min(self._unanswered, self._limit):
            self._start_thread()
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Reading(function, seconds, future))
        try:
            return await future
        finally:
            self._unanswered -= 1

    async def close(self) -> None:
        """Finishes what was asked for and closes the connections."""
        self._closed = True
        for _ in self._threads:
            self._queue.put(None)
        await asyncio.to_thread(self._join)

    def _start_thread(self) -> None:
        name = f"reader {self._path.parent.name}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        """What a reader thread does until `close`."""
        reader: Reader | None = None
        while (reading := self._queue.get()) is not None:
            if reading.future.cancelled():  # its caller went away before its turn
                continue
            try:
                reader = reader or Reader(self._path, self._setup)
                result = reader.run(reading.function, reading.seconds)
            except BaseException as error:
                self._loop.call_soon_threadsafe(_refuse, reading.future, error)
            else:
                self._loop.call_soon_threadsafe(_answer, reading.future, result)
        if reader is not None:
            reader.connection.close()


class _Reading(Generic[T]):
    __slots__ = ("function", "future", "seconds")

    def __init__(
        self, function: Callable[[Connection], T], seconds: float, future: asyncio.Future[T]
    ) -> None:
        self.function = function
        self.seconds = seconds
        self.future = future


def _answer(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _refuse(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
