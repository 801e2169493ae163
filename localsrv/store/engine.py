"""The one thread that writes a file.

Theory of operation. Writes are *operations*: functions of a `Transaction`, run on the writer's own
connection. The writer takes all operations that wait when a transaction begins (a *group*), runs them
in it, commits once (one fsync), and only then answers every caller. When an operation fails, the group is run
again with each operation in a savepoint, so that it fails alone; nearly always none fails, and the two
statements a savepoint costs are saved. When SQLite drops the whole transaction (disk full, I/O error,
interrupt) or COMMIT itself fails, the group is replayed one operation per transaction. So one bad write never
fails its neighbours. Operations must therefore be safe to run again: whatever they change outside the file
goes through `Transaction.after_commit`.
"""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from localsrv.base.errors import QueryTimeout, Unavailable
from localsrv.store.driver import Connection, connect, sqlite3, translate

if TYPE_CHECKING:
    from localsrv.store.review import Written

T = TypeVar("T")

MAX_GROUP = 512
MAX_WAITING = 10_000


class Transaction:
    """What an operation works with: the connection, and what shall happen once it is durable.

    `last_seq` is the highest sequence number given in it, 0 while none was. `written` takes what is written,
    where somebody wants to know (`store.review`).
    """

    __slots__ = ("connection", "effects", "execute", "executemany", "last_seq", "time_is_noted", "written")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.execute = connection.execute
        self.executemany = connection.executemany
        self.time_is_noted = False
        self.last_seq = 0
        self.effects: list[Callable[[], None]] = []
        self.written: list[Written] | None = None

    def after_commit(self, effect: Callable[[], None]) -> None:
        """Runs `effect` on the writer thread after COMMIT returned, in order; never after a rollback."""
        self.effects.append(effect)

    def mark(self) -> tuple[int, int, bool]:
        """A point to `reset` to when a savepoint of the operation's own is rolled back."""
        return len(self.effects), self.last_seq, self.time_is_noted

    def reset(self, mark: tuple[int, int, bool]) -> None:
        """Forgets what was noted since `mark`."""
        effects, self.last_seq, self.time_is_noted = mark
        del self.effects[effects:]


class RollbackAfter(Exception):
    """Raised by an operation to be rolled back and still answer `result`."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


class _Operation(Generic[T]):
    __slots__ = ("alone", "effects", "error", "function", "future", "last_seq", "result", "too_slow")

    def __init__(self, function: Callable[[Transaction], T], future: asyncio.Future[T], alone: bool) -> None:
        self.function = function
        self.future = future
        self.alone = alone
        self.result: T | None = None
        self.error: BaseException | None = None
        self.effects: list[Callable[[], None]] = []
        self.last_seq = 0
        self.too_slow: QueryTimeout | None = None


class Writer:
    """The one thread that writes a file."""

    def __init__(
        self,
        path: Path,
        setup: Callable[[Connection], None],
        on_commit: Callable[[int], None] = lambda newest: None,
    ) -> None:
        """`setup` prepares the connection.

        `on_commit` runs on the writer thread after each group with the highest sequence number that was
        kept, 0 when there was none.
        """
        self._path = path
        self._setup = setup
        self._on_commit = on_commit
        self._held: _Operation[Any] | None = None
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Operation[Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"writer {path.parent.name}", daemon=True)
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._closed = False
        self._is_bloated = False
        self._waiting = 0

    async def start(self) -> None:
        """Opens the file and prepares it. Raises StorageError."""
        self._thread.start()
        await self._ready

    def submit(self, function: Callable[[Transaction], T], *, alone: bool = False) -> asyncio.Future[T]:
        """Queues an operation; the future is done when its transaction is durable or it failed.

        `alone` gives it a transaction of its own: for changes of the schema, after which the
        operations behind it must see the new one.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        if self._closed:
            future.set_exception(Unavailable("The store is closing.", code="closing"))
        elif self._waiting >= MAX_WAITING:
            future.set_exception(
                Unavailable("Too many writes are waiting; try again in a moment.", code="overloaded")
            )
        else:
            self._waiting += 1
            self._queue.put(_Operation(function, future, alone))
        return future

    async def close(self) -> None:
        """Finishes what was submitted, checkpoints and closes."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    # ---- on the writer thread

    def _run(self) -> None:
        try:
            connection = connect(self._path)
            self._prepare(connection)
        except BaseException as error:
            self._loop.call_soon_threadsafe(self._opened, translate(error, self._path))
            return
        self._loop.call_soon_threadsafe(self._opened, None)
        more = True
        while more:
            group, more = self._take()
            if group:
                try:
                    self._commit(connection, group)
                except BaseException as error:
                    # A defect of ours; the thread must outlive it, or every later write would wait for ever.
                    for operation in group:
                        operation.error = operation.error or error
                self._loop.call_soon_threadsafe(self._deliver, group)
        connection.close()

    def _prepare(self, connection: Connection) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        if sys.platform == "darwin":
            connection.execute("PRAGMA fullfsync=ON")
            connection.execute("PRAGMA checkpoint_fullfsync=ON")
        connection.execute("PRAGMA wal_autocheckpoint=4000")
        connection.execute(f"PRAGMA journal_size_limit={64 << 20}")
        self._setup(connection)

    def _opened(self, error: BaseException | None) -> None:
        if self._ready.done():
            return
        if error is None:
            self._ready.set_result(None)
        else:
            self._closed = True
            self._ready.set_exception(error)

    def _take(self) -> tuple[list[_Operation[Any]], bool]:
        """The next group, waiting for one; False behind it when it is the last."""
        first, self._held = self._held or self._queue.get(), None
        if first is None:
            return [], False
        group = [first]
        while len(group) < MAX_GROUP and not first.alone:
            try:
                operation = self._queue.get_nowait()
            except queue.Empty:
                break
            if operation is None:
                return group, False
            if operation.alone:
                self._held = operation
                break
            group.append(operation)
        return group, True

    def _commit(self, connection: Connection, group: list[_Operation[Any]]) -> None:
        kept = self._attempt(connection, group, _run_together)
        if kept is False and len(group) > 1:
            kept = self._attempt(connection, group, _run_in_savepoint)
            if kept is False:
                for operation in group:
                    self._attempt(connection, [operation], _run_together)
        if self._is_bloated:
            self._is_bloated = not _gave_back(connection)
        for operation in group:
            for effect in operation.effects:
                effect()
        self._on_commit(max(operation.last_seq for operation in group))

    def _attempt(
        self,
        connection: Connection,
        group: list[_Operation[Any]],
        run: Callable[[Connection, _Operation[Any]], None],
    ) -> bool | None:
        """Runs a group in one transaction; each operation then has its result or error.

        Returns whether it was kept; None when it could not even begin, so that trying again is no use now.
        """
        begun = None
        try:
            connection.execute("BEGIN IMMEDIATE")
            begun = False
            for operation in group:
                run(connection, operation)
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._is_bloated = self._is_bloated or _is_full(error)
            for operation in group:
                _fail(operation, error)
            return begun
        return True

    # ---- on the event loop

    def _deliver(self, group: list[_Operation[Any]]) -> None:
        self._waiting -= len(group)
        for operation in group:
            if operation.future.done():  # its caller went away; the write is durable all the same
                continue
            if operation.error is not None:
                operation.future.set_exception(operation.error)
            else:
                operation.future.set_result(operation.result)


def _run_together(connection: Connection, operation: _Operation[Any]) -> None:
    """Runs one operation of a transaction that is kept whole or not at all."""
    if operation.too_slow is not None:  # others need not wait for it a second time
        raise operation.too_slow
    operation.error = None
    transaction = Transaction(connection)
    try:
        operation.result = operation.function(transaction)
    except QueryTimeout as error:
        operation.too_slow = error
        raise
    operation.effects = transaction.effects
    operation.last_seq = transaction.last_seq


def _run_in_savepoint(connection: Connection, operation: _Operation[Any]) -> None:
    """Runs one operation that may fail alone. Raises only when the whole transaction is gone."""
    connection.execute("SAVEPOINT operation")
    try:
        _run_together(connection, operation)
    except BaseException as error:
        if not connection.in_transaction or _drops_everything(error):
            raise
        connection.execute("ROLLBACK TO operation")
        _fail(operation, error)
    connection.execute("RELEASE operation")


def _fail(operation: _Operation[Any], error: BaseException) -> None:
    """Notes why an operation was rolled back, or what it answers all the same."""
    operation.effects, operation.last_seq = [], 0
    if isinstance(error, RollbackAfter):
        operation.result, operation.error = error.result, None
    elif isinstance(error, sqlite3.Error | OverflowError):
        operation.error = translate(error)
    else:
        operation.error = error


def _is_full(error: BaseException) -> bool:
    return (getattr(error, "sqlite_errorname", None) or "").startswith("SQLITE_FULL")


def _gave_back(connection: Connection) -> bool:
    """Whether the WAL could be emptied, which a transaction too large for the disk has blown up.

    What it holds goes to the file first, and even that may find no room as yet.
    """
    try:
        busy: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.Error:
        return False
    return not busy


def _drops_everything(error: BaseException) -> bool:
    """Errors of SQLite after which the transaction may not be trusted, whether or not SQLite ended it."""
    name = getattr(error, "sqlite_errorname", None) or ""
    return name.startswith(
        ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_NOMEM", "SQLITE_INTERRUPT", "SQLITE_CORRUPT")
    )
