"""The server as a process: one per home, found and left by everyone in the right way."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localsrv import __version__
from localsrv.base import server_file
from localsrv.base.paths import Paths
from localsrv.client import Client
from tests.support.commands import ROOT, environment, run
from tests.support.server import RunningServer
from tests.support.waiting import wait_until

Start = Callable[..., RunningServer]

posix = pytest.mark.skipif(sys.platform == "win32", reason="not on Windows: POSIX signals and modes")
SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"]


def client(server: RunningServer) -> Client:
    found = server_file.find(Paths.below(server.home))
    assert found is not None
    return Client(found, timeout_s=20)


@pytest.fixture
def default_port() -> Iterator[int]:
    """4680, held by this test (or by whoever has it already)."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            held.bind(("127.0.0.1", 4680))
            held.listen()
        except OSError:
            pass  # taken by another program: just as well
        yield 4680


# ── what a running server leaves for others, and takes away ────────────────────────────────────────────────


def test_server_json(server: RunningServer) -> None:
    file = server.home / "runtime" / "server.json"
    content = json.loads(file.read_text())
    assert content["url"] == f"http://localhost:{server.port}"
    assert (content["pid"], content["version"]) == (server.process.pid, __version__)
    assert content["token"].startswith("lsk_")
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        made = [path for path in server.home.rglob("*") if path.is_file()]
        assert [path for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    assert server.request("GET", "/api/v1/status").status == 200
    assert server.request("GET", "/api/v1/status", token=None).status == 401
    assert server.stop() == 0
    assert not file.exists()


def test_the_log_holds_no_token(server: RunningServer) -> None:
    with client(server) as made:
        token = made.create_key("k", "*", ["*:read"])["token"]
        code = made.create_code()["code"]
    assert server.request("GET", f"/apps/default/rest/v1/nothing?apikey={token}", token=token).status == 404
    assert server.stop() == 0
    log = (server.home / "logs" / "server.jsonl").read_text() + server.output()
    assert next(json.loads(line)["message"] for line in log.splitlines() if line.startswith("{")) == "ready"
    assert not [secret for secret in (token, code, server.token) if secret in log]


def test_both_loopback_addresses_answer(server: RunningServer) -> None:
    with client(server) as made:
        hosts = [listener["host"] for listener in made.status()["listeners"]]
    assert hosts[0] == "127.0.0.1"
    for host in hosts:
        with socket.create_connection((host, server.port), timeout=5) as connection:
            connection.sendall(
                f"GET /api/v1/health HTTP/1.0\r\nHost: localhost:{server.port}\r\n\r\n".encode()
            )
            assert b" 200 " in connection.recv(200)


# ── one server per home ────────────────────────────────────────────────────────────────────────────────────


def test_a_second_start_says_where_the_first_runs(server: RunningServer) -> None:
    second = run(server.home, "serve", "--port", "0")
    assert second.code == 0
    assert f"already running at {server.url} (process {server.pid})" in second.out
    told = run(server.home, "serve", "--port", "0", "--json").json()
    assert told == {"already_running": True, "url": server.url, "pid": server.pid}
    assert server.request("GET", "/api/v1/health").status == 200


@posix
def test_a_killed_server_leaves_nothing_stuck(servers: Start, tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = servers(home)
    first.kill()
    assert (home / "runtime" / "server.json").exists()
    assert server_file.find(Paths.below(home)) is None
    assert run(home, "status").code == 3
    second = servers(home)
    assert second.token != first.token
    assert second.request("GET", "/api/v1/status", token=first.token).status == 401
    assert second.stop() == 0


def test_of_many_starts_one_serves(tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "localsrv", "serve", "--port", "0"],
            cwd=ROOT,
            env=environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for _ in range(4)
    ]
    try:
        wait_until(lambda: sum(p.poll() is not None for p in started) == 3, what="three of them leaving")
        (serving,) = [process for process in started if process.poll() is None]
        found = wait_until(lambda: server_file.find(Paths.below(tmp_path)), what="server.json")
        assert found.pid == serving.pid
        assert [process.returncode for process in started if process is not serving] == [0, 0, 0]
        serving.terminate()
        assert serving.wait(20) == 0
    finally:
        for process in started:
            process.kill()
            process.communicate()


# ── leaving ────────────────────────────────────────────────────────────────────────────────────────────────


def half_request(server: RunningServer, path: str, body: bytes) -> socket.socket:
    """A POST whose last byte is not sent yet; the server has begun to read it."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost:{server.port}\r\nAuthorization: Bearer {server.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )
    connection.sendall(head.encode())
    assert b"100 Continue" in connection.recv(100)
    connection.sendall(body[:-1])
    return connection


def everything(connection: socket.socket) -> bytes:
    answer = b""
    while chunk := connection.recv(65536):
        answer += chunk
    return answer


@posix
@pytest.mark.parametrize("number", SIGNALS)
def test_requests_in_flight_are_finished(servers: Start, number: str) -> None:
    server = servers()
    with client(server) as made:
        made.define_one("default", "items", {})
    body = b'[{"_id": "a", "n": 1}]'
    connection = half_request(server, "/api/v1/apps/default/collections/items/import", body)
    server.process.send_signal(getattr(signal, number))
    wait_until(lambda: refuses(server.port), what="the end of listening")
    connection.sendall(body[-1:])
    answer = everything(connection)
    connection.close()
    assert b" 200 OK" in answer
    assert b'"created":1' in answer
    assert server.process.wait(20) == 0
    again = servers(server.home)
    with client(again) as made:
        assert [document["_id"] for document in made.documents("default", "items")] == ["a"]


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


@posix
@pytest.mark.parametrize(
    ("grace", "signals"),
    [("0.2", 1), ("300", 2)],
    ids=["the time of grace is over", "asked again, it hurries"],
)
def test_a_request_that_never_ends_does_not_hold_the_server(servers: Start, grace: str, signals: int) -> None:
    server = servers(env={"LOCALSRV_SHUTDOWN_GRACE_S": grace})
    connection = half_request(server, "/api/v1/apps", b'{"id": "never"}')
    server.process.terminate()
    wait_until(lambda: refuses(server.port), what="the end of listening")
    for _ in range(signals - 1):
        server.process.terminate()
    assert server.process.wait(20) == 0
    connection.close()
    assert not (server.home / "runtime" / "server.json").exists()
    assert "Traceback" not in server.output()


def test_leaving_ends_live_feeds(servers: Start) -> None:
    server = servers()
    with client(server) as made:
        made.define_one("default", "items", {})
        feed = made.changes("default", ["items"])
        assert next(feed)["type"] == "ready"
        rest: list[object] = []
        reader = threading.Thread(target=lambda: rest.extend(feed))
        reader.start()
        assert server.stop() == 0
        reader.join(20)
        assert not reader.is_alive()
    assert rest == []


def test_leaving_checkpoints_every_file(server: RunningServer) -> None:
    with client(server) as made:
        made.define_one("default", "items", {})
        made.import_documents("default", "items", [{"_id": str(n)} for n in range(100)])
    assert server.stop() == 0
    assert sorted(file.name for file in (server.home / "data/apps/default").glob("app.db*")) == ["app.db"]


# ── starts that cannot be ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("config", "arguments", "code", "said"),
    [
        ("prot = 1", [], 2, ["Unknown setting `prot`.", "config.toml, line 1", "Did you mean `port`?"]),
        ("\nport = 'x'", [], 2, ["`port` cannot be 'x'.", "config.toml, line 2"]),
        ("port = [", [], 2, ["not valid TOML", "config.toml"]),
        ("", ["--port", "70000"], 2, ["`port` cannot be 70000.", "option --port"]),
        ("", ["--log-level", "loud"], 2, ["`log_level` cannot be 'loud'.", "debug, info"]),
        ("hosts = ['192.0.2.1']", [], 2, ["loopback"]),
    ],
)
def test_a_wrong_setting(
    tmp_path: Path, config: str, arguments: list[str], code: int, said: list[str]
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text(config)
    ended = run(tmp_path, "serve", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.count("\n") == 1
    for words in said:
        assert words in ended.err
    assert not (tmp_path / "data" / "system.db").exists()


def test_a_port_held_by_another_program(tmp_path: Path, free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)):
        ended = run(tmp_path, "serve", "--port", str(free_port))
    assert ended.code == 1
    assert f"Port {free_port} on 127.0.0.1 is taken by" in ended.err
    if sys.platform == "linux":
        assert f"(process {os.getpid()})" in ended.err
    assert ended.err.count("\n") == 1


def test_the_first_start_takes_another_port_and_keeps_it(
    tmp_path: Path, default_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve() -> tuple[subprocess.Popen[bytes], server_file.RunningServer]:
        process = subprocess.Popen(
            [sys.executable, "-m", "localsrv", "serve"],
            cwd=ROOT,
            env=environment(tmp_path),
            stdout=subprocess.PIPE,
        )
        found = wait_until(lambda: server_file.find(Paths.below(tmp_path)), what="server.json")
        return process, found

    ports, told = [], []
    for _ in range(2):
        process, found = serve()
        ports.append(found.port)
        process.terminate()
        told.append(process.communicate(timeout=20)[0].decode())
        assert process.returncode == 0
    assert ports[0] > default_port
    assert ports[1] == ports[0]
    note = f"Port {default_port} is another program's. Yours is {ports[0]} from now on"
    assert [note in text for text in told] == [True, False], told
    assert (tmp_path / "config" / "config.toml").read_text() == f"port = {ports[0]}\n"
    with socket.create_server(("127.0.0.1", ports[0])):
        ended = run(tmp_path, "serve")
    assert (ended.code, f"Port {ports[0]}" in ended.err) == (1, True)


def test_folders_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = run(tmp_path / "file" / "home", "serve", "--port", "0")
    assert ended.code == 7
    assert "cannot be used" in ended.err
    assert "LOCALSRV_HOME" in ended.err


@posix
def test_a_read_only_home(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("not on a system where this is root, whom modes do not stop")
    tmp_path.chmod(0o500)
    ended = run(tmp_path, "serve", "--port", "0")
    tmp_path.chmod(0o700)
    assert ended.code == 7
    assert "cannot be used" in ended.err


def test_an_old_sqlite_is_refused(tmp_path: Path) -> None:
    script = (
        "from localsrv.store import driver; from localsrv.cli import run; "
        "driver.sqlite3.sqlite_version_info = (3, 45, 1); driver.sqlite3.sqlite_version = '3.45.1'; "
        "raise SystemExit(run(['serve', '--port', '0']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True
    )
    assert done.returncode == 7
    assert "SQLite 3.45.1 is too old" in done.stderr
    assert not (tmp_path / "data" / "system.db").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: scheduling statistics")
def test_an_idle_server_sleeps(server: RunningServer) -> None:
    """No thread of it runs between two looks that are far enough apart for any timer of a second."""

    def switches() -> dict[str, str]:
        tasks = Path(f"/proc/{server.pid}/task").iterdir()
        return {task.name: (task / "schedstat").read_text().split()[2] for task in tasks}

    server.request("GET", "/api/v1/health")
    settled = wait_until(lambda: settle(switches), what="the server settling down", seconds=30)
    assert settled


def settle(look: Callable[[], dict[str, str]]) -> bool:
    """Whether nothing ran for 2.5 seconds; the wait is what is measured."""
    before = look()
    threading.Event().wait(2.5)
    return look() == before


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: /proc tells what is loaded")
@pytest.mark.parametrize("vault", ["os_keyring", "sealed_file"])
def test_an_idle_server_loads_neither_keyring_nor_cryptography(
    servers: Callable[..., RunningServer], tmp_path: Path, vault: str
) -> None:
    """They would cost 18 MB; the first need of a secret loads them."""
    running = servers(tmp_path / "home", env={"LOCALSRV_VAULT": vault})
    assert running.request("GET", "/api/v1/status").json()["vault"]["kind"] == vault
    for path in ("/api/v1/vault", "/api/v1/secrets", "/api/v1/apps"):
        assert running.request("GET", path).status == 200
    loaded = Path(f"/proc/{running.pid}/maps").read_text()
    assert "/cryptography/" not in loaded and "_cffi_backend" not in loaded
    if vault == "sealed_file":
        body = {"passphrase": "correct horse battery", "create": True}
        assert running.request("POST", "/api/v1/vault/unlock", body).status == 201
        assert "/cryptography/" in Path(f"/proc/{running.pid}/maps").read_text(), "the test sees it"
