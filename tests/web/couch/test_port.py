"""The sync face at the root of a port of its own: a real server with `couchdb_port`."""

from __future__ import annotations

import http.client
import json
import socket
from base64 import b64encode
from collections.abc import Callable
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.commands import run
from tests.support.oauth import DEVICE_GRANT
from tests.support.server import RunningServer

Start = Callable[..., RunningServer]
Answer = tuple[int, dict[str, str], Any]


def started(servers: Start, port: int, **settings: str) -> RunningServer:
    env = {f"LOCALSRV_{name.upper()}": value for name, value in settings.items()}
    return servers(None, env={"LOCALSRV_COUCHDB_PORT": str(port), **env})


def ask(port: int, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """One request to a port of 127.0.0.1: status, headers with lower-case names, JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None
        if body is not None:
            data, sent["Content-Type"] = json.dumps(body), "application/json"
        connection.request(method, path, data, sent)
        answer = connection.getresponse()
        raw = answer.read()
        return answer.status, {n.lower(): v for n, v in answer.getheaders()}, json.loads(raw or b"null")
    finally:
        connection.close()


def owner(server: RunningServer) -> str:
    return "Basic " + b64encode(f"owner:{server.token}".encode()).decode()


def test_the_face_is_at_the_root(servers: Start, free_port: int) -> None:
    server = started(servers, free_port)
    token = owner(server)
    status, _, body = ask(free_port, "GET", "/")
    assert (status, body["couchdb"]) == (200, "Welcome")
    status, headers, _ = ask(free_port, "PUT", "/notes", Authorization=token)
    assert (status, headers["location"]) == (201, f"http://127.0.0.1:{free_port}/notes")
    assert ask(free_port, "PUT", "/notes/a%2Fb", {"x": 1}, Authorization=token)[0] == 201
    assert ask(free_port, "GET", "/notes/a%2Fb", Authorization=token)[2]["x"] == 1
    assert ask(free_port, "GET", "/_all_dbs/", Authorization=token)[2] == ["notes"]
    by_path = server.request("GET", "/apps/default/couch/notes/a%2Fb")
    assert by_path.json()["x"] == 1
    _, _, status_body = ask(server.port, "GET", "/api/v1/status", Authorization=f"Bearer {server.token}")
    ports = {(entry["port"], entry["app"]) for entry in status_body["listeners"]}
    assert (free_port, "default") in ports


REFUSED = [
    # path and headers at the port of the face; the status and error
    ("/", {"Host": "evil.example"}, 421, "misdirected_request"),
    ("/", {"Host": "localhost:1"}, 421, "misdirected_request"),
    ("/", {"Host": "default.localhost:{port}"}, 421, "misdirected_request"),
    ("/", {"Origin": "https://evil.example"}, 403, "forbidden"),
    ("/", {"Origin": "null"}, 403, "forbidden"),
    ("/notes", {}, 401, "unauthorized"),
    ("/api/v1/status", {"Authorization": "{owner}"}, 404, "not_found"),
    ("/apps/default/couch/notes", {"Authorization": "{owner}"}, 404, "not_found"),
    ("/index.html", {"Authorization": "{owner}"}, 404, "not_found"),
]


def test_nothing_else_is_there_and_the_guard_is(servers: Start, free_port: int) -> None:
    server = started(servers, free_port)
    for path, headers, status, error in REFUSED:
        filled = {
            name: value.replace("{port}", str(free_port)).replace("{owner}", owner(server))
            for name, value in headers.items()
        }
        answer = ask(free_port, "GET", path, **filled)
        assert (answer[0], answer[2]["error"]) == (status, error), (path, headers)
    wrong_port = ask(server.port, "GET", "/api/v1/health", Host=f"localhost:{free_port}")
    assert wrong_port[0] == 421


def test_another_app_may_be_served(servers: Start, free_port: int) -> None:
    server = started(servers, free_port, couchdb_app="shop")
    status, _, body = ask(free_port, "GET", "/items")
    assert (status, body["error"]) == (404, "not_found")
    assert "There is no app `shop`, which the setting couchdb_app names" in body["reason"]
    assert "localsrv app add --id shop" in body["reason"]
    found = server.request("GET", "/api/v1/status").json()["couchdb"]
    assert (found["port"], found["app"], found["error"]["code"]) == (free_port, "shop", "app-not-found")
    made = server.request("POST", "/api/v1/apps", body={"id": "shop", "title": "Shop"})
    assert made.status == 201
    assert ask(free_port, "PUT", "/items", Authorization=owner(server))[0] == 201
    assert server.request("GET", "/apps/shop/couch/_all_dbs").json() == ["items"]


def test_a_port_that_is_taken_does_not_keep_the_server_from_starting(servers: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = started(servers, taken.getsockname()[1])
        assert server.request("GET", "/api/v1/health").status == 200
        log = Path(server.request("GET", "/api/v1/status").json()["log_file"])
        assert "couchdb_port is not served" in log.read_text("utf-8")
        port = taken.getsockname()[1]
        found = server.request("GET", "/api/v1/status").json()["couchdb"]
        assert (found["url"], found["error"]["code"]) == (f"http://localhost:{port}", "port-taken")
        shown = run(server.home, "status").out
        assert f"CouchDB      NOT at http://localhost:{port} (app default)" in shown
        assert "set another couchdb_port" in " ".join(shown.split())
        assert f"CouchDB NOT at http://localhost:{port} (app default)" in server.output()


def test_people_are_told_where_it_is(servers: Start, free_port: int) -> None:
    server = started(servers, free_port)
    told = f"http://localhost:{free_port} (app default)"
    assert f"  CouchDB      {told}" in run(server.home, "status").out.splitlines()
    assert f"CouchDB {told}" in server.output().splitlines()


def test_doctor_looks_at_the_port(servers: Start, free_port: int) -> None:
    server = started(servers, free_port)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        expected = {
            free_port: f"ok    CouchDB port: http://localhost:{free_port} (app default)",
            taken.getsockname()[1]: f"warn  CouchDB port: {taken.getsockname()[1]} is taken by",
            0: "ok    CouchDB port: none is set",
        }
        for port, line in expected.items():
            assert line in run(server.home, "doctor", env={"LOCALSRV_COUCHDB_PORT": str(port)}).out


# ── cookies ────────────────────────────────────────────────────────────────────────────────────────────────


def cookie_of(headers: dict[str, str]) -> str:
    morsel = SimpleCookie(headers["set-cookie"])["AuthSession"]
    assert morsel["httponly"] and morsel["samesite"] == "Strict" and morsel["path"] == "/"
    return f"AuthSession={morsel.value}"


def test_cookies_are_off_unless_switched_on(servers: Start, free_port: int) -> None:
    server = started(servers, free_port)
    status, headers, body = ask(free_port, "POST", "/_session", {"name": "owner", "password": server.token})
    assert (status, body["error"]) == (403, "forbidden")
    assert "set-cookie" not in headers


def test_a_cookie_holds_at_its_port_alone(servers: Start, free_port: int) -> None:
    server = started(servers, free_port, couchdb_cookie="true")
    key = server.request(
        "POST", "/api/v1/keys", body={"name": "nano", "app": "default", "scopes": ["sync"]}
    ).json()
    assert ask(free_port, "POST", "/_session", {"name": "nano", "password": "x"})[0] == 401
    status, headers, body = ask(free_port, "POST", "/_session", {"name": "nano", "password": key["token"]})
    assert (status, body) == (200, {"ok": True, "name": "nano", "roles": []})
    cookie = cookie_of(headers)
    assert key["token"] not in cookie
    assert ask(free_port, "PUT", "/notes", Cookie=cookie)[0] == 201
    session = ask(free_port, "GET", "/_session", Cookie=cookie)[2]
    assert session["userCtx"]["name"] == "nano"
    assert session["info"] == {"authentication_handlers": ["cookie", "default"], "authenticated": "cookie"}
    # neither elsewhere, nor for what a page of another site makes a browser ask
    assert ask(server.port, "GET", "/apps/default/couch/notes", Cookie=cookie)[0] == 401
    for site in ("cross-site", "same-site"):
        assert ask(free_port, "GET", "/notes", Cookie=cookie, Sec_Fetch_Site=site)[0] == 401
    assert ask(free_port, "GET", "/notes", Cookie=cookie[:-1] + "x")[0] == 401
    # it is forgotten when asked for, and ends with its key
    gone = ask(free_port, "DELETE", "/_session", Cookie=cookie)
    assert gone[2] == {"ok": True} and "Max-Age=0" in gone[1]["set-cookie"]
    assert server.request("DELETE", f"/api/v1/keys/{key['id']}").status == 200
    assert ask(free_port, "GET", "/notes", Cookie=cookie)[0] == 401


def test_a_cookie_is_of_the_page_that_signed_in(servers: Start, free_port: int) -> None:
    """Cookies know no ports: a page with access of its own must not use what another signed in with."""
    server = started(servers, free_port, couchdb_cookie="true")
    page, other = "http://localhost:3000", "http://localhost:3001"
    for origin in (page, other):
        made = {"name": "p", "app": "default", "scopes": ["a:read"], "origin": origin}
        assert server.request("POST", "/api/v1/keys", body=made).status == 201
    signing_in = {"name": "owner", "password": server.token}
    own = {"Origin": f"http://127.0.0.1:{free_port}"}
    for who, allowed, refused in (
        ({}, ({}, own), ({"Origin": page}, {"Origin": other})),
        (own, ({}, own), ({"Origin": page}, {"Origin": other})),
        ({"Origin": page}, ({"Origin": page},), ({}, own, {"Origin": other})),
    ):
        status, headers, _ = ask(free_port, "POST", "/_session", signing_in, **who)
        assert status == 200
        cookie = cookie_of(headers)
        for asker in allowed:
            assert ask(free_port, "GET", "/_all_dbs", Cookie=cookie, **asker)[0] == 200, (who, asker)
        for asker in refused:
            assert ask(free_port, "GET", "/_all_dbs", Cookie=cookie, **asker)[0] == 401, (who, asker)
            assert ask(free_port, "PUT", "/stolen", Cookie=cookie, **asker)[0] == 401, (who, asker)


def test_a_narrowed_token_gets_no_cookie(servers: Start, free_port: int) -> None:
    """A cookie stands for the grant, and must not give back what a token was made without."""
    server = started(servers, free_port, couchdb_cookie="true")

    def form(path: str, **fields: str) -> Any:
        sent = {"Content-Type": "application/x-www-form-urlencoded"}
        return server.request("POST", path, urlencode(fields), headers=sent, token=None).json()

    device = form("/oauth/device_authorization", client_id="nano", scope="sync", app="default")
    assert server.request("POST", f"/api/v1/requests/{device['user_code']}/approve").status == 200
    tokens = form(
        "/oauth/token", client_id="nano", grant_type=DEVICE_GRANT, device_code=device["device_code"]
    )
    refresh = {"grant_type": "refresh_token", "client_id": "nano", "refresh_token": tokens["refresh_token"]}
    narrow = form("/oauth/token", scope="notes:read", **refresh)
    assert narrow["scope"] == "notes:read"
    for token, status in ((narrow["access_token"], 403), (tokens["access_token"], 200)):
        signed_in = ask(free_port, "POST", "/_session", {"name": tokens["grant_id"], "password": token})
        assert signed_in[0] == status, signed_in


@pytest.mark.parametrize("value", ["", "x", "a:b", "a:1:2", "owner:9999999999:"])
def test_cookies_that_are_none(servers: Start, free_port: int, value: str) -> None:
    started(servers, free_port, couchdb_cookie="1")
    assert ask(free_port, "GET", "/notes", Cookie=f"AuthSession={value}")[0] == 401
