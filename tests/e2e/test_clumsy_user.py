"""What people do without thinking of the database beneath: nothing is lost, and they are told."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import ROOT, Ended, environment, run
from tests.support.refusals import small_app
from tests.support.server import RunningServer
from tests.support.waiting import wait_until

ROWS = 60_000
"""So many that an import is still under way when its first rows are noticed."""


def write_csv(file: Path, rows: int, mark: str = "first") -> Path:
    lines = "".join(f"{n},{mark} {n},{n * 7 % 1000}\n" for n in range(rows))
    file.write_text("id,name,amount\n" + lines)
    return file


def rows_of(server: RunningServer, app: str, collection: str) -> list[dict[str, Any]]:
    sql = f"SELECT id, name FROM {collection} ORDER BY id"
    asked = server.request("POST", f"/api/v1/apps/{app}/query", {"sql": sql, "limit": 1_000_000})
    assert asked.status == 200, asked.body
    return [dict(zip(("id", "name"), row, strict=True)) for row in asked.json()["rows"]]


def documents(server: RunningServer, app: str) -> int:
    answer = server.request("GET", f"/api/v1/apps/{app}/collections")
    return sum(c["documents"] for c in answer.json()["collections"]) if answer.status == 200 else 0


@pytest.mark.skipif(sys.platform == "win32", reason="only on systems with signals")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "killed"])
def test_an_interrupted_import_is_continued(
    server: RunningServer, tmp_path: Path, stop: signal.Signals
) -> None:
    file = write_csv(tmp_path / "people.csv", ROWS)
    command = [sys.executable, "-m", "localsrv", "import", str(file), "--app", "people"]
    command += ["--key", "id", "--json"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(server.home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # What a shell starts in the background ignores Ctrl-C, and so would all that it starts.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:  # what it says itself is heard sooner than what the server would
            if json.loads(line)["event"] == "progress":
                break
        process.send_signal(stop)
        _, told = process.communicate(timeout=60)
    reached = documents(server, "people")
    if stop == signal.SIGINT:
        assert process.returncode == 130 and b"Traceback" not in told, told
        assert b"Interrupted" in told
    assert 0 < reached < ROWS, "it was over before it could be interrupted"
    again = run(server.home, "import", str(file), "--app", "people", "--key", "id", "--json")
    assert again.code == 0, again.err
    [told_last] = [event for event in map(json.loads, again.out.splitlines()) if event["event"] == "result"]
    [counts] = told_last["result"]["collections"]
    assert counts["created"] + counts["unchanged"] == ROWS and counts["unchanged"] >= reached
    assert rows_of(server, "people", "people") == [{"id": n, "name": f"first {n}"} for n in range(ROWS)]


def test_two_imports_into_one_app_at_once(server: RunningServer, tmp_path: Path) -> None:
    files = [write_csv(tmp_path / f"{name}.csv", 4000, name) for name in ("left", "right")]

    def bring(file: Path) -> Ended:
        return run(server.home, "import", str(file), "--app", "both", "--key", "id", seconds=120)

    with ThreadPoolExecutor(2) as pool:
        for ended in pool.map(bring, files):
            assert ended.code == 0, ended.err
    for name in ("left", "right"):
        assert rows_of(server, "both", name) == [{"id": n, "name": f"{name} {n}"} for n in range(4000)]


def test_one_file_imported_twice_at_once(server: RunningServer, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "same.csv", 4000)

    def bring(_: int) -> Ended:
        return run(server.home, "import", str(file), "--app", "same", seconds=120)

    with ThreadPoolExecutor(2) as pool:
        for ended in pool.map(bring, range(2)):
            assert ended.code == 0, ended.err
    assert documents(server, "same") == 4000


def test_the_folder_is_renamed_while_the_server_is_stopped(
    servers: Callable[..., RunningServer], tmp_path: Path
) -> None:
    server = servers(tmp_path / "before")
    small_app(server, "shop")
    path = "/api/v1/apps/shop/collections/t/documents/a/attachments/big"
    content = os.urandom(300_000)
    assert server.request("PUT", path, content, headers={"Content-Type": "image/png"}).status == 201
    key = server.request("POST", "/api/v1/keys", {"name": "k", "app": "shop", "scopes": ["*:read"]}).json()
    assert server.stop() == 0
    (tmp_path / "before").rename(tmp_path / "after")
    moved = servers(tmp_path / "after")
    assert moved.request("GET", "/apps/shop/rest/v1/t", token=key["token"]).json() == [
        {"id": "a", "x": "first"}
    ]
    assert moved.request("GET", path).body == content
    assert moved.stop() == 0, moved.output()
    assert not (tmp_path / "before").exists()


@pytest.mark.parametrize("data", ["keep", "delete"])
def test_an_app_is_removed_while_somebody_listens_and_writes(server: RunningServer, data: str) -> None:
    small_app(server, "shop")
    listening = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"apikey": server.token, "Accept": "text/event-stream"}
    listening.request("GET", "/api/v1/apps/shop/changes", headers=headers)
    feed = listening.getresponse()
    assert feed.status == 200 and b"ready" in feed.readline() + feed.readline()
    removed: list[bool] = []

    def write(who: int) -> list[int]:
        seen = []
        while not seen or seen[-1] == 201:
            if removed:
                break
            seen.append(server.request("POST", "/apps/shop/rest/v1/t", {"x": f"by {who}"}).status)
        return seen

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, who) for who in range(4)]
        wait_until(lambda: documents(server, "shop") > 20, what="some writes")
        assert server.request("DELETE", f"/api/v1/apps/shop?data={data}").status == 200
        removed.append(True)
        statuses = [status for writer in writers for status in writer.result(30)]
    assert set(statuses) <= {201, 404, 503}, set(statuses)
    assert b"Traceback" not in feed.read(), "the feed ends"
    listening.close()
    acknowledged = statuses.count(201)
    assert server.request("GET", "/apps/shop/rest/v1/t").status == 404
    assert server.request("POST", "/api/v1/apps", {"id": "shop"}).status == 201
    assert documents(server, "shop") == (0 if data == "delete" else 1 + acknowledged)


def test_a_wide_file_and_a_large_row_are_named(server: RunningServer, tmp_path: Path) -> None:
    wide = tmp_path / "wide.csv"
    wide.write_text(",".join(f"c{n}" for n in range(2500)) + "\n" + ",".join("1" * 2500) + "\n")
    ended = run(server.home, "import", str(wide), "--app", "wide")
    assert ended.code != 0 and "2500" in ended.err and "1900" in ended.err, ended
    assert len(ended.err.strip().splitlines()) == 1
    large = tmp_path / "large.json"
    large.write_text('[{"a": "' + "x" * 70_000_000 + '"}]')
    ended = run(server.home, "import", str(large), "--app", "large", seconds=120)
    assert ended.code == 6 and "max_body_mb" in ended.err and "line 1" in ended.err, ended
