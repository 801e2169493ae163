"""`localsrv integration` against a real server with a sealed vault, and an outside service on loopback."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_secrets import Terminal
from tests.support.commands import environment, run
from tests.support.leaks import secret
from tests.support.server import RunningServer

PASSPHRASE = "correct horse battery"

MANIFEST = """
id = "shop"
[integrations.weather]
title = "Example Weather"
why = "Shows the weather where the shop is"
base_url = "https://api.example.org/v1"
auth = { kind = "header", name = "X-Api-Key" }
methods = ["GET"]
paths = ["/now/*"]
"""


@dataclass
class Service:
    port: int = 0
    keys: list[str | None] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


@pytest.fixture
def service() -> Iterator[Service]:
    """Answers every GET, and notes the key that came."""
    played = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            played.keys.append(self.headers["X-Api-Key"])
            body = b'{"degrees": 21}'
            self.send_response(404 if self.path == "/v1/now/nowhere" else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Cache-Control", "max-age=60")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        played.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield played
        server.shutdown()
        thread.join()


@pytest.fixture
def shop(servers: Callable[..., RunningServer], tmp_path: Path) -> RunningServer:
    """A server with an unlocked sealed vault, and an app that asks."""
    server = servers(env={"LOCALSRV_VAULT": "sealed_file"})
    made = run(server.home, "vault", "unlock", "--create", "--passphrase-fd", "0", stdin=f"{PASSPHRASE}\n")
    assert made.code == 0, made.err
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "app.toml").write_text(MANIFEST)
    assert run(server.home, "app", "add", str(folder)).code == 0
    return server


def test_the_way_of_an_integration(shop: RunningServer, service: Service) -> None:
    hidden = secret()

    def integration(*arguments: str, stdin: str = "") -> Any:
        return run(shop.home, "integration", *arguments, "--app", "shop", stdin=stdin)

    asked = integration("list")
    assert "Shows the weather where the shop is" in asked.out
    assert "localsrv integration set weather --app shop" in asked.out
    assert run(shop.home, "integration", "list").out == asked.out, "of all apps"
    refused = integration("set", "weather")
    assert refused.code == 2, "nobody can be asked"
    assert "needs a secret. Pipe it in with --secret-stdin." in refused.err
    local = ("--url", f"http://{service.host}/v1", "--allow-host", service.host)
    done = integration("set", "weather", *local, "--secret-stdin", stdin=f"{hidden}\n")
    assert done.code == 0, done.err
    assert f"shop may call weather at http://{service.host}/v1: GET /now/*." in done.out
    tried = integration("test", "weather", "--path", "/now/berlin")
    assert (tried.code, "answers 200" in tried.out) == (0, True), tried.err
    assert integration("test", "weather", "--path", "/now/nowhere").code == 1
    assert "does not allow the path" in integration("test", "weather").err
    for _ in range(2):
        answer = shop.request("GET", "/apps/shop/integrations/v1/weather/now/berlin")
        assert answer.json() == {"degrees": 21}
    assert service.keys == [hidden] * 3, "the last one was kept"
    listed = integration("list")
    assert "closed" in listed.out and hidden not in listed.out
    assert integration("clear", "weather").out == "Forgot 1 answer of weather.\n"
    changed = integration(
        "set", "weather", "--limit", "total_s=5", "--no-cache", "--method", "get", "--json"
    ).json()
    assert (changed["settings"]["limits"]["total_s"], changed["settings"]["cache"]) == (5, False)
    elsewhere = integration("set", "weather", "--url", "https://elsewhere.example")
    assert (elsewhere.code, "another place" in elsewhere.err) == (2, True), (
        "the secret stays where it belongs"
    )
    assert integration("rm", "weather").code == 0
    assert integration("rm", "weather").code == 4
    assert run(shop.home, "secrets", "list", "--json").json() == []


@pytest.mark.skipif(sys.platform == "win32", reason="not on Windows: pseudo-terminals of POSIX")
def test_a_person_is_asked_for_the_secret_where_one_is_needed(shop: RunningServer, service: Service) -> None:
    hidden, other = secret(), secret()
    local = ("--url", f"http://{service.host}/v1", "--allow-host", service.host)
    command = ("integration", "set", "weather", "--app", "shop")
    asked = Terminal(environment(shop.home), *command, *local)
    asked.answer("Secret of weather:", hidden)
    assert asked.end() == 0, asked.shown
    assert "needs a secret" in asked.shown and hidden not in asked.shown
    test = ("integration", "test", "weather", "--app", "shop", "--path", "/now/x")
    assert run(shop.home, *test).code == 0
    again = Terminal(environment(shop.home), *command, "--secret")
    again.answer("Secret of weather:", other)
    assert again.end() == 0, again.shown
    assert run(shop.home, *test).code == 0
    assert service.keys == [hidden, other]
    nothing = Terminal(environment(shop.home), *command, "--limit", "retries=0")
    assert nothing.end() == 0, "what is known is not asked for"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--param", "name"), "--param takes NAME=VALUE"),
        (("--limit", "total_s=long"), "takes a number"),
        (("--limit", "total=1"), "no limit"),
        (("--auth", "magic"), "no kind of authentication"),
        (("--secret",), "Nobody can be asked here"),
        (("--path", "now"), "must begin with a slash"),
    ],
)
def test_what_is_refused(shop: RunningServer, arguments: tuple[str, ...], says: str) -> None:
    done = run(shop.home, "integration", "set", "weather", "--app", "shop", *arguments)
    assert done.code != 0
    assert says in done.err
