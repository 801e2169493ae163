"""`localsrv audit` against a real server."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.commands import run
from tests.support.server import RunningServer


def test_what_failed_is_shown_and_exported(server: RunningServer, tmp_path: Path) -> None:
    assert run(server.home, "audit").out == "Nothing happened yet.\n"
    for _ in range(2):
        assert server.request("GET", "/api/v1/apps", token="lsk_wrong").status == 401
    said = run(server.home, "audit")
    assert said.code == 0
    assert said.out.rstrip().endswith("sign-in-failed x2  why bad-token")
    [entry] = run(server.home, "audit", "--json").json()
    assert (entry["event"], entry["count"]) == ("sign-in-failed", 2)
    assert run(server.home, "audit", "--event", "sign-in").out == "Nothing happened yet.\n"

    file = tmp_path / "audit.ndjson"
    assert run(server.home, "audit", "--export", str(file)).code == 0
    assert [json.loads(line) for line in file.read_text().splitlines()] == [entry]

    wrong = run(server.home, "audit", "--event", "nonsense")
    assert wrong.code != 0
    assert "sign-in-failed" in wrong.err
