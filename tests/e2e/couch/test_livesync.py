"""What Obsidian LiveSync asks of a server, request by request, and what it wants to hear.

Source: vrtmrz/obsidian-livesync 1.0.16: `utilCheckCouchDB.ts` («Check server requirements»), `provision.ts`
(its script for new servers), and the documents by which its devices know each other (`db.const.ts`).
"""

from __future__ import annotations

import http.client
import json
import socket
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.couch.conftest import Couch, make_app, make_key, run_node
from tests.support.server import start_server

ORIGINS = ["app://obsidian.md", "capacitor://localhost", "http://localhost"]
CONFIG = "/_node/_local/_config"


@dataclass(frozen=True)
class Port(Couch):
    """The app at the root of a port of its own, as docs/sync.md sets it up."""

    port: int

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """The status, the headers, and the body as JSON."""
        signed_in = b64encode(f"{self.user}:{self.password}".encode()).decode()
        sent = {"Authorization": f"Basic {signed_in}", "Content-Type": "application/json", **headers}
        connection = http.client.HTTPConnection("localhost", self.port, timeout=20)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, answer.headers, json.loads(text) if text else None
        finally:
            connection.close()


@pytest.fixture(scope="module")
def obsidian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "LOCALSRV_COUCHDB_PORT": str(port),
        "LOCALSRV_COUCHDB_APP": "obsidian",
        "LOCALSRV_ALLOWED_ORIGINS": ",".join(ORIGINS),
    }
    server = start_server(tmp_path_factory.mktemp("livesync") / "home", env=settings)
    make_app(server, "obsidian")
    yield Port(server, "obsidian", "obsidian", make_key(server, "obsidian", "obsidian", "sync"), port)
    assert server.stop() == 0, server.output()
    assert "Traceback" not in server.output()


@pytest.mark.parametrize("origin", ORIGINS)
def test_its_check_of_the_server_is_content(obsidian: Port, origin: str) -> None:
    """Everything that the check would offer to fix, and its question from each origin."""
    status, headers, found = obsidian.ask("GET", CONFIG, Origin=origin)
    assert status == 200
    assert headers["Access-Control-Allow-Origin"] == origin
    assert headers["Access-Control-Allow-Credentials"] == "true"
    wanted = {
        ("chttpd", "require_valid_user"): "true",
        ("chttpd_auth", "require_valid_user"): "true",
        ("chttpd", "enable_cors"): "true",
        ("httpd", "enable_cors"): "true",
        ("cors", "credentials"): "true",
    }
    assert {place: found[place[0]].get(place[1]) for place in wanted} == wanted
    assert found["httpd"]["WWW-Authenticate"].startswith("Basic ")
    assert int(found["chttpd"]["max_http_request_size"]) >= 4_294_967_296
    assert int(found["couchdb"]["max_document_size"]) >= 50_000_000
    assert set(found["cors"]["origins"].split(",")) >= set(ORIGINS)


def test_its_script_for_new_servers_ends_well(obsidian: Port) -> None:
    setup = {"action": "enable_single_node", "username": "obsidian", "password": obsidian.password,
             "bind_address": "0.0.0.0", "port": 5984, "singlenode": True}  # fmt: skip
    status, _, found = obsidian.ask("POST", "/_cluster_setup", setup)
    is_done_already = status in (400, 409) and any(
        word in json.dumps(found).lower() for word in ("already", "finished")
    )
    assert status < 300 or is_done_already, found
    settings = {
        "chttpd/require_valid_user": "true",
        "chttpd_auth/require_valid_user": "true",
        "httpd/WWW-Authenticate": 'Basic realm="couchdb"',
        "httpd/enable_cors": "true",
        "chttpd/enable_cors": "true",
        "chttpd/max_http_request_size": "4294967296",
        "couchdb/max_document_size": "50000000",
        "cors/credentials": "true",
        "cors/origins": ",".join(ORIGINS),
    }
    answers = {key: obsidian.ask("PUT", f"{CONFIG}/{key}", value)[0] for key, value in settings.items()}
    assert answers == dict.fromkeys(settings, 200)
    assert obsidian.ask("PUT", "/provisioned")[0] == 201
    assert obsidian.ask("PUT", "/provisioned")[0] == 412


def test_preflights_of_the_desktop(obsidian: Port) -> None:
    """As Chromium asks before a request with a password from `app://obsidian.md`."""
    asked = {
        "Origin": "app://obsidian.md",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    status, headers, _ = obsidian.ask("OPTIONS", "/obsidiannotes/_bulk_docs", **asked)
    assert status in (200, 204)
    assert headers["Access-Control-Allow-Origin"] == "app://obsidian.md"
    assert "authorization" in headers["Access-Control-Allow-Headers"].lower()
    assert "PUT" in headers["Access-Control-Allow-Methods"]
    status, headers, _ = obsidian.ask("GET", "/", Origin="app://elsewhere")
    assert "Access-Control-Allow-Origin" not in headers


def test_two_vaults(obsidian: Port) -> None:
    """Its documents and its ways of replicating, by PouchDB, which LiveSync uses."""
    run_node("livesync", obsidian)
