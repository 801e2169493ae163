"""The sync face beside PouchDB Server, and by itself. Each function returns table rows."""

from __future__ import annotations

import json
import selectors
import socket
import sqlite3
import time
from contextlib import ExitStack
from pathlib import Path

from tests.bench import processes, sync_sides
from tests.bench.measures import Settings
from tests.bench.report import Row, at_least, at_most, number
from tests.bench.sync_sides import CouchSide
from tests.support.server import RunningServer

CLIENTS = 16


def sync_singles(settings: Settings) -> list[Row]:
    """PUT of new documents and GET by id, 16 clients."""
    puts: tuple[list[float], list[float]] = ([], [])
    gets: tuple[list[float], list[float]] = ([], [])
    for run in range(settings.runs):
        folder = settings.folder / f"sync-singles-{run}"
        with (
            sync_sides.localsrv(folder / "ours") as (ours, _),
            sync_sides.pouchdb_server(folder / "theirs") as theirs,
        ):
            for side, put, get in ((ours, puts[0], gets[0]), (theirs, puts[1], gets[1])):
                sync_sides.fill(side, "single", sync_sides.batches(10_000))
                put.append(_load(settings, side, "put", [f"{side.base}/single", f"run{run}-"]))
                paths = [f"{side.base}/single/item{n * 7919 % 10_000:09d}" for n in range(10_000)]
                file = settings.paths(f"sync-{side.port}", paths)
                get.append(_load(settings, side, "read", [file]))
    return [
        at_least("PUT, 16 clients", "/s", *puts, "pouchdb-server", 4),
        at_least("GET by id, 16 clients", "/s", *gets, "pouchdb-server", 4),
    ]


def _load(settings: Settings, side: CouchSide, script: str, arguments: list[str]) -> float:
    return settings.load(side.url, script, CLIENTS, token=side.password, arguments=arguments).per_second


def sync_bulk(settings: Settings, count: int = 50_000) -> list[Row]:
    """`_bulk_docs`, 1,000 documents in a request."""
    bodies = sync_sides.batches(count)
    ours: list[float] = []
    theirs: list[float] = []
    plain: list[float] = []
    for run in range(settings.runs):
        folder = settings.folder / f"sync-bulk-{run}"
        with sync_sides.localsrv(folder / "ours") as (side, server):
            ours.append(count / _timed(side, bodies))
            plain.append(count / _executemany(server, folder / "plain.db"))
        with sync_sides.pouchdb_server(folder / "theirs") as side:
            theirs.append(count / _timed(side, bodies))
    return [
        at_least(f"_bulk_docs, {count:,}", "docs/s", ours, theirs, "pouchdb-server", 3),
        at_least(f"_bulk_docs, {count:,}", "docs/s", ours, plain, "executemany", 0.3),
    ]


def _timed(side: CouchSide, bodies: list[bytes]) -> float:
    side.ask("PUT", "/bulk")
    started = time.perf_counter()
    sync_sides.send(side, "bulk", bodies)
    return time.perf_counter() - started


def _executemany(server: RunningServer, target: Path) -> float:
    """The rows that the store wrote, 1,000 in a transaction, into a plain table of the same form; seconds."""
    source = sqlite3.connect(f"file:{server.home}/data/apps/default/app.db?mode=ro", uri=True)
    made = source.execute(
        "SELECT sql FROM sqlite_master WHERE tbl_name = 'bulk' AND sql IS NOT NULL ORDER BY type DESC"
    ).fetchall()
    rows = source.execute("SELECT * FROM bulk").fetchall()
    source.close()
    connection = sqlite3.connect(target, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    for (statement,) in made:
        connection.execute(statement)
    marks = ",".join("?" * len(rows[0]))
    started = time.perf_counter()
    for at in range(0, len(rows), 1000):
        connection.execute("BEGIN")
        connection.executemany(f"INSERT INTO bulk VALUES ({marks})", rows[at : at + 1000])
        connection.execute("COMMIT")
    taken = time.perf_counter() - started
    connection.close()
    return taken


def replication(settings: Settings, count: int = 50_000) -> list[Row]:
    """One-shot pull of a database from another process of the same kind."""
    bodies = sync_sides.batches(count)
    ours: list[float] = []
    theirs: list[float] = []
    bulk: list[float] = []
    for run in range(settings.runs):
        folder = settings.folder / f"replication-{run}"
        with (
            sync_sides.localsrv(folder / "a") as (source, _),
            sync_sides.localsrv(folder / "b") as (target, _),
        ):
            bulk.append(count / _timed(source, bodies))
            ours.append(count / _pull(source, target, count))
        with (
            sync_sides.pouchdb_server(folder / "c") as source,
            sync_sides.pouchdb_server(folder / "d") as target,
        ):
            _timed(source, bodies)
            theirs.append(count / _pull(source, target, count))
    return [
        at_least(f"pull replication of {count:,}", "docs/s", ours, theirs, "pouchdb-server", 4),
        at_least(f"pull replication of {count:,}", "docs/s", ours, bulk, "own _bulk_docs", 0.5),
    ]


def _pull(source: CouchSide, target: CouchSide, count: int) -> float:
    wanted = {
        "source": source.database_url("bulk"),
        "target": target.database_url("pulled") if target.user is None else "pulled",
        "create_target": True,
    }
    started = time.perf_counter()
    target.ask("POST", "/_replicate", wanted)
    taken = time.perf_counter() - started
    assert target.ask("GET", "/pulled")["doc_count"] == count
    return taken


def feed(settings: Settings) -> list[Row]:
    """`_changes` from the end, however much lies before; and many listeners."""
    rows = []
    with sync_sides.localsrv(settings.folder / "feed") as (side, server):
        small, large = [], []
        for name, count in (("small", 1000), ("large", 1_000_000)):
            sync_sides.fill(side, name, sync_sides.batches(count, batch=5000))
        for _ in range(settings.runs):
            small.append(_from_end(settings, side, "small"))
            large.append(_from_end(settings, side, "large"))
        rows.append(
            at_least("_changes from the end of 1,000,000, 16 clients", "/s", large, small, "of 1,000", 0.8)
        )
    with sync_sides.localsrv(settings.folder / "listeners") as (side, server):
        side.ask("PUT", "/heard")
        taken = [_last_hears(side, 1000, n) for n in range(settings.runs)]
        rows.append(at_most("one write, the last of 1,000 listeners hears it", "ms", taken, 250))
        rows.append(at_most("resident after them", "MB", [processes.resident_mb(server.pid)], 200))
    return rows


def _from_end(settings: Settings, side: CouchSide, name: str) -> float:
    last = side.ask("GET", f"/{name}")["update_seq"]
    file = settings.paths(f"feed-{name}", [f"{side.base}/{name}/_changes?since={last}"])
    return _load(settings, side, "read", [file])


def _last_hears(side: CouchSide, listeners: int, round_: int) -> float:
    """Milliseconds from the write's beginning to the last listener's line."""
    selector = selectors.DefaultSelector()
    head = "".join(f"{name}: {value}\r\n" for name, value in side.headers.items())
    path = f"{side.base}/heard/_changes?feed=continuous&since=now&heartbeat=60000"
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{side.port}\r\n{head}\r\n".encode()
    with ExitStack() as stack:
        for _ in range(listeners):
            opened = stack.enter_context(socket.create_connection(("127.0.0.1", side.port)))
            opened.sendall(request)
            selector.register(opened, selectors.EVENT_READ)
        stack.enter_context(selector)
        _until_each_has(selector, listeners, b"\r\n\r\n")
        started = time.perf_counter()
        side.ask("PUT", f"/heard/round{round_}-{time.time_ns()}", {})
        _until_each_has(selector, listeners, b'"seq"')
        return (time.perf_counter() - started) * 1000


def _until_each_has(selector: selectors.BaseSelector, listeners: int, wanted: bytes) -> None:
    """Reads until every connection has sent `wanted` since the call."""
    waiting: dict[int, bytes] = {}
    heard: set[int] = set()
    deadline = time.monotonic() + 60
    while len(heard) < listeners:
        assert time.monotonic() < deadline, f"{listeners - len(heard)} of {listeners} heard nothing"
        for key, _ in selector.select(1):
            piece = key.fileobj.recv(65536)  # type: ignore[union-attr]
            assert piece, "a listener was closed"
            waiting[key.fd] = waiting.get(key.fd, b"") + piece
            if wanted in waiting[key.fd]:
                heard.add(key.fd)


def indexes(settings: Settings, count: int = 100_000) -> list[Row]:
    """Documents indexed a second: Mango, a built-in reduce over a simple map, JavaScript throughout."""
    rows = []
    simple = {"map": "function (doc) { emit(doc.type, doc.price); }", "reduce": "_sum"}
    scripted = {
        "map": "function (doc) { if (doc.note.length > 3) { emit([doc.type, doc.name.slice(5)], 1); } }",
        "reduce": "function (keys, values, rereduce) { return sum(values); }",
    }
    found: dict[str, list[float]] = {"mango": [], "simple": [], "scripted": []}
    for run in range(settings.runs):
        with sync_sides.localsrv(settings.folder / f"indexes-{run}") as (side, _):
            sync_sides.fill(side, "indexed", sync_sides.batches(count, batch=5000))
            started = time.perf_counter()
            side.ask(
                "POST", "/indexed/_index", {"index": {"fields": ["name"]}, "name": "by-name", "ddoc": "m"}
            )
            asked = {"selector": {"name": "Item 000007"}, "limit": 1}
            assert len(side.ask("POST", "/indexed/_find", asked)["docs"]) == 1
            found["mango"].append(count / (time.perf_counter() - started))
            for name, view in (("simple", simple), ("scripted", scripted)):
                side.ask("PUT", f"/indexed/_design/{name}", {"views": {"v": view}})
                started = time.perf_counter()
                told = side.ask("GET", f"/indexed/_design/{name}/_view/v")
                assert told["rows"], json.dumps(told)
                found[name].append(count / (time.perf_counter() - started))
    for name, title in (
        ("mango", "Mango index"),
        ("simple", "view, built-in reduce over a simple map"),
        ("scripted", "view, JavaScript map and reduce"),
    ):
        values = sorted(found[name])
        median = values[len(values) // 2]
        goal = name != "scripted"
        rows.append(
            Row(
                f"{title}, {count:,} documents",
                f"{number(median)} docs/s",
                "",
                "",
                "≥ 10,000 docs/s" if goal else "",
                median >= 10_000 if goal else None,
            )
        )
    return rows


MEASURES = {
    "sync-singles": sync_singles,
    "sync-bulk": sync_bulk,
    "replication": replication,
    "feed": feed,
    "indexes": indexes,
}
