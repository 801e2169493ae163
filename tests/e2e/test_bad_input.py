"""Bad input gets a clear error and loses nothing, against a real server: requests.

Each case is one request. Afterwards the data is what it was, the server is well, and the answer says what was
wrong, where, or what to do, without anything of the server's inside. Bodies that break off are in
`test_bad_bodies`, files, settings and manifests in `test_bad_files`, kills in `test_crash`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.bad_requests import CASES, Case
from tests.support.refusals import API, REST, assert_refused, everything, raw
from tests.support.server import Response, RunningServer


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_bad_input_is_refused_clearly_and_changes_nothing(
    shop: RunningServer, before: dict[str, Any], case: Case
) -> None:
    headers = {n: v.replace("{port}", str(shop.port)) for n, v in case.headers.items()}
    body = case.body.encode() if isinstance(case.body, str) else case.body
    answer = shop.request(case.method, case.path, body, headers=headers)
    assert_refused(shop, answer, case.status, case.code, case.says)
    assert everything(shop) == before
    assert shop.request("GET", "/api/v1/health", token=None).status == 200


ODD_BUT_FINE = [
    'a"b', "a b", "a'b", "x; DROP TABLE notes --",
    "select", "\u043a\u043b\u044e\u0447", "constructor", "toString", "a.b", "a,b", "a->b",
    "k" * 255, "😀", "rowid", "a\\b", "%00", "(", "a:b", "null",
]  # fmt: skip


def test_odd_field_names_are_kept_and_found(shop: RunningServer) -> None:
    row = {name: f"v{n}" for n, name in enumerate(ODD_BUT_FINE)}
    made = shop.request("POST", f"{REST}/notes", {"id": "odd", **row})
    assert made.status == 201, made.body
    try:
        for name, value in row.items():
            quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
            query = f"select={quote(f'found:{quoted}')}&{quote(quoted)}=eq.{value}"
            found = shop.request("GET", f"{REST}/notes?{query}")
            assert (found.status, found.body and found.json()) == (200, [{"found": value}]), (
                name,
                found.body,
            )
    finally:
        assert shop.request("DELETE", f"{REST}/notes?id=eq.odd").status == 204


# ── two at once ───────────────────────────────────────────────────────────────────────────────────────────


def at_once(calls: list[Callable[[], Response]]) -> list[Response]:
    """Starts all calls at the same moment."""
    barrier = threading.Barrier(len(calls))

    def run_one(call: Callable[[], Response]) -> Response:
        barrier.wait(30)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run_one, calls))


def test_two_clients_change_one_document(shop: RunningServer) -> None:
    path = f"{REST}/notes?id=eq.shared"
    assert shop.request("POST", f"{REST}/notes", {"id": "shared", "n": 0}).status == 201
    for turn in range(1, 6):
        rev = shop.request("GET", f"{path}&select=_rev").json()[0]["_rev"]

        def change(who: int, rev: str = rev, turn: int = turn) -> Response:
            lock = {"If-Match": f'"{rev}"'}
            return shop.request("PATCH", path, {"n": turn * 10 + who}, headers=lock)

        answers = at_once([lambda who=who: change(who) for who in range(4)])  # type: ignore[misc]
        won = [who for who, answer in enumerate(answers) if answer.status == 204]
        assert len(won) == 1, [a.status for a in answers]
        for who, answer in enumerate(answers):
            if who not in won:
                assert_refused(shop, answer, 412, "PT412", "Read it again")
        assert shop.request("GET", f"{path}&select=n").json() == [{"n": turn * 10 + won[0]}]
    assert shop.request("DELETE", path).status == 204


def test_a_unique_field_is_taken_by_one_of_many(shop: RunningServer) -> None:
    for turn in range(5):

        def take(who: int, turn: int = turn) -> Response:
            return shop.request("POST", f"{REST}/items", {"id": 100 + who, "code": f"same {turn}"})

        answers = at_once([lambda who=who: take(who) for who in range(6)])  # type: ignore[misc]
        assert sorted(a.status for a in answers) == [201, 409, 409, 409, 409, 409]
        for answer in answers:
            if answer.status == 409:
                assert_refused(shop, answer, 409, "23505", "code")
        rows = shop.request("GET", f"{REST}/items?code=eq.same%20{turn}&select=id").json()
        assert len(rows) == 1
        assert shop.request("DELETE", f"{REST}/items?id=gte.100").status == 204


# ── patterns ──────────────────────────────────────────────────────────────────────────────────────────────


def longest_wait(server: RunningServer, call: Callable[[], Response]) -> tuple[Response, float, float]:
    """(answer, its seconds, the longest that another request took meanwhile)."""
    waits: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        begun = time.monotonic()
        slow = pool.submit(call)
        while not slow.done():
            asked = time.monotonic()
            assert server.request("GET", f"{REST}/notes?id=eq.n", timeout=60).status == 200
            waits.append(time.monotonic() - asked)
        return slow.result(), time.monotonic() - begun, max(waits)


HOSTILE = ["(a+)+$", "(a|a)*$", "(a*)*b", "(.*a){12}", "(a?){500}a{500}", "(x+x+)+y", "((a{1,30}){1,30})$"]


@pytest.fixture(scope="module")
def long_texts(shop: RunningServer) -> Iterator[str]:
    assert shop.request("PUT", f"{API}/collections/long", {"fields": {"t": "text"}}).status == 201
    for _ in range(10):
        rows = [{"t": "a" * 49_000 + "!"} for _ in range(20)]
        assert shop.request("POST", f"{REST}/long", rows).status == 201
    yield f"{REST}/long"
    assert shop.request("DELETE", f"{API}/collections/long").status == 200


@pytest.mark.parametrize("pattern", HOSTILE)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_hostile_patterns_end_in_time_and_stop_nobody(
    shop: RunningServer, long_texts: str, pattern: str, method: str
) -> None:
    path = f"{long_texts}?t=match.{quote(pattern)}&select=id"
    rollback = {"Prefer": "tx=rollback"}
    answer, seconds, waited = longest_wait(
        shop, lambda: shop.request(method, path, headers=rollback, timeout=60)
    )
    if answer.status >= 400:
        assert_refused(shop, answer, 500, "57014", "index")
    assert seconds < 10, "the limit is one second"
    assert waited < 2
    count = shop.request("HEAD", f"{long_texts}?limit=1", headers={"Prefer": "count=exact"})
    assert count.headers["content-range"].endswith("/200")


def test_a_hostile_pattern_in_a_schema(shop: RunningServer) -> None:
    answer, seconds, waited = longest_wait(
        shop, lambda: shop.request("POST", f"{REST}/checked", {"t": "a" * 50_000 + "!"}, timeout=60)
    )
    assert_refused(shop, answer, 400, "23514", "/t")
    assert seconds < 10 and waited < 2


# ── what the log holds ────────────────────────────────────────────────────────────────────────────────────


def test_the_log_holds_no_token_body_or_query(shop: RunningServer) -> None:
    """After everything above, and after requests that carry marks in every place a secret can be in."""
    key = shop.request("POST", "/api/v1/keys", {"name": "k", "app": "shop", "scopes": ["*:read"]}).json()
    mark = "marked-secret"
    shop.request("GET", f"{REST}/items?name=eq.{mark}", token=key["token"])
    shop.request("GET", f"{REST}/items?{mark}=eq.1")
    shop.request("POST", f"{REST}/items", {"id": mark})
    shop.request("POST", f"{REST}/items", {mark: {mark: mark}, "serial": [mark]})
    shop.request("GET", f"{API}/changes?since={mark}")
    shop.request("POST", f"{API}/query", {"sql": f"SELECT '{mark}' FROM {mark}"})
    shop.request("GET", f"{API}/collections", headers={"Authorization": f"Bearer {mark}"})
    shop.request("GET", f"{API}/collections", headers={"Cookie": f"a={mark}", "Referer": f"http://x/?{mark}"})
    raw(shop, f"GET /?{mark} HTTP/1.1\r\nHost: {mark}\r\nbad {mark}\r\n\r\n".encode())
    shop.request("DELETE", f"/api/v1/keys/{key['id']}")
    written = "".join(f.read_text("utf-8") for f in (shop.home / "logs").iterdir()) + shop.output()
    assert '"message"' in written
    for secret in (shop.token, key["token"], mark, "thing 1", "DROP TABLE", "(a+)+"):
        assert secret not in written, f"{secret} is in the log"
