"""Full disks, broken files, wrong settings, taken ports and bad manifests: named, and nothing is lost."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.commands import run
from tests.support.disks import fill, read_only
from tests.support.refusals import assert_clean, assert_refused, everything, small_app
from tests.support.server import RunningServer


def test_a_full_disk(servers: Callable[..., RunningServer], disk: Callable[[int], Path]) -> None:
    small_disk = disk(12)
    server = servers(small_disk / "home")
    for app in ("one", "two"):
        small_app(server, app)
    rest = "/apps/one/rest/v1/t"
    filler = fill(small_disk)
    answers = [server.request("POST", rest, [{"x": "y" * 1000}] * 300) for _ in range(3)]
    for answer in answers:
        assert_refused(server, answer, 507, "53100", "Free some space")
    for path, body in (
        ("/api/v1/apps", {"id": "three"}),
        ("/api/v1/keys", {"name": "k", "app": "one", "scopes": ["*:read"]}),
    ):
        assert_refused(server, server.request("POST", path, body), 507, "storage-full", "Free some space")
    path = "/api/v1/apps/one/collections/t/documents/a/attachments/big"
    answer = server.request("PUT", path, b"x" * 500_000, headers={"Content-Type": "text/plain"})
    assert_refused(server, answer, 507, "storage-full", "Free some space")
    answer = server.request("POST", "/api/v1/uploads?name=a.csv", b"x" * 500_000)
    assert_refused(server, answer, 507, "storage-full", "Free some space")
    # reading goes on
    for app in ("one", "two"):
        assert server.request("GET", f"/apps/{app}/rest/v1/t").json() == [{"id": "a", "x": "first"}]
    assert server.request("GET", "/api/v1/status").status == 200
    # and with some space, writing
    filler.unlink()
    assert server.request("POST", rest, [{"x": "y" * 1000}] * 300).status == 201
    assert server.request("POST", "/api/v1/apps", {"id": "three"}).status == 201
    assert server.request("PUT", path, b"x" * 500_000, headers={"Content-Type": "text/plain"}).status == 201
    assert server.stop() == 0, server.output()
    again = servers(small_disk / "home")
    assert len(again.request("GET", f"{rest}?select=id").json()) == 301
    assert again.stop() == 0


def test_a_write_too_large_for_the_disk_gives_its_space_back(
    servers: Callable[..., RunningServer], disk: Callable[[int], Path]
) -> None:
    """What SQLite wrote of it into the WAL must not keep the others from writing."""
    small_disk = disk(12)
    server = servers(small_disk / "home")
    small_app(server, "one")
    reserve = small_disk / "reserve"
    reserve.write_bytes(bytes(1 << 20))
    too_much = [{"x": "y" * 1000}] * 20_000
    answer = server.request("POST", "/apps/one/rest/v1/t", too_much, timeout=120)
    assert_refused(server, answer, 507, "53100", "Free some space")
    reserve.unlink()
    assert server.request("POST", "/apps/one/rest/v1/t", {"x": "small"}).status == 201
    small_app(server, "two")
    wal = server.home / "data" / "apps" / "one" / "app.db-wal"
    assert wal.stat().st_size < 1 << 20
    assert server.stop() == 0, server.output()


def test_a_server_that_cannot_start_on_a_full_disk_says_so(
    servers: Callable[..., RunningServer], disk: Callable[[int], Path]
) -> None:
    small_disk = disk(12)
    server = servers(small_disk / "home")
    small_app(server, "one")
    assert server.stop() == 0
    filler = fill(small_disk)
    ended = run(small_disk / "home", "serve", "--port", "0")
    assert ended.code == 7 and "space" in ended.err, ended
    filler.unlink()
    again = servers(small_disk / "home")
    assert again.request("GET", "/apps/one/rest/v1/t").json() == [{"id": "a", "x": "first"}]
    assert again.stop() == 0


def damage(file: Path) -> None:
    file.write_bytes(b"This was a database once. " * 2000)


def newer(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 999")
    connection.commit()
    connection.close()


def cut(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)


BROKEN = [
    ("damaged", damage, "storage-damaged", "doctor"),
    ("newer", newer, "storage-too-new", "newer localsrv"),
    ("a folder", lambda file: (file.unlink(), file.mkdir()), "storage-unreachable", "opened"),
]


@pytest.mark.parametrize(("name", "breaks", "code", "says"), BROKEN, ids=[b[0] for b in BROKEN])
def test_a_broken_file_is_its_own_apps_trouble(
    servers: Callable[..., RunningServer], name: str, breaks: Callable[[Path], object], code: str, says: str
) -> None:
    server = servers()
    for app in ("bad", "good"):
        small_app(server, app)
    assert server.stop() == 0
    file = server.home / "data" / "apps" / "bad" / "app.db"
    breaks(file)
    left = file.read_bytes() if file.is_file() else None
    server = servers(server.home)
    for method, path in (("GET", "/collections"), ("PUT", "/collections/u"), ("DELETE", "/collections/t")):
        answer = server.request(method, f"/api/v1/apps/bad{path}", {} if method == "PUT" else None)
        assert_refused(server, answer, 507, code, says)
    assert server.request("POST", "/apps/bad/rest/v1/t", {"x": "y"}).status == 507
    assert server.request("POST", "/apps/good/rest/v1/t", {"id": "b", "x": "second"}).status == 201
    listed = {app["id"]: app for app in server.request("GET", "/api/v1/status").json()["apps"]}
    assert listed["bad"]["error"]["code"] == code
    assert listed["good"]["error"] is None and listed["good"]["collections"][0]["documents"] == 2
    for running in (True, False):
        ended = run(server.home, "doctor", "--json")
        [found] = [f for f in ended.json() if f["check"] == "app files"]
        assert (ended.code, found["state"]) == (1, "fail") and str(file) in found["message"], found
        assert "good" not in found["message"] and found["advice"]
        if running:
            assert server.stop() == 0, server.output()
    assert left is None or file.read_bytes() == left, "it was touched"


def test_a_read_only_file(servers: Callable[..., RunningServer]) -> None:
    server = servers()
    for app in ("bad", "good"):
        small_app(server, app)
    assert server.stop() == 0
    folder = server.home / "data" / "apps" / "bad"
    with read_only(folder):
        server = servers(server.home)
        answer = server.request("POST", "/apps/bad/rest/v1/t", {"x": "y"})
        assert answer.status == 507 and "permissions" in answer.json()["hint"], answer.body
        assert_clean(server, answer.body.decode())
        assert server.request("POST", "/apps/good/rest/v1/t", {"x": "y"}).status == 201
        ended = run(server.home, "doctor")
        assert ended.code == 1 and str(folder / "app.db") in ended.out, ended.out
        assert server.stop() == 0, server.output()
    server = servers(server.home)
    assert server.request("GET", "/apps/bad/rest/v1/t").json() == [{"id": "a", "x": "first"}]
    assert server.stop() == 0


def test_a_damaged_system_file_is_named(servers: Callable[..., RunningServer]) -> None:
    server = servers()
    assert server.stop() == 0
    file = server.home / "data" / "system.db"
    damage(file)
    before = file.read_bytes()
    ended = run(server.home, "serve", "--port", "0")
    assert ended.code == 7 and "system.db" in ended.err and "doctor" in ended.err, ended
    assert "system.db" in run(server.home, "doctor").out
    assert file.read_bytes() == before


# ── settings, port, manifests ─────────────────────────────────────────────────────────────────────────────


SETTINGS = [
    ("prot = 4680\n", ("`prot`", "config.toml", "line 1", "`port`")),
    ('port = 4680\nlog_levl = "debug"\n', ("`log_levl`", "line 2", "`log_level`")),
    ('# a note\nport = "many"\n', ("`port`", "line 2")),
    ("port = 70000\n", ("`port`", "line 1", "65535")),
    ("port = \n", ("config.toml", "line 1")),
    ('log_level = "loud"\n', ("`log_level`", "debug")),
    ('hosts = ["0.0.0.0"]\n', ("`hosts`", "loopback")),
    ("max_body_mb = -1\n", ("`max_body_mb`", "line 1")),
]


@pytest.mark.parametrize(("text", "says"), SETTINGS, ids=[s[0].strip() for s in SETTINGS])
def test_a_wrong_setting_stops_the_start(home: Path, text: str, says: tuple[str, ...]) -> None:
    (home / "config").mkdir()
    (home / "config" / "config.toml").write_text(text)
    ended = run(home, "serve")
    assert ended.code == 2, ended
    assert len(ended.err.strip().splitlines()) == 1
    for part in says:
        assert part in ended.err, ended.err
    assert (home / "config" / "config.toml").read_text() == text
    assert not (home / "runtime" / "server.json").exists()


def test_a_port_held_by_another_program(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ended = run(home, "serve", "--port", str(port))
    assert ended.code == 1
    assert str(port) in ended.err and "port" in ended.err, ended.err
    if sys.platform == "linux":
        assert str(os.getpid()) in ended.err, "the program that holds it is named"


MANIFESTS = [
    ("cycle", """[collections.a]
key = "id"
relations = [{ fields = "b", to = "b" }]
[collections.a.fields]
id = "integer"
b = { type = "integer", required = true }
[collections.b]
key = "id"
relations = [{ fields = "a", to = "a" }]
[collections.b.fields]
id = "integer"
a = { type = "integer", required = true }
""", "cycle", "line"),
    ("unknown keys", 'titel = "Shop"\n[ui]\nsinglepage = true\n[collections.t]\nindxes = ["a"]\n', "`titel`",
     "line 2"),
    ("bad TOML", "[collections.t\nfields = {}\n", "TOML", "line 2"),
    ("a type that is none", '[collections.t.fields]\na = "txt"\n', "`text`", "line 3"),
    ("a relation to nothing",
     '[collections.t]\nfields = { a = "text" }\nrelations = [{ fields = "a", to = "u" }]\n',
     "`u`", "line 4"),
    ("a policy that is unsafe", "[ui.csp]\nscript-src = [\"'unsafe-inline'\"]\n", "Inline scripts", "line 3"),
    ("a hostile reference", '[collections.t]\nschema = { "$ref" = "file:///etc/passwd" }\n', "inside", ""),
    ("a date as default",
     "[collections.t.fields]\na = { type = \"date\", default = 2024-01-02 }\n", "default",
     "line 3"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "says", "where"), MANIFESTS, ids=[m[0] for m in MANIFESTS])
def test_a_bad_manifest_is_refused_whole(
    server: RunningServer, tmp_path: Path, name: str, text: str, says: str, where: str
) -> None:
    folder = tmp_path / "shop"
    (folder / "ui").mkdir(parents=True)
    (folder / "ui" / "index.html").write_text("<p>first</p>")
    (folder / "app.toml").write_text('id = "shop"\n[collections.t]\nfields = { a = "text" }\n')
    assert run(server.home, "app", "add", str(folder)).code == 0
    assert server.request("POST", "/apps/shop/rest/v1/t", {"id": "1", "a": "x"}).status == 201
    before = everything(server)
    (folder / "ui" / "index.html").write_text("<p>second</p>")
    (folder / "app.toml").write_text('id = "shop"\n' + text)
    ended = run(server.home, "app", "add", str(folder), "--json")
    error = json.loads(ended.err)["error"]
    told = " ".join(filter(None, (error["message"], error["details"], error["hint"])))
    assert (ended.code, error["exit_code"]) == (2, 2), ended
    assert says in told and where in told, told
    assert (str(folder / "app.toml") in told) == bool(where), told
    if name == "unknown keys":
        assert "line 4" in told and "line 6" in told, "every mistake is told"
    assert everything(server) == before
    assert b"first" in server.request("GET", "/", host="shop", token=None).body
