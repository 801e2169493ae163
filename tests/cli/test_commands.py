"""Every command against a real server: what it prints, changes and returns."""

from __future__ import annotations

import csv
import http.client
import io
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localsrv import __version__
from localsrv.base import lock
from localsrv.base.paths import Paths
from tests.support.commands import ROOT, environment, run
from tests.support.server import RunningServer, start_server

MANIFEST = """\
id = "shop"
title = "Shop"

[collections.items]
key = ["id"]
[collections.items.fields]
id = "integer"
name = "text"
price = "number"
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with an app «shop» of two items."""
    home = tmp_path_factory.mktemp("cli") / "home"
    server = start_server(home)
    folder = home.parent / "shop"
    (folder / "ui").mkdir(parents=True)
    (folder / "ui" / "index.html").write_text("<!doctype html><title>Shop</title>")
    (folder / "app.toml").write_text(MANIFEST)
    assert run(home, "app", "add", str(folder)).code == 0
    items = '[{"id": 1, "name": "Tea\\u001b[31m", "price": 4.5}, {"id": 2, "name": "Käse", "price": 12}]'
    (home.parent / "items.json").write_text(items)
    stored = server.request("POST", "/api/v1/apps/shop/collections/items/import", json.loads(items))
    assert stored.status == 200, stored.body
    yield server
    assert server.stop() == 0


def test_version() -> None:
    home = Path("/nowhere")
    for option in ("--version", "-V"):
        assert run(home, option).out == f"localsrv {__version__}\n"


def test_status(shop: RunningServer) -> None:
    said = run(shop.home, "status")
    assert said.code == 0
    assert shop.url in said.out
    assert shop.token not in said.out
    found = run(shop.home, "status", "--json").json()
    assert (found["running"], found["pid"], found["url"]) == (True, shop.pid, shop.url)
    assert {app["id"]: len(app["collections"]) for app in found["apps"]} == {"default": 0, "shop": 1}
    words = "the keyring of your desktop"
    assert found["vault"] == {
        "kind": "os_keyring", "backend": None, "state": "unused", "message": f"{words}, not used so far"
    }  # fmt: skip
    assert words in said.out
    probed = shop.request("GET", "/api/v1/status?vault=probe").json()["vault"]
    assert (probed["state"], probed["message"]) == ("absent", f"{words}, but this session has none")
    assert run(shop.home, "status", "--json").json()["vault"] == probed, "how the last use went"


def test_app_list_and_info(shop: RunningServer) -> None:
    assert "Shop" in run(shop.home, "app", "list").out
    assert [app["id"] for app in run(shop.home, "app", "list", "--json").json()] == ["default", "shop"]
    said = run(shop.home, "app", "info", "shop").out
    assert f"http://shop.localhost:{shop.port}" in said
    found = run(shop.home, "app", "info", "shop", "--json").json()
    assert found["collections"][0]["documents"] == 2


def test_app_update_says_what_changed_and_keeps_data(shop: RunningServer) -> None:
    folder = shop.home.parent / "shop"
    again = run(shop.home, "app", "add", str(folder), "--json").json()
    assert again["changes"] == []
    assert again["collections"][0]["documents"] == 2


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ('id = "shop"\ntitel = "x"\n', ["app.toml, line 2", "titel"]),
        ('id = "shop"\n[collections.items\n', ["app.toml"]),
        ("", ["app.toml"]),
    ],
)
def test_a_wrong_manifest_is_refused_whole(
    shop: RunningServer, tmp_path: Path, manifest: str, said: list[str]
) -> None:
    (tmp_path / "app.toml").write_text(manifest)
    ended = run(shop.home, "app", "add", str(tmp_path))
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    for words in said:
        assert words in ended.err
    assert run(shop.home, "app", "info", "shop", "--json").json()["collections"][0]["documents"] == 2


def test_app_remove_keeps_data_unless_told(shop: RunningServer) -> None:
    assert run(shop.home, "app", "add", "--id", "gone", "--title", "Gone").code == 0
    file = shop.home / "data" / "apps" / "gone" / "app.db"
    assert file.exists()
    assert run(shop.home, "app", "remove", "gone", "--json").json() == {"removed": "gone", "data": "kept"}
    assert file.exists()
    assert run(shop.home, "app", "add", "--id", "gone").code == 0
    asked = run(shop.home, "app", "remove", "gone", "--delete-data", stdin="n\n")
    assert (asked.code, file.exists()) == (130, True)
    assert run(shop.home, "app", "remove", "gone", "--delete-data", "--yes").code == 0
    assert not file.exists()


def test_keys(shop: RunningServer) -> None:
    made = run(shop.home, "key", "create", "reader", "--app", "shop", "--scope", "items:read")
    token = made.out.strip()
    assert token.startswith("lsk_")
    path = "/apps/shop/rest/v1/items?select=id"
    assert shop.request("GET", path, token=token).json() == [{"id": 1}, {"id": 2}]
    assert shop.request("DELETE", path + "&id=eq.1", token=token).status == 403
    listed = run(shop.home, "key", "list", "--json")
    assert token not in listed.out
    (key,) = [key for key in listed.json() if key["name"] == "reader"]
    assert (key["scopes"], key["app"], key["expires_at"]) == (["items:read"], "shop", None)
    assert run(shop.home, "key", "revoke", key["id"]).code == 0
    assert shop.request("GET", path, token=token).status == 401
    short = run(shop.home, "key", "create", "x", "--expires", "30d", "--json").json()
    assert short["expires_at"] > short["created_at"]


def test_an_apps_own_port(servers: Callable[..., RunningServer], tmp_path: Path) -> None:
    """Given, kept over a restart, taken: without a restart, and in config.toml."""
    home, env = tmp_path / "home", {"LOCALSRV_APP_PORTS": None}
    server = servers(home, env=env)
    assert run(home, "app", "add", "--id", "bare").code == 0
    assert (
        run(home, "app", "port", "bare").out
        == f"bare: no port of its own, http://bare.localhost:{server.port}\n"
    )
    given = run(home, "app", "port", "bare", "--on", "--json").json()
    own, url = given["port"], f"http://localhost:{given['port']}"
    assert (given["url"], given["port_error"]) == (url, None)
    assert run(home, "app", "port", "bare", "--on").out == f"bare: port {own}, {url}\n"
    assert run(home, "open", "bare").out.startswith(f"{url}/#code=")
    listening = {(entry["port"], entry["app"]) for entry in run(home, "status", "--json").json()["listeners"]}
    assert listening == {(server.port, None), (own, "bare")}
    config = home / "config" / "config.toml"
    assert config.read_text() == f"[app_ports]\nbare = {own}\n"
    assert server.stop() == 0
    server = servers(home, env=env)
    assert run(home, "app", "info", "bare", "--json").json()["url"] == url
    assert get(own, f"localhost:{own}") == 404, "it has no pages"
    assert get(own, f"localhost:{server.port}") == 421
    assert run(home, "app", "port", "bare", "--off").code == 0
    assert config.read_text() == "[app_ports]\nbare = 0\n"
    with pytest.raises(ConnectionRefusedError):
        get(own, f"localhost:{own}")
    assert server.stop() == 0


def test_an_apps_port_that_another_program_holds(
    servers: Callable[..., RunningServer], tmp_path: Path, free_port: int
) -> None:
    home = tmp_path / "home"
    with socket.socket() as held:
        held.bind(("127.0.0.1", free_port))
        held.listen()
        server = servers(home, env={"LOCALSRV_APP_PORTS": f"default={free_port}"})
        said = run(home, "app", "port", "default").out
        assert said.startswith(f"default: port {free_port}, http://default.localhost:{server.port}\n")
        assert f"Port {free_port} on 127.0.0.1 is taken by" in said
        refused = run(home, "app", "port", "default", "--on")
        assert (refused.code, f"Port {free_port}" in refused.err) == (1, True), refused.err
    assert run(home, "app", "port", "default", "--on").out.endswith(f"http://localhost:{free_port}\n")
    assert server.stop() == 0


def get(port: int, host: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/", headers={"Host": host})
        return connection.getresponse().status
    finally:
        connection.close()


def test_open_prints_a_code_that_works_once(shop: RunningServer) -> None:
    url = run(shop.home, "open", "shop").out.strip()
    origin, _, code = url.partition("/#code=")
    assert origin == f"http://shop.localhost:{shop.port}"
    statuses = [
        shop.request(
            "POST", "/api/v1/exchange", {"code": code}, token=None, host="shop", headers={"Origin": origin}
        ).status
        for _ in range(2)
    ]
    assert statuses == [200, 403]
    assert run(shop.home, "open", "--json").json()["url"].startswith(shop.url + "/#code=")


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (["SELECT id, name FROM items WHERE price > ?", "-p", "10"], [{"id": 2, "name": "Käse"}]),
        (["SELECT name FROM items WHERE id = :id", "--param", "id=2"], [{"name": "Käse"}]),
        (["SELECT ? AS a, ? AS b", "-p", "007", "-p", "1.5"], [{"a": "007", "b": 1.5}]),
        (["SELECT 1 AS n WHERE 0"], []),
    ],
)
def test_query(shop: RunningServer, arguments: list[str], rows: list[object]) -> None:
    assert run(shop.home, "query", "shop", *arguments, "--json").json() == rows


def test_query_formats(shop: RunningServer) -> None:
    sql = "SELECT id, name, price FROM items ORDER BY id"
    table = run(shop.home, "query", "shop", sql).out
    assert table.splitlines()[0].split() == ["id", "name", "price"]
    assert "\x1b" not in table
    assert "\\u001b[31m" in table
    found = run(shop.home, "query", "shop", "-", "--format", "csv", stdin=sql).out
    assert list(csv.reader(io.StringIO(found))) == [
        ["id", "name", "price"],
        ["1", "Tea\x1b[31m", "4.5"],
        ["2", "Käse", "12.0"],
    ]
    limited = run(shop.home, "query", "shop", sql, "--limit", "1", "--json")
    assert len(limited.json()) == 1
    assert "Only the first 1 rows" in limited.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["app", "info", "nope"], 4, "There is no app `nope`"),
        (["app", "remove", "nope"], 4, "There is no app `nope`"),
        (["app", "remove", "default"], 6, "always exists"),
        (["app", "add", "--id", "shop"], 6, "exists already"),
        (["app", "add", "--id", "No App"], 6, "not an app id"),
        (["app", "add"], 2, "Give either FOLDER or --id."),
        (["app", "add", "/nowhere/at/all"], 2, "app add --id ID"),
        (["app", "lst"], 2, "lst"),
        (["key", "revoke", "nope"], 4, "There is no grant `nope`"),
        (["key", "create", "x", "--scope", "everything"], 6, "everything"),
        (["key", "create", "x", "--app", "nope"], 4, "There is no app `nope`"),
        (["key", "create", "x", "--expires", "soon"], 2, "--expires cannot be `soon`"),
        (["key", "create", "x", "--origin", "null"], 6, "origin"),
        (["open", "nope"], 4, "There is no app `nope`"),
        (["query", "shop", "SELEC 1"], 6, "SELEC"),
        (["query", "shop", "DELETE FROM items"], 6, ""),
        (["query", "shop", "SELECT * FROM nope"], 6, "nope. Tables are the app's collections"),
        (["query", "shop", "SELECT nope FROM items"], 6, "nope. Columns are the declared fields"),
        (["query", "nope", "SELECT 1"], 4, "There is no app `nope`"),
        (["srve"], 2, "Did you mean `serve`?"),
        (["status", "--jso"], 2, "--json"),
        (["serve", "--port", "x"], 2, "--port"),
    ],
)
def test_errors_are_one_line(shop: RunningServer, arguments: list[str], code: int, said: str) -> None:
    ended = run(shop.home, *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith("Error: ")
    assert ended.err.count("\n") == 1
    assert said in ended.err


def test_errors_as_json(shop: RunningServer) -> None:
    ended = run(shop.home, "app", "info", "nope", "--json")
    error = json.loads(ended.err)["error"]
    assert (error["code"], error["exit_code"], ended.out) == ("app-not-found", 4, "")


def test_the_reader_of_the_output_may_leave(shop: RunningServer) -> None:
    """As `localsrv app list | head -0` does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "localsrv", "app", "list"],
        cwd=ROOT,
        env=environment(shop.home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(30) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


# ── without a server ───────────────────────────────────────────────────────────────────────────────────────


def test_without_a_server(tmp_path: Path) -> None:
    said = run(tmp_path, "status")
    assert (said.code, said.err) == (3, "Error: localsrv is not running. Start it with `localsrv serve`.\n")
    told = run(tmp_path, "status", "--json")
    assert (told.code, told.json()["running"]) == (3, False)
    assert run(tmp_path, "stop").code == 0
    assert run(tmp_path, "stop", "--json").json() == {"stopped": False, "was_running": False}
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_needs_a_server_starts_one(tmp_path: Path, free_port: int) -> None:
    more = {"LOCALSRV_PORT": str(free_port)}
    first = run(tmp_path, "app", "list", "--json", env=more)
    try:
        assert first.code == 0, first.err
        assert [app["id"] for app in first.json()] == ["default"]
        assert f"Started localsrv at http://localhost:{free_port}" in first.err
        second = run(tmp_path, "app", "list", env=more)
        assert (second.code, second.err) == (0, "")
    finally:
        stopped = run(tmp_path, "stop", "--json", env=more)
    assert stopped.json() == {"stopped": True, "was_running": True}
    assert lock.holder(Paths.below(tmp_path).lock_file) is None


def test_a_server_that_cannot_be_started_says_why(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text("prot = 1\n")
    ended = run(tmp_path, "app", "list")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "Unknown setting `prot`" in ended.err
    assert "config.toml, line 1" in ended.err


# ── doctor and completion ──────────────────────────────────────────────────────────────────────────────────


def test_doctor_is_content(shop: RunningServer) -> None:
    ended = run(shop.home, "doctor", "--json")
    found = {finding["check"]: finding for finding in ended.json()}
    assert ended.code == 0, ended.out
    assert found["vault"]["state"] == "warn"
    assert str(shop.port) in found["port"]["message"]
    assert "ok    SQLite: 3." in run(shop.home, "doctor").out


def test_doctor_finds_what_is_wrong(tmp_path: Path, shop: RunningServer) -> None:
    home = tmp_path / "home"
    shutil.copytree(shop.home, home, ignore=shutil.ignore_patterns("server.*"))
    database = home / "data" / "system.db"
    content = bytearray(database.read_bytes())
    content[100:4096] = bytes(3996)
    database.write_bytes(content)
    (home / "config" / "config.toml").write_text("\nprot = 1\n")
    (home / "data" / "device-id").write_text("?")
    if sys.platform != "win32":
        (home / "logs").chmod(0o755)
    ended = run(home, "doctor", "--json")
    assert ended.code == 1
    found = {finding["check"]: finding for finding in ended.json()}
    failed = {check for check, finding in found.items() if finding["state"] == "fail"}
    expected = {"app files", "settings", "device"} | ({"folders"} if sys.platform != "win32" else set())
    assert failed - {"port", "names"} == expected
    assert "config.toml, line 2" in found["settings"]["message"]
    assert str(database) in found["app files"]["message"]
    assert all(found[check]["advice"] for check in failed)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion(tmp_path: Path, shell: str) -> None:
    ended = run(tmp_path, "completion", shell)
    assert ended.code == 0
    assert "_LOCALSRV_COMPLETE" in ended.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("localsrv st", {"status", "stop"}),
        ("localsrv app re", {"remove"}),
        ("localsrv open sh", {"shop"}),
        ("localsrv query --f", {"--format"}),
    ],
)
def test_completing(shop: RunningServer, words: str, expected: set[str]) -> None:
    more = {
        "_LOCALSRV_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    ended = run(shop.home, env=more)
    assert {line.partition(",")[2] for line in ended.out.splitlines()} == expected


@pytest.mark.parametrize("group", [(), ("key",), ("conflicts",)], ids=" ".join)
def test_help_says_whole_sentences_in_lines_that_fit(tmp_path: Path, group: tuple[str, ...]) -> None:
    lines = run(tmp_path, *group, "--help").out.splitlines()
    commands = lines[lines.index("Commands:") + 1 :]
    assert not [line for line in commands if "..." in line or len(line) > 80]
    assert len(commands) >= 2


def test_an_app_without_pages_is_found_where_its_data_is(shop: RunningServer) -> None:
    """Its own origin shows nothing, and most programs do not find `*.localhost`."""
    for listing in (("status",), ("app", "list")):
        shown = run(shop.home, *listing).out
        assert f"{shop.url}/apps/default" in shown and "default.localhost" not in shown, shown
    assert "page     has none" in run(shop.home, "app", "info", "default").out
    opened = run(shop.home, "open", "default", "--print")
    assert (opened.code, "default has no pages" in opened.err) == (0, True)


def test_another_port_for_a_server_that_runs(shop: RunningServer) -> None:
    for port, said in (
        (shop.port, ""),
        (1, "--port changes nothing here: localsrv stop ends that server.\n"),
    ):
        second = run(shop.home, "serve", "--port", str(port))
        assert (second.code, second.err) == (0, said)
        assert f"already running at {shop.url}" in second.out
