"""`localsrv sync` against two real servers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import run
from tests.support.server import RunningServer, start_server

COUCH = "/apps/default/couch"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, RunningServer]]:
    folder = tmp_path_factory.mktemp("sync")
    servers = start_server(folder / "here"), start_server(folder / "there")
    yield servers
    for server in servers:
        assert server.stop() == 0
        assert "Traceback" not in server.output()


@pytest.fixture
def database(
    two: tuple[RunningServer, RunningServer], request: pytest.FixtureRequest
) -> Callable[[str], str]:
    """Makes a database with one document here; returns its name."""

    def make(name: str) -> str:
        here = two[0]
        assert here.request("PUT", f"{COUCH}/{name}").status == 201
        assert here.request("PUT", f"{COUCH}/{name}/doc", {"n": 1}).status == 201
        return name

    return make


def told(home: Path, *arguments: str) -> Any:
    done = run(home, "sync", *arguments, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_a_life(two: tuple[RunningServer, RunningServer], database: Callable[[str], str]) -> None:
    """Here to another database here: that needs no keyring."""
    here = two[0]
    name = database("notes")
    copied = here.request(
        "POST",
        "/api/v1/apps/default/replications",
        {"id": "copy", "source": name, "target": "copied", "create_target": True, "continuous": True},
    )
    assert copied.status == 201
    (found,) = told(here.home, "now", "copy", "--wait")
    assert (found["id"], found["state"], found["progress"]["docs_written"]) == ("copy", "running", 1)
    listed = run(here.home, "sync", "list")
    assert listed.code == 0
    assert [cell in listed.out for cell in ("copy", "notes", "copied", "running")] == [True] * 4
    assert told(here.home, "pause", "copy")[0]["state"] == "paused"
    assert told(here.home, "list")[0]["state"] == "paused"
    assert run(here.home, "sync", "resume", "copy").code == 0
    kinds = [entry["kind"] for entry in told(here.home, "log", "copy")]
    assert {"started", "paused", "resumed"} <= set(kinds)
    assert "paused" in run(here.home, "sync", "log", "copy", "--limit", "5").out
    assert told(here.home, "remove", "copy") == {"removed": "copy"}
    assert told(here.home, "list") == []
    missing = run(here.home, "sync", "now", "copy")
    assert missing.code == 4
    assert "no replication `copy`" in missing.err


def test_a_name_that_no_database_can_have_is_refused_at_once(
    two: tuple[RunningServer, RunningServer],
) -> None:
    here, there = two
    done = run(here.home, "sync", "add", "Notes", f"{there.url_by_address}{COUCH}/notes")
    assert done.code != 0 and "`Notes`" in done.err and "small letter" in done.err
    assert told(here.home, "list") == []


PROBLEMS = [
    ("closed", "http://127.0.0.1:{free}/x", "peer_unreachable", "the other server running?"),
    ("html", "{there}/", "", "address of a CouchDB database"),
    ("unsigned", "{there}/apps/default/couch/x", "peer_unauthorized", "--user"),
    ("server", "{there}/apps/default/couch/", "peer_no_database", "couch/name"),
    ("tls", "{there}/apps/default/couch/x", "peer_no_https", "begin with http://"),
]


@pytest.mark.parametrize(("name", "address", "code", "hint"), PROBLEMS, ids=[p[0] for p in PROBLEMS])
def test_problems_say_what_to_do(
    two: tuple[RunningServer, RunningServer],
    database: Callable[[str], str],
    free_port: int,
    name: str,
    address: str,
    code: str,
    hint: str,
) -> None:
    here, there = two
    database(name)
    url = address.format(free=free_port, there=there.url_by_address) + ("none" if name == "html" else "")
    url = url.replace("http:", "https:") if name == "tls" else url
    done = run(here.home, "sync", "add", name, url, "--push", "--wait")
    assert done.code == 1 and code in done.out
    listed, log = run(here.home, "sync", "list"), run(here.home, "sync", "log", name)
    for said in (done.out, listed.out, log.out):
        assert hint in " ".join(said.split()), said
        long = [line for line in said.splitlines() if len(line) > 80 and "://" not in line]
        assert long == []
    assert run(here.home, "sync", "remove", name).code == 0


def test_a_database_that_is_missing_over_there(
    two: tuple[RunningServer, RunningServer], database: Callable[[str], str]
) -> None:
    here = two[0]
    name = database("lonely")
    body = {"id": name, "source": name, "target": "nowhere", "continuous": True}
    assert here.request("POST", "/api/v1/apps/default/replications", body).status == 201
    (found,) = run(here.home, "sync", "now", name, "--wait", "--json").json()
    assert found["error"].startswith("db_not_found") and "no database nowhere" in found["hint"]
    assert run(here.home, "sync", "remove", name).code == 0


def test_without_a_keyring_credentials_are_refused_with_a_hint(
    two: tuple[RunningServer, RunningServer], database: Callable[[str], str]
) -> None:
    here, there = two
    name = database("secret")
    address = f"{there.url_by_address}{COUCH}/{name}"
    arguments = ("sync", "add", name, address, "--user", "owner", "--password-stdin")
    done = run(here.home, *arguments, stdin=f"{there.token}\n")
    assert done.code == 7
    assert "keyring" in done.err
    assert there.token not in done.out + done.err
    assert told(here.home, "list") == []


def test_a_peer_that_is_not_there_is_tried_again(
    two: tuple[RunningServer, RunningServer], database: Callable[[str], str], free_port: int
) -> None:
    here = two[0]
    name = database("offline")
    address = f"http://127.0.0.1:{free_port}/{name}"
    waited = run(here.home, "sync", "add", name, address, "--wait", "--json")
    assert waited.code == 1, "what was waited for did not happen"
    found = json.loads(waited.out)
    assert [(one["id"], one["state"]) for one in found] == [
        ("offline-pull", "crashing"),
        ("offline-push", "crashing"),
    ]
    assert all(one["error"].startswith("peer_unreachable") and one["next_try_at"] for one in found)
    for one in found:
        assert run(here.home, "sync", "remove", one["id"]).code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "x"),
        ("add", "x", "http://h/x", "--selector", "no json"),
        ("add", "x", "http://h/x", "--selector", "[]"),
        ("add", "x", "http://h/x", "--password-stdin"),
    ],
)
def test_usage(two: tuple[RunningServer, RunningServer], arguments: tuple[str, ...]) -> None:
    assert run(two[0].home, "sync", *arguments).code == 2


def test_no_terminal_to_ask_for_the_password_on(two: tuple[RunningServer, RunningServer]) -> None:
    done = run(two[0].home, "sync", "add", "x", "http://host/x", "--user", "ann")
    assert (done.code, "--password-stdin" in done.err, len(done.err.splitlines())) == (2, True, 1)


def test_what_is_no_address(two: tuple[RunningServer, RunningServer]) -> None:
    for address, options in (("ftp://host/x", ()), ("host:5984/x", ("--user", "ann", "--password-stdin"))):
        done = run(two[0].home, "sync", "add", "x", address, *options, stdin="secret\n")
        assert (done.code, "http" in done.err) == (6, True), done.err


def test_waiting_for_what_cannot_be_moved_fails(
    two: tuple[RunningServer, RunningServer], database: Callable[[str], str]
) -> None:
    """A script may go on to remove what it believes to be copied."""
    here, there = two
    name = database("kept")
    address = f"http://127.0.0.1:{there.port}/apps/default/couch/nowhere"
    waited = run(here.home, "sync", "add", name, address, "--push", "--once", "--wait", "--name", "lost")
    assert waited.code == 1 and "crashing" in waited.out, waited.out
    assert run(here.home, "sync", "now", "lost", "--wait").code == 1
    assert run(here.home, "sync", "now", "lost").code == 0
    assert run(here.home, "sync", "remove", "lost").code == 0


def test_trying_now_tells_whether_the_other_side_is_there(
    servers: Callable[..., RunningServer], tmp_path: Path
) -> None:
    """What had caught up, or had begun another try, was told as it was before, though nobody answered."""
    here, there = servers(tmp_path / "here"), servers(tmp_path / "there")
    kept = run(
        here.home, "secrets", "move", "--to", "sealed_file", "--passphrase-fd", "0", stdin=f"{'x' * 20}\n"
    )
    assert kept.code == 0, kept.err
    assert here.request("PUT", f"{COUCH}/notes").status == 201
    add = ("sync", "add", "notes", f"http://127.0.0.1:{there.port}{COUCH}/notes", "--create", "--wait")
    key = run(there.home, "key", "create", "first", "--app", "default", "--scope", "sync").out
    added = run(here.home, *add, "--user", "first", "--password-stdin", stdin=key)
    assert added.code == 0, added.out + added.err

    port = there.port
    assert there.stop() == 0
    for way in ("pull", "push", "pull", "push"):
        done = run(here.home, "sync", "now", f"notes-{way}", "--wait")
        assert (done.code, "crashing, peer_unreachable" in done.out) == (1, True), done.out
    assert here.request("PUT", f"{COUCH}/notes/late", {"n": 1}).status == 201
    there = servers(tmp_path / "there", port=port)
    for way in ("pull", "push"):
        done = run(here.home, "sync", "now", f"notes-{way}", "--wait")
        assert (done.code, "running" in done.out) == (0, True), done.out
    assert there.request("GET", f"{COUCH}/notes/late").status == 200
