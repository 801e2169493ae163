"""A day with everything that is secret, which ends badly: nothing of it is in a file or in an output.

`tests.support.leaks` knows what to look for, and where.
"""

from __future__ import annotations

import http.client
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from localsrv.base.paths import Paths
from localsrv.vault.sealed_file import SealedFile
from tests.support.commands import run
from tests.support.leaks import PASSPHRASE, found_in, know, leaks, secret
from tests.support.oauth import DEVICE_GRANT
from tests.support.server import RunningServer

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
DAMAGE = "DROP TABLE"

COMMANDS = [
    ["status", "--json"], ["status"], ["doctor", "--json"], ["doctor"], ["app", "list", "--json"],
    ["key", "list", "--json"], ["key", "list"], ["grants", "list", "--json"], ["grants", "list"],
    ["requests", "--json"], ["audit", "--json"], ["audit"], ["secrets", "list", "--json"],
       ["vault", "status", "--json"], ["integration", "list", "--json"], ["sync", "list", "--json"],
]  # fmt: skip


def sealed(tmp_path: Path) -> Path:
    """A home whose secrets lie in a sealed file."""
    home = tmp_path / "home-0"
    paths = Paths.below(home)
    paths.create()
    paths.config_file.write_text('vault = "sealed_file"\nlog_level = "debug"\n')
    SealedFile(paths.vault_file).create_now(PASSPHRASE)
    return home


def paired(server: RunningServer) -> dict[str, str]:
    """The tokens of a program that asked and was let in, renewed once."""
    asked = urlencode({"client_id": "Notes", "scope": "notes:read", "app": "default"})
    device = server.request("POST", "/oauth/device_authorization", asked, headers=FORM, token=None).json()
    assert run(server.home, "approve", device["user_code"]).code == 0
    form = {"grant_type": DEVICE_GRANT, "client_id": "Notes", "device_code": device["device_code"]}
    first = server.request("POST", "/oauth/token", urlencode(form), headers=FORM, token=None).json()
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    for _ in range(2):
        answer = server.request("POST", "/oauth/token", urlencode(form), headers=FORM, token=None)
    assert answer.status == 200
    return {name: value for name, value in answer.json().items() if isinstance(value, str)}


def misplaced(server: RunningServer, hidden: str) -> None:
    """What is secret comes where it does not belong: in addresses, headers, bodies, unreadable bytes."""
    for path in (
        f"/api/v1/status?token={hidden}",
        f"/api/v1/apps/{hidden}/collections",
        f"/apps/default/rest/v1/notes?select={hidden}",
        f"/apps/default/rest/v1/notes?id=eq.{hidden}&apikey={hidden}",
        f"/apps/default/couch/notes/_changes?since={hidden}",
        f"/oauth/authorize?client_id=a&redirect_uri=http://127.0.0.1:1/?code={hidden}",
        f"/#code={hidden}",
    ):
        server.request("GET", path)
    for name in (
        "Authorization",
        "apikey",
        "Cookie",
        "Origin",
        "Referer",
        "Range",
        "If-Match",
        "Last-Event-ID",
    ):
        server.request("GET", "/apps/default/couch/notes/a", token=None, headers={name: hidden})
    for body in (hidden, json.dumps({"code": hidden}), json.dumps({hidden: hidden}), json.dumps([hidden])):
        for path in ("/api/v1/exchange", "/api/v1/keys", "/api/v1/ticket", "/api/v1/vault/unlock"):
            server.request("POST", path, body, headers={"Content-Type": "application/json"})
    server.request("POST", "/oauth/token", f"grant_type=refresh_token&refresh_token={hidden}", headers=FORM)
    server.request("POST", "/oauth/revoke", f"token={hidden}x", headers=FORM, token=None)
    for raw in (
        f"GET /{hidden} HTTP/9.9\r\n\r\n",
        f"{hidden}\r\n\r\n",
        f"GET / HTTP/1.1\r\n{hidden}\r\n\r\n",
    ):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.connect()
        connection.sock.sendall(raw.encode())
        connection.sock.recv(1000)
        connection.close()


def broken(server: RunningServer, hidden: str) -> None:
    """A request that fails inside: its collection's table goes away below it."""
    [file] = (server.home / "data" / "apps" / "default").glob("*.db")
    with sqlite3.connect(file) as connection:
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        connection.execute("PRAGMA foreign_keys = OFF")
        for name in tables:
            if not name.startswith("sqlite_"):
                connection.execute(f'{DAMAGE} IF EXISTS "{name}"')
    connection.close()
    failed = [
        server.request("POST", f"/apps/default/rest/v1/notes?apikey={hidden}", {"text": hidden}),
        server.request("PUT", f"/apps/default/couch/notes/{hidden}", {"text": hidden}),
        server.request("GET", f"/apps/default/couch/notes/b?rev=1-{hidden}"),
    ]
    assert [answer.status >= 500 for answer in failed].count(True) >= 2, [a.body for a in failed]
    assert all(hidden not in json.dumps(answer.json().get("hint")) for answer in failed)


def test_nothing_secret_is_left(tmp_path: Path, servers: Callable[..., RunningServer]) -> None:
    server = servers(sealed(tmp_path))
    assert server.request("POST", "/api/v1/vault/unlock", {"passphrase": PASSPHRASE}).status == 200
    assert server.request("PUT", "/apps/default/couch/notes").status == 201
    assert server.request("PUT", "/apps/default/couch/notes/a", {"text": "hello"}).status == 201
    key = server.request("POST", "/api/v1/keys", {"name": "k", "app": "default", "scopes": ["*:read"]}).json()
    know(server.token)
    stored, other = secret(), secret()
    assert server.request("PUT", "/api/v1/secrets/openai", {"value": stored}).status == 201
    assert run(server.home, "secrets", "set", "mine", stdin=other).code == 0
    tokens = paired(server)
    code = server.request("POST", "/api/v1/codes", {"app": "default"}).json()["code"]
    wrong = {"passphrase": secret()}
    assert server.request("POST", "/api/v1/vault/unlock", wrong).status in (403, 409)
    hidden = [stored, other, key["token"], tokens["access_token"], tokens["refresh_token"], code, PASSPHRASE]
    for text in hidden:
        misplaced(server, text.replace(" ", "+"))
    for command in COMMANDS:
        said = run(server.home, *command)
        assert list(found_in(said.out + said.err)) == [], command
    for path in (
        "/api/v1/status",
        "/api/v1/grants",
        "/api/v1/keys",
        "/api/v1/audit?limit=1000",
        "/api/v1/secrets",
    ):
        assert list(found_in(server.request("GET", path).body.decode())) == [], path
    exported = tmp_path / "audit.ndjson"
    assert run(server.home, "audit", "--export", str(exported)).code == 0
    assert "token-refreshed" in exported.read_text()
    broken(server, stored)
    server.kill()
    again = servers(server.home)
    assert again.request("GET", "/api/v1/status").status == 200
    for command in COMMANDS:
        said = run(again.home, *command)
        assert list(found_in(said.out + said.err)) == [], command
    assert again.stop() == 0
    log = (again.home / "logs" / "server.jsonl").read_text()
    assert '"level": "error"' in log or '"level": "warning"' in log, "what failed was written down"
    assert list(leaks(tmp_path)) == []
