"""A program asks, the person decides in a terminal, and real clients use what it got."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.commands import NODE_MODULES, environment, run
from tests.support.server import RunningServer

PROGRAM = Path(__file__).with_name("program.mjs")


class Program:
    """The running program; what it says is read line by line, and waited for at most a minute."""

    def __init__(self, server: RunningServer, way: str) -> None:
        node = shutil.which("node")
        if node is None or not (NODE_MODULES / "pouchdb").is_dir():
            pytest.skip("Node.js and the packages of tests/node are not installed")
        self._process = subprocess.Popen(
            [node, str(PROGRAM), way],
            env=os.environ | {"LOCALSRV_URL": server.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._watch = threading.Timer(90, self._process.kill)
        self._watch.start()

    def says(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        before = []
        while line and not line.startswith("{"):  # Node's own warnings
            before.append(line)
            line = self._process.stdout.readline()
        assert line, "".join(before) or "the program ended without a word"
        try:
            return json.loads(line)
        except ValueError:
            raise AssertionError(line + self._process.stdout.read()) from None

    def ended(self) -> int:
        assert self._process.stdout is not None
        rest = self._process.stdout.read()
        code = self._process.wait(30)
        self._watch.cancel()
        self._process.stdout.close()
        assert code == 0, rest
        return code


def test_with_a_code(shop: RunningServer) -> None:
    program = Program(shop, "code")
    code = program.says()["code"]
    waiting = run(shop.home, "requests")
    assert code in waiting.out
    assert "calls itself “A program with a code”" in waiting.out
    assert "a program on this computer; nothing proves which" in waiting.out
    (listed,) = run(shop.home, "requests", "--json").json()
    assert listed["code"] == code
    approved = run(shop.home, "approve", code.lower())
    assert approved.code == 0, approved.err
    assert "“A program with a code” may, in shop:" in approved.out
    assert run(shop.home, "approve", code).code == 6, "it was decided already"
    assert program.says() == {"done": True}
    program.ended()
    assert run(shop.home, "requests").out == "Nobody waits.\n"
    assert run(shop.home, "grants", "list", "--json").json() == []
    _leaves_no_token(shop)


def test_with_the_browser(shop: RunningServer) -> None:
    program = Program(shop, "browser")
    address = program.says()["open"]
    begun = shop.request("GET", address.removeprefix(shop.url), token=None, host=f"localhost:{shop.port}")
    assert begun.status == 303, begun.body
    ticket = {"ticket": begun.headers["location"].partition("=")[2]}
    (listed,) = run(shop.home, "requests", "--json").json()
    approved = run(shop.home, "approve", listed["id"], "--json")
    assert approved.code == 0, approved.err
    told = shop.request("POST", "/api/v1/ticket", ticket, token=None).json()
    back = urlsplit(told["redirect_to"])
    connection = http.client.HTTPConnection(back.hostname or "", back.port, timeout=10)
    connection.request("GET", f"{back.path}?{back.query}")
    assert connection.getresponse().status == 200
    connection.close()
    assert program.says() == {"done": True}
    program.ended()
    _leaves_no_token(shop)


def test_deciding_in_a_terminal(shop: RunningServer) -> None:
    """Refusals, choices, and what cannot be."""

    def ask(name: str, **more: str) -> str:
        body = "&".join(f"{k}={v}" for k, v in {"client_id": name, "scope": "*:read", **more}.items())
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        asked = shop.request("POST", "/oauth/device_authorization", body, headers=form, token=None)
        return str(asked.json()["user_code"])

    first = ask("Nosy")
    assert run(shop.home, "refuse", first).out == "Refused “Nosy”.\n"
    assert run(shop.home, "refuse", ask("Nosy")).out == "Refused “Nosy”. It is not heard for an hour.\n"
    code = ask("Careful")
    cases = [
        (("approve", "ZZZZ-ZZZZ"), 4, "No request with this code waits."),
        (("approve", code), 6, "It does not say which app it is for."),
        (("approve", code, "--app", "nothing"), 4, "There is no app `nothing`."),
        (("approve", code, "--app", "shop", "--scope", "admin"), 6, "goes beyond what was asked for"),
        (("approve", code, "--app", "shop", "--expires", "soon"), 2, "--expires cannot be `soon`"),
    ]
    for arguments, status, text in cases:
        ended = run(shop.home, *arguments)
        assert (ended.code, text in ended.err) == (status, True), ended.err
    given = run(
        shop.home, "approve", code, "--app", "shop", "--scope", "items:read", "--once", "--json"
    ).json()
    assert (given["app"], given["scopes"], given["once"]) == ("shop", ["items:read"], True)
    key = run(shop.home, "key", "create", "page", "--app", "shop", "--publishable", "--scope", "items:read")
    assert key.out.startswith("lsp_")
    assert run(shop.home, "key", "create", "page", "--app", "shop", "--publishable").code == 2
    (listed,) = run(shop.home, "grants", "list", "--kind", "publishable", "--json").json()
    assert run(shop.home, "grants", "revoke", listed["id"]).out == f"Revoked {listed['id']}.\n"
    assert run(shop.home, "grants", "revoke", listed["id"]).code == 4


def test_watching_the_list(shop: RunningServer) -> None:
    """`localsrv requests --watch` shows each request when it comes, once."""
    watching = subprocess.Popen(
        [sys.executable, "-m", "localsrv", "requests", "--watch"],
        env=environment(shop.home) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    stop = threading.Timer(60, watching.kill)
    stop.start()
    assert watching.stdout is not None
    try:
        assert watching.stdout.readline() == "Nobody waits.\n"
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        for name in ("First", "Second"):
            body = f"client_id={name}&scope=items:read&app=shop"
            asked = shop.request("POST", "/oauth/device_authorization", body, headers=form, token=None).json()
            lines = [watching.stdout.readline() for _ in range(5)]
            assert lines[0] == f"{asked['user_code']}  calls itself “{name}”\n"
            assert lines[3] == "  wants to read the collection “items”\n"
    finally:
        stop.cancel()
        watching.kill()
        watching.wait(20)
        watching.stdout.close()


def _leaves_no_token(server: RunningServer) -> None:
    files = [path for path in server.home.rglob("*") if path.is_file()]
    written = b"".join(path.read_bytes() for path in files) + server.output().encode()
    for prefix in (b"lsa_", b"lsr_"):
        assert prefix not in written
