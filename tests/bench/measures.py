"""What is compared. Each function measures its sides in turn, `runs` times over, and returns table rows."""

from __future__ import annotations

import http.client
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench import load, processes, sides
from tests.bench.report import Row, at_least, at_most, number, paired
from tests.support.server import RunningServer
from tests.support.waiting import wait_until


class Settings:
    """How often, how long and where. `frozen` is the bundle's executable, if it was built."""

    def __init__(self, folder: Path, runs: int, seconds: float, frozen: Path | None) -> None:
        self.folder = folder
        self.runs = runs
        self.seconds = seconds
        self.frozen = frozen

    def load(self, base: str, script: str, connections: int, **options: object) -> load.Load:
        return load.run(base, script, connections=connections, seconds=self.seconds, **options)  # type: ignore[arg-type]

    def paths(self, name: str, lines: Sequence[str]) -> str:
        """A file of request paths for `read.lua`."""
        file = self.folder / f"{name}.paths"
        file.write_text("\n".join(lines) + "\n")
        return str(file)


def app_file(server: RunningServer) -> Path:
    """The SQLite file of the bench's app."""
    return server.home / "data" / "apps" / sides.APP / "app.db"


def _statements(file: Path) -> list[str]:
    """The CREATE statements of the collection's table and its indexes, as the store wrote them."""
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        found = connection.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name = 'items' AND type IN ('table', 'index') "
            "AND sql IS NOT NULL ORDER BY type DESC"
        ).fetchall()
    connection.close()
    return [sql for (sql,) in found]


def _plain_copy(file: Path, statements: Sequence[str]) -> None:
    """An empty file with the same table."""
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode=WAL")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def creates(settings: Settings) -> list[Row]:
    """Durable single creates, at 64 connections and at one."""
    rows = []
    with sides.localsrv(settings.folder / "creates") as server:
        statements = _statements(app_file(server))
        for connections in (64, 1):
            ours, theirs = [], []
            for run in range(settings.runs):
                plain = settings.folder / f"floor-{connections}-{run}.db"
                _plain_copy(plain, statements)
                with sides.floor("insert", str(plain)) as base:
                    theirs.append(settings.load(base, "create", connections, arguments=["/"]).per_second)
                found = settings.load(
                    server.url_by_address, "create", connections, token=server.token, arguments=[sides.REST]
                )
                ours.append(found.per_second)
            title = f"durable create, {connections} connection{'s' if connections > 1 else ''}"
            rows.append(at_least(title, "/s", ours, theirs, "grouped insert", 0.6))
    return rows


def _send(server: RunningServer, bodies: Sequence[bytes]) -> float:
    """POST the bodies one after the other on one connection; returns seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    started = time.perf_counter()
    for body in bodies:
        connection.request("POST", sides.REST, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 201, (answer.status, text[:500])
    taken = time.perf_counter() - started
    connection.close()
    return taken


def _executemany(source: Path, target: Path) -> float:
    """Insert the rows that the store wrote into a plain table with its columns and indexes; seconds."""
    _plain_copy(target, _statements(source))
    reader = sqlite3.connect(f"file:{source}?mode=ro", uri=True)
    rows = reader.execute("SELECT * FROM items").fetchall()
    reader.close()
    connection = sqlite3.connect(target, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    started = time.perf_counter()
    connection.execute("BEGIN")
    connection.executemany(f"INSERT INTO items VALUES ({','.join('?' * len(rows[0]))})", rows)
    connection.execute("COMMIT")
    taken = time.perf_counter() - started
    connection.close()
    return taken


def bulk(settings: Settings, count: int = 100_000) -> list[Row]:
    """`count` documents inserted over HTTP, 10,000 in a request."""
    bodies = sides.bodies(count)
    ours, theirs = [], []
    for run in range(settings.runs):
        with sides.localsrv(settings.folder / f"bulk-{run}") as server:
            ours.append(count / _send(server, bodies))
            theirs.append(count / _executemany(app_file(server), settings.folder / f"bulk-{run}.db"))
    return [at_least(f"bulk insert of {count:,}", "/s", ours, theirs, "executemany", 0.35)]


def _read(
    settings: Settings, server: RunningServer, paths: str, connections: int, headers: Sequence[str] = ()
) -> float:
    arguments = [paths, *headers]
    base = server.url_by_address
    return settings.load(base, "read", connections, token=server.token, arguments=arguments).per_second


def _beside_constant(
    settings: Settings, server: RunningServer, what: str, lines: Sequence[str], goal: float
) -> Row:
    """Reads of `lines` beside a program that answers constant bytes of the same size."""
    size = len(server.request("GET", lines[0]).body)
    paths = settings.paths(what.replace(" ", "-"), lines)
    ours, theirs = [], []
    with sides.floor("constant", size) as base:
        for _ in range(settings.runs):
            constant = settings.load(base, "read", 64, token=server.token, arguments=[paths])
            theirs.append(constant.per_second)
            ours.append(_read(settings, server, paths, 64))
    return at_least(what, "/s", ours, theirs, f"{size:,} constant bytes", goal)


def reads(settings: Settings, count: int = 100_000) -> list[Row]:
    """Get by id, and a filter that an index serves, beside constant bytes."""
    with sides.localsrv(settings.folder / "reads") as server:
        _send(server, sides.bodies(count))
        by_id = [f"{sides.REST}?id=eq.{found}" for found in sides.ids(server, 1000)]
        categories = range(0, count // sides.PER_CATEGORY, 7)
        by_category = [f"{sides.REST}?category=eq.{n}" for n in categories]
        return [
            _beside_constant(settings, server, "get by id", by_id, 0.5),
            _beside_constant(
                settings, server, f"indexed filter, {sides.PER_CATEGORY} of {count:,}", by_category, 0.25
            ),
        ]


def growth(settings: Settings, small: int = 10_000, large: int = 1_000_000) -> list[Row]:
    """The same reads on a hundred times the documents: an index must make the size nearly invisible."""
    with (
        sides.localsrv(settings.folder / "small") as few,
        sides.localsrv(settings.folder / "large") as many,
    ):
        _send(few, sides.bodies(small))
        _send(many, sides.bodies(large))
        loads = {
            "get by id": (lambda s, n: [f"{sides.REST}?id=eq.{i}" for i in sides.ids(s, 1000)], ()),
            "indexed filter": (lambda s, n: _by_category(n, "category=eq.{}"), ()),
            "count of an indexed filter": (
                lambda s, n: _by_category(n, "category=eq.{}&limit=1"),
                ("Prefer: count=exact",),
            ),
        }
        rows = []
        for what, (lines, headers) in loads.items():
            name = what.replace(" ", "-")
            few_paths = settings.paths(f"few-{name}", lines(few, small))
            many_paths = settings.paths(f"many-{name}", lines(many, large))
            in_few, in_many = [], []
            for _ in range(settings.runs):
                in_few.append(_read(settings, few, few_paths, 16, headers))
                in_many.append(_read(settings, many, many_paths, 16, headers))
            ratio = paired(in_few, in_many)
            rows.append(
                Row(
                    f"{what}, {large:,} documents",
                    f"{number(sorted(in_many)[len(in_many) // 2])} /s",
                    f"{small:,} documents: {number(sorted(in_few)[len(in_few) // 2])} /s",
                    f"{ratio:.2f} times slower",
                    "≤ 3",
                    ratio <= 3,
                )
            )
        return rows


def _by_category(count: int, query: str) -> list[str]:
    categories = count // sides.PER_CATEGORY
    step = max(1, categories // 1000)
    return [f"{sides.REST}?{query.format(n)}" for n in range(0, categories, step)]


def beside_lite(settings: Settings) -> list[Row]:
    """Creates and gets beside @supabase/lite, 16 connections."""
    if sides.node() is None:
        return [Row("beside @supabase/lite", "", "needs Node.js 22", "", "≥ 5", None)]
    port = sides.free_port()
    with (
        sides.localsrv(settings.folder / "beside") as server,
        sides.lite(settings.folder / "lite", port) as lite,
    ):
        our_creates, our_gets, their_creates, their_gets = [], [], [], []
        for _ in range(settings.runs):
            their_creates.append(_lite(settings, lite, "create", ["/rest/v1/items"]))
            created = settings.load(
                server.url_by_address, "create", 16, token=server.token, arguments=[sides.REST]
            )
            our_creates.append(created.per_second)
        ours = settings.paths("ours", [f"{sides.REST}?id=eq.{i}" for i in sides.ids(server, 1000)])
        theirs = settings.paths("theirs", [f"/rest/v1/items?id=eq.{i}" for i in range(1, 1001)])
        for _ in range(settings.runs):
            their_gets.append(_lite(settings, lite, "read", [theirs]))
            our_gets.append(_read(settings, server, ours, 16))
        memory, their_memory = processes.resident_mb(server.pid), processes.resident_mb(lite.pid)
    beside = "@supabase/lite 0.10"
    return [
        at_least("create, 16 connections", "/s", our_creates, their_creates, beside, 5),
        at_least("get by id, 16 connections", "/s", our_gets, their_gets, beside, 5),
        Row(
            "resident after that",
            f"{memory:.0f} MB",
            f"{beside}: {their_memory:.0f} MB",
            f"{memory / their_memory:.2f}",
            "",
            None,
        ),
    ]


def _lite(settings: Settings, lite: sides.Lite, script: str, arguments: Sequence[str]) -> float:
    return settings.load(lite.url, script, 16, token=lite.key, arguments=arguments).per_second


@contextmanager
def _started(home: Path, command: Sequence[str]) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """A server that was started just now, and the milliseconds until it answered its first request."""
    port = sides.free_port()
    environment = os.environ | {
        "LOCALSRV_HOME": str(home),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "PYTHONDONTWRITEBYTECODE"):
        environment.pop(name, None)
    begun = time.perf_counter()
    process = subprocess.Popen(
        [*command, "serve", "--port", str(port)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _is_healthy(port), what="the first answer")
        yield process, (time.perf_counter() - begun) * 1000
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/api/v1/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _start_times(home: Path, command: Sequence[str], runs: int) -> list[float]:
    """Milliseconds to the first answer; the home exists already, as at every start but the first."""
    times = []
    for run in range(runs + 1):
        with _started(home, command) as (_, taken):
            if run > 0:
                times.append(taken)
    return times


def start_and_idle(settings: Settings) -> list[Row]:
    """Start to first answer; memory and wake-ups of a server that nobody uses."""
    runs = max(settings.runs, 5)
    source = [sys.executable, "-m", "localsrv"]
    home = settings.folder / "start"
    rows = [at_most("start to first answer, from source", "ms", _start_times(home, source, runs), 450)]
    if settings.frozen is not None:
        times = _start_times(settings.folder / "start-frozen", [str(settings.frozen)], runs)
        rows.append(at_most("start to first answer, frozen", "ms", times, 350))
    with _started(home, source) as (process, _):
        time.sleep(5)
        wakes = processes.wake_ups(process.pid, 30)
        rows.append(at_most("resident, idle", "MB", [processes.resident_mb(process.pid)], 65))
        rows.append(at_most("wake-ups in 30 idle seconds", "", [wakes], 0))
    return rows


MEASURES = {
    "creates": creates,
    "reads": reads,
    "bulk": bulk,
    "growth": growth,
    "lite": beside_lite,
    "start": start_and_idle,
}
