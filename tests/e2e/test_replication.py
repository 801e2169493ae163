"""Two servers that keep a database in step, killed, restarted, cut off from each other and healed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.proxy import Proxy
from tests.support.server import RunningServer
from tests.support.waiting import wait_until

COUCH = "/apps/default/couch"
Start = Callable[..., RunningServer]


def ask(server: RunningServer, method: str, path: str, body: Any = None) -> Any:
    answer = server.request(method, COUCH + path, body)
    assert answer.status < 400, answer.body
    return answer.json()


def remote(server: RunningServer, database: str = "notes", *, through: Proxy | None = None) -> dict[str, Any]:
    """A server's database for a replication, as if it were on another computer."""
    port = server.port if through is None else through.port
    url = f"http://127.0.0.1:{port}{COUCH}/{database}"
    auth = {"basic": {"username": "owner", "password": server.token}}
    return {"url": url, "auth": auth, "headers": {"Host": f"127.0.0.1:{server.port}"}}


def write(server: RunningServer, *ids: str, **fields: Any) -> None:
    rows = ask(server, "POST", "/notes/_bulk_docs", {"docs": [{"_id": i, **fields} for i in ids]})
    assert all("ok" in row for row in rows), rows


def trees(server: RunningServer) -> dict[str, list[str]]:
    """Every document's leaves."""
    rows = ask(server, "GET", "/notes/_changes?style=all_docs&limit=100000")["results"]
    return {row["id"]: [change["rev"] for change in row["changes"]] for row in rows}


def keep_in_step(here: RunningServer, there: RunningServer, proxy: Proxy | None = None) -> None:
    for source, target in ((remote(there, through=proxy), "notes"), ("notes", remote(there, through=proxy))):
        ask(here, "POST", "/_replicate", {"source": source, "target": target, "continuous": True})


def alike(*servers: RunningServer) -> Callable[[], bool]:
    def look() -> bool:
        first, *others = (trees(server) for server in servers)
        return all(other == first for other in others)

    return look


def counts(server: RunningServer) -> list[dict[str, Any]]:
    tasks = ask(server, "GET", "/_scheduler/jobs")["jobs"]
    return [job["info"] for job in tasks]


@pytest.fixture
def two(servers: Start) -> tuple[RunningServer, RunningServer]:
    made = servers(), servers()
    for server in made:
        ask(server, "PUT", "/notes")
    return made


@pytest.fixture
def proxy(two: tuple[RunningServer, RunningServer]) -> Iterator[Proxy]:
    made = Proxy(two[1].port)
    yield made
    made.cut()


def test_two_servers_keep_in_step(two: tuple[RunningServer, RunningServer]) -> None:
    here, there = two
    write(here, "from here")
    write(there, "from there")
    keep_in_step(here, there)
    wait_until(lambda: len(trees(here)) == len(trees(there)) == 2, what="both documents on both sides")
    write(there, "later")
    wait_until(lambda: "later" in trees(here), what="a later document")
    assert alike(here, there)()
    assert sum(info["doc_write_failures"] for info in counts(here)) == 0
    # What came from there is not sent back: each side wrote only what the other had made.
    assert sorted(info["docs_written"] for info in counts(here)) == [1, 2]


def test_cut_off_and_healed(two: tuple[RunningServer, RunningServer], proxy: Proxy) -> None:
    """Both sides go on while the network is away; afterwards they hold the same, the conflict included."""
    here, there = two
    write(here, "shared", n=0)
    keep_in_step(here, there, proxy)
    wait_until(lambda: "shared" in trees(there), what="the first document")
    rev = trees(here)["shared"][0]
    proxy.cut()
    write(here, *(f"here{n}" for n in range(50)))
    write(there, *(f"there{n}" for n in range(50)))
    write(here, "shared", _rev=rev, n=1)
    write(there, "shared", _rev=rev, n=2)

    def crashing() -> bool:
        jobs = ask(here, "GET", "/_scheduler/jobs")["jobs"]
        return all(job["history"][0]["type"] == "crashed" for job in jobs)

    wait_until(crashing, what="the replications noticing", seconds=40)
    reasons = {job["history"][0]["reason"] for job in ask(here, "GET", "/_scheduler/jobs")["jobs"]}
    assert all(there.token not in reason for reason in reasons)
    proxy.heal()
    wait_until(alike(here, there), what="the same on both sides", seconds=60)
    assert len(trees(here)) == 101
    assert len(trees(here)["shared"]) == 2


def test_the_network_is_cut_in_the_middle_of_a_first_sync(
    two: tuple[RunningServer, RunningServer], proxy: Proxy
) -> None:
    here, there = two
    for at in range(0, 6000, 1000):
        write(there, *(f"doc{n:05}" for n in range(at, at + 1000)), text="x" * 2000)
    body = {"source": remote(there, through=proxy), "target": "notes", "continuous": True}
    ask(here, "POST", "/_replicate", body)
    wait_until(lambda: proxy.forwarded > 3 << 20, what="some of it on its way")
    proxy.cut()
    wait_until(lambda: "crashed" in _events(here), what="the replication noticing")
    proxy.heal()
    wait_until(alike(here, there), what="the same on both sides", seconds=60)


def _events(server: RunningServer) -> list[str]:
    return [
        event["type"] for job in ask(server, "GET", "/_scheduler/jobs")["jobs"] for event in job["history"]
    ]


def test_the_other_server_is_killed_and_restarted(
    two: tuple[RunningServer, RunningServer], servers: Start
) -> None:
    here, there = two
    ids = [f"doc{n:04}" for n in range(500)]
    write(here, *ids)
    # Its token is another one after a restart, so a key's is used.
    key = there.request(
        "POST", "/api/v1/keys", {"name": "peer", "app": "default", "scopes": ["sync"]}
    ).json()["token"]
    source = {**remote(there), "auth": {"basic": {"username": "peer", "password": key}}}
    for pair in ((source, "notes"), ("notes", source)):
        body = {"source": pair[0], "target": pair[1], "continuous": True}
        ask(here, "POST", "/_replicate", body)
    wait_until(lambda: len(trees(there)) > 0, what="the first documents over there")
    there.kill()
    write(here, "while it was away")
    again = servers(there.home, port=there.port)
    assert again.port == there.port
    wait_until(alike(here, again), what="the same on both sides", seconds=60)
    assert set(trees(again)) == {*ids, "while it was away"}
    write(again, "after")
    wait_until(lambda: "after" in trees(here), what="changes after the restart", seconds=60)


def test_the_replicating_server_is_killed_and_goes_on_where_it_was(servers: Start, tmp_path: Path) -> None:
    """A stored replication goes on by itself; the checkpoint says where."""
    home = tmp_path / "here"
    here = servers(home)
    for name in ("notes", "copy", "_replicator"):
        ask(here, "PUT", f"/{name}")
    write(here, *(f"doc{n:04}" for n in range(300)))
    ask(here, "PUT", "/_replicator/mine", {"source": "notes", "target": "copy", "continuous": True})

    def checkpointed() -> bool:
        info = ask(here, "GET", "/_scheduler/docs/_replicator/mine")["info"]
        return info.get("checkpointed_source_seq") not in (0, None) and info["docs_written"] == 300

    wait_until(checkpointed, what="a checkpoint")
    here.kill()
    here = servers(home)
    write(here, "after the restart")

    def went_on() -> Any:
        found = ask(here, "GET", "/_scheduler/docs/_replicator/mine")
        return found if found["info"].get("docs_written") == 1 else None

    info = wait_until(went_on, what="the replication going on")["info"]
    assert info["revisions_checked"] == 1
    log = here.request("GET", "/api/v1/apps/default/replications/mine/log").json()["entries"]
    assert [entry["kind"] for entry in log].count("started") == 2


def test_a_database_that_was_deleted_and_made_again_gets_everything(
    two: tuple[RunningServer, RunningServer],
) -> None:
    """What the run that went on over it had to record is true of the old database alone."""
    here, there = two
    write(there, "one", "two")
    body = {"source": remote(there), "target": "notes", "continuous": True}
    ask(here, "POST", "/_replicate", body)
    wait_until(lambda: len(trees(here)) == 2, what="both documents")
    ask(here, "DELETE", "/notes")
    ask(here, "PUT", "/notes")
    ask(here, "POST", "/_replicate", {**body, "cancel": True})
    ask(here, "POST", "/_replicate", body)
    wait_until(lambda: len(trees(here)) == 2, what="both documents again", seconds=20)
