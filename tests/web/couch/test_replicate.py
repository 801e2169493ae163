"""`_replicate`, `_replicator`, `_scheduler` and `_active_tasks`, and the admin API of the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from localsrv.services.design import Design
from localsrv.services.replication.replicator import Replicator
from tests.web.conftest import Answer, WebServer

ROOT = "/apps/default/couch"
API = "/api/v1/apps/default/replications"


def url(server: WebServer, database: str, *, credentials: bool = True) -> Any:
    address = f"{server.url}{ROOT}/{database}"
    if not credentials:
        return address
    return {"url": address, "auth": {"basic": {"username": "owner", "password": server.owner}}}


async def make(server: WebServer, *names: str) -> None:
    for name in names:
        assert (await server.ask("PUT", f"{ROOT}/{name}")).status == 201


async def put(server: WebServer, database: str, document: str, **fields: Any) -> str:
    answer = await server.ask("PUT", f"{ROOT}/{database}/{document}", json=fields)
    assert answer.status in (201, 202), answer.body
    return str(answer.json["rev"])


async def replicate(server: WebServer, **body: Any) -> Answer:
    return await server.ask("POST", f"{ROOT}/_replicate", json=body)


async def until(look: Callable[[], Awaitable[Any]], what: str) -> Any:
    """Asks again until the answer is true; the event loop turns meanwhile."""
    async with asyncio.timeout(20):
        while not (found := await look()):
            await asyncio.sleep(0.01)
        return found


async def scheduled(server: WebServer, document: str) -> Any:
    answer = await server.ask("GET", f"{ROOT}/_scheduler/docs/_replicator/{document}")
    return answer.json if answer.status == 200 else {"state": None}


async def state_of(server: WebServer, document: str, *states: str) -> Any:
    async def look() -> Any:
        found = await scheduled(server, document)
        return found if found["state"] in states else None

    return await until(look, f"{document} in {states}")


async def test_one_shot(web_server: WebServer) -> None:
    await make(web_server, "a")
    await put(web_server, "a", "doc", n=1)
    answer = await replicate(web_server, source=url(web_server, "a"), target="b", create_target=True)
    assert answer.status == 200
    told = answer.json
    assert told["ok"] is True
    assert told["replication_id_version"] == 4
    entry = told["history"][0]
    assert entry["session_id"] == told["session_id"]
    assert entry["recorded_seq"] == entry["end_last_seq"] == told["source_last_seq"]
    assert {name: entry[name] for name in ("docs_read", "docs_written", "doc_write_failures")} == {
        "docs_read": 1, "docs_written": 1, "doc_write_failures": 0
    }  # fmt: skip
    assert (entry["missing_checked"], entry["missing_found"], entry["start_last_seq"]) == (1, 1, 0)
    assert (await web_server.ask("GET", f"{ROOT}/b/doc")).json["n"] == 1
    again = await replicate(web_server, source=url(web_server, "a"), target="b", create_target=True)
    assert again.json["no_changes"] is True
    assert (await web_server.ask("GET", f"{ROOT}/_scheduler/jobs")).json["total_rows"] == 0


async def test_two_databases_here(web_server: WebServer) -> None:
    await make(web_server, "a", "b")
    await put(web_server, "a", "doc", n=1)
    assert (await replicate(web_server, source="a", target="b")).json["history"][0]["docs_written"] == 1


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"source": "a"}, 400, "bad_request"),
        ({"source": "a", "target": 5}, 400, "bad_request"),
        ({"source": "a", "target": "a"}, 400, "bad_request"),
        ({"source": "a", "target": "ftp://host/x"}, 400, "bad_request"),
        ({"source": "a", "target": "http://host"}, 400, "bad_request"),
        ({"source": "a", "target": "http://u:p@[bad/x"}, 400, "bad_request"),
        ({"source": "a", "target": "b", "continuous": "yes"}, 400, "bad_request"),
        ({"source": "a", "target": "b", "doc_ids": "x"}, 400, "bad_request"),
        ({"source": "a", "target": "b", "doc_ids": [], "selector": {}}, 400, "bad_request"),
        ({"source": "a", "target": "b", "selector": {"a": {"$what": 1}}}, 400, "invalid_operator"),
        ({"source": "a", "target": "_replicator"}, 400, "bad_request"),
        ({"source": "a", "target": "missing"}, 404, "db_not_found"),
        ({"source": "missing", "target": "a"}, 404, "db_not_found"),
        ({"source": "a", "target": "b", "cancel": True}, 404, "not_found"),
        ({"cancel": True, "replication_id": "abc"}, 404, "not_found"),
    ],
)
async def test_what_cannot_be_replicated(
    web_server: WebServer, body: dict[str, Any], status: int, error: str
) -> None:
    await make(web_server, "a", "b")
    answer = await replicate(web_server, **body)
    assert (answer.status, answer.json["error"]) == (status, error)
    assert (await web_server.ask("GET", f"{ROOT}/_scheduler/jobs")).json["jobs"] == []


async def test_a_peer_that_refuses_is_told_in_the_answer(web_server: WebServer) -> None:
    await make(web_server, "a", "b")
    wrong = {"url": f"{web_server.url}{ROOT}/a", "auth": {"basic": {"username": "owner", "password": "no"}}}
    answer = await replicate(web_server, source=wrong, target="b")
    assert (answer.status, answer.json["error"]) == (502, "peer_unauthorized")
    assert "no" not in answer.json["reason"].split()


async def test_asked_for_again_with_other_credentials(web_server: WebServer) -> None:
    """A replication whose credentials are refused goes on at once with those that are given then."""
    await make(web_server, "a", "b")
    await put(web_server, "a", "doc", n=1)
    body = {"target": "b", "continuous": True}
    source = {"url": f"{web_server.url}{ROOT}/a", "auth": {"basic": {"username": "owner", "password": "no"}}}
    begun = await replicate(web_server, source=source, **body)

    async def crashing() -> bool:
        (job,) = (await web_server.ask("GET", f"{ROOT}/_scheduler/jobs")).json["jobs"]
        return bool(job["history"][0]["type"] == "crashed")

    await until(crashing, "the refusal")
    again = await replicate(web_server, source=url(web_server, "a"), **body)
    assert (again.status, again.json) == (202, begun.json)

    async def arrived() -> bool:
        return (await web_server.ask("GET", f"{ROOT}/b/doc")).status == 200

    await until(arrived, "the document")


async def test_continuous_and_cancel(web_server: WebServer) -> None:
    await make(web_server, "a", "b")
    body = {"source": url(web_server, "a"), "target": "b", "continuous": True}
    begun = await replicate(web_server, **body)
    assert begun.status == 202
    ident = begun.json["_local_id"]
    assert ident.endswith("+continuous")
    assert (await replicate(web_server, **body)).json["_local_id"] == ident  # the same, not a second one
    await put(web_server, "a", "doc", n=1)

    async def arrived() -> bool:
        return (await web_server.ask("GET", f"{ROOT}/b/doc")).status == 200

    await until(arrived, "the document")

    async def counted() -> Any:
        (task,) = (await web_server.ask("GET", f"{ROOT}/_active_tasks")).json
        return task if task["through_seq"] != 0 and task["docs_written"] else None

    task = await until(counted, "the task's counts")
    assert task["type"] == "replication"
    assert task["replication_id"] == ident
    assert (task["source"], task["target"]) == (f"{web_server.url}{ROOT}/a/", "b")
    assert (task["docs_read"], task["docs_written"], task["doc_write_failures"]) == (1, 1, 0)
    assert (task["changes_pending"], task["continuous"], task["progress"]) == (0, True, 100)
    jobs = (await web_server.ask("GET", f"{ROOT}/_scheduler/jobs")).json
    assert (jobs["total_rows"], jobs["offset"], jobs["jobs"][0]["id"]) == (1, 0, ident)
    assert [event["type"] for event in jobs["jobs"][0]["history"]] == ["started", "added"]
    one = await web_server.ask("GET", f"{ROOT}/_scheduler/jobs/{ident}")
    assert one.json["info"]["docs_written"] == 1
    ended = await replicate(web_server, **body, cancel=True)
    assert (ended.status, ended.json) == (200, {"ok": True, "_local_id": ident})
    assert (await web_server.ask("GET", f"{ROOT}/_active_tasks")).json == []
    assert (await replicate(web_server, **body, cancel=True)).status == 404


async def test_documents_of_replicator_start_and_stop_jobs(web_server: WebServer) -> None:
    await make(web_server, "a", "b", "_replicator")
    await put(web_server, "a", "doc", n=1)
    rev = await put(web_server, "_replicator", "mine", source="a", target="b", note="kept")
    done = await state_of(web_server, "mine", "completed")
    assert done["info"]["docs_written"] == 1
    assert (done["id"], done["error_count"], done["source"], done["target"]) == (None, 0, "a", "b")
    stored = (await web_server.ask("GET", f"{ROOT}/_replicator/mine")).json
    assert stored == {"_id": "mine", "_rev": rev, "source": "a", "target": "b", "note": "kept"}
    listed = (await web_server.ask("GET", f"{ROOT}/_scheduler/docs?states=completed")).json
    assert [entry["doc_id"] for entry in listed["docs"]] == ["mine"]
    assert (await web_server.ask("GET", f"{ROOT}/_scheduler/docs?states=running")).json["docs"] == []
    assert (await web_server.ask("GET", f"{ROOT}/_scheduler/docs/other")).status == 404

    await put(web_server, "_replicator", "mine", _rev=rev, source="a", target="b", continuous=True)
    running = await state_of(web_server, "mine", "running")
    assert running["id"].endswith("+continuous")
    duplicate = await put(web_server, "_replicator", "again", source="a", target="b", continuous=True)
    assert duplicate
    failed = await state_of(web_server, "again", "failed")
    assert "already started, triggered by document `mine`" in failed["info"]["error"]

    rev = (await web_server.ask("GET", f"{ROOT}/_replicator/mine")).json["_rev"]
    assert (await web_server.ask("DELETE", f"{ROOT}/_replicator/mine?rev={rev}")).status == 200
    assert (await scheduled(web_server, "mine"))["state"] is None
    assert (await web_server.ask("GET", f"{ROOT}/_active_tasks")).json == []
    bad = await web_server.ask("PUT", f"{ROOT}/_replicator/bad", json={"source": "a"})
    assert (bad.status, bad.json["error"]) == (400, "bad_request")
    await web_server.ask("DELETE", f"{ROOT}/_replicator")
    assert (await web_server.ask("GET", f"{ROOT}/_scheduler/docs")).json["docs"] == []


async def test_a_missing_database_is_tried_again(web_server: WebServer) -> None:
    await make(web_server, "b", "_replicator")
    await put(web_server, "_replicator", "mine", source="later", target="b")
    crashing = await state_of(web_server, "mine", "crashing")
    assert crashing["info"]["error"] == "db_not_found: could not open later"
    assert crashing["error_count"] == 1
    await make(web_server, "later")
    await web_server.ask("POST", f"{API}/mine/now")
    assert (await state_of(web_server, "mine", "completed"))["error_count"] == 0


async def _everything(server: WebServer) -> str:
    """All that a person or a program can see of the replications, and all data files."""
    paths = [
        f"{ROOT}/_replicator/_all_docs?include_docs=true",
        f"{ROOT}/_scheduler/docs",
        API,
        f"{API}/mine/log",
    ]
    paths += [
        f"{ROOT}/_scheduler/jobs",
        f"{ROOT}/_active_tasks",
        f"{ROOT}/_replicator/_changes?include_docs=true",
    ]
    shown = [(await server.ask("GET", path)).body for path in paths]
    files = [path.read_bytes() for path in server.home.rglob("*") if path.is_file()]
    return b"\n".join((*shown, *files)).decode("latin-1")


@pytest.mark.parametrize(
    "source",
    [
        lambda s: url(s, "a"),
        lambda s: f"{s.url}{ROOT}/a".replace("//", f"//owner:{s.owner}@", 1),
        lambda s: {"url": f"{s.url}{ROOT}/a", "headers": {"Authorization": f"Bearer {s.owner}"}},
    ],
    ids=["auth", "url", "header"],
)
async def test_credentials_are_in_the_keyring_and_nowhere_else(
    web_server: WebServer, source: Callable[[WebServer], Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await make(web_server, "a", "b", "_replicator")
    await put(web_server, "a", "doc", n=1)
    await put(web_server, "_replicator", "mine", source=source(web_server), target="b")
    await state_of(web_server, "mine", "completed")
    assert web_server.owner not in await _everything(web_server)
    assert web_server.owner not in caplog.text
    (secret,) = web_server.vault.secrets.values()
    assert web_server.owner in secret
    rev = (await web_server.ask("GET", f"{ROOT}/_replicator/mine")).json["_rev"]
    await web_server.ask("DELETE", f"{ROOT}/_replicator/mine?rev={rev}")
    assert web_server.vault.secrets == {}


async def test_credentials_stay_with_their_address(web_server: WebServer) -> None:
    """Editing the address of a stored replication does not send its password elsewhere."""
    await make(web_server, "a", "b", "_replicator")
    await put(web_server, "_replicator", "mine", source=url(web_server, "a"), target="b", continuous=True)
    await state_of(web_server, "mine", "running")
    stored = (await web_server.ask("GET", f"{ROOT}/_replicator/mine")).json
    assert (await web_server.ask("PUT", f"{ROOT}/_replicator/mine", json={**stored, "note": 1})).status == 201
    await state_of(web_server, "mine", "running")
    assert len(web_server.vault.secrets) == 1
    stored = (await web_server.ask("GET", f"{ROOT}/_replicator/mine")).json
    stored["source"]["url"] = stored["source"]["url"].replace(f":{web_server.port}/", ":1/")
    assert (await web_server.ask("PUT", f"{ROOT}/_replicator/mine", json=stored)).status == 201
    failed = await state_of(web_server, "mine", "failed")
    assert failed["info"]["error"].startswith("credentials_missing")


async def test_without_a_keyring_nothing_with_credentials_is_stored(web_server: WebServer) -> None:
    web_server.vault.is_absent = True
    await make(web_server, "a", "b", "_replicator")
    await put(web_server, "a", "doc", n=1)
    body = {"source": url(web_server, "a"), "target": "b"}
    refused = await web_server.ask("PUT", f"{ROOT}/_replicator/mine", json=body)
    assert refused.status == 503
    assert "/_replicate" in refused.body.decode()
    assert (await web_server.ask("GET", f"{ROOT}/_replicator/mine")).status == 404
    assert (await web_server.ask("POST", API, json={"id": "mine", **body})).status == 503
    assert (await replicate(web_server, **body)).json["history"][0]["docs_written"] == 1


async def test_only_admins_make_this_server_send_requests(web_server: WebServer) -> None:
    await make(web_server, "a", "_replicator")
    body = {"source": "http://127.0.0.1:1/x", "target": "a"}
    for scopes in (("sync",), ("*:read", "*:write"), ("sync", "*:read", "*:write")):
        token = await web_server.key("default", *scopes)
        tries = [
            ("POST", f"{ROOT}/_replicate", body),
            ("PUT", f"{ROOT}/_replicator/x", body),
            ("POST", f"{ROOT}/_replicator/_bulk_docs", {"docs": [{"_id": "x", **body}]}),
            ("PUT", f"{ROOT}/_replicator/_design/x", {"validate_doc_update": "function () {}"}),
            ("POST", f"{ROOT}/_replicator/_index", {"index": {"fields": ["source"]}}),
            ("PUT", f"{ROOT}/_users", None),
            ("GET", f"{ROOT}/_replicator/_all_docs", None),
            ("GET", f"{ROOT}/_replicator", None),
            ("GET", f"{ROOT}/_active_tasks", None),
            ("GET", f"{ROOT}/_scheduler/jobs", None),
            ("GET", f"{ROOT}/_scheduler/docs", None),
            ("POST", "/apps/default/rest/v1/_replicator", body),
            ("GET", API, None),
            ("POST", API, body),
        ]
        for method, path, sent in tries:
            answer = await web_server.ask(method, path, token=token, json=sent)
            assert answer.status in (403, 404), (method, path, scopes, answer.body)
    assert (await web_server.ask("GET", f"{ROOT}/_scheduler/docs")).json["docs"] == []


async def test_the_admin_api(web_server: WebServer) -> None:
    await make(web_server, "a")
    await put(web_server, "a", "doc", n=1)
    body = {"id": "mine", "source": url(web_server, "a"), "target": "b", "create_target": True}
    made = await web_server.ask("POST", API, json={**body, "continuous": True})
    assert made.status == 201, made.body
    assert (await web_server.ask("POST", API, json=body)).status == 409

    async def caught_up() -> Any:
        found = (await web_server.ask("GET", f"{API}/mine")).json
        done = found["progress"]["docs_written"] == 1 and found["progress"]["changes_pending"] == 0
        return found if done and found["state"] == "running" else None

    found = await until(caught_up, "the first document")
    assert found["definition"]["source"]["url"] == f"{web_server.url}{ROOT}/a"
    assert (found["error"], found["errors"], found["next_try_at"]) == (None, 0, None)
    assert found["progress"]["changes_pending"] == 0
    assert found["progress"]["bytes"] > 0

    assert (await web_server.ask("POST", f"{API}/mine/pause")).json["state"] == "paused"
    assert (await scheduled(web_server, "mine"))["state"] == "pending"
    await put(web_server, "a", "while-paused", n=2)
    assert (await web_server.ask("POST", f"{API}/mine/resume")).status == 200

    async def second() -> bool:
        return (await web_server.ask("GET", f"{ROOT}/b/while-paused")).status == 200

    await until(second, "the second document")
    await state_of(web_server, "mine", "running")
    assert (await web_server.ask("POST", f"{API}/mine/resume")).json[
        "state"
    ] == "running"  # not paused: as it was
    taken = await web_server.ask("POST", API, json={**body, "id": "mine"})
    assert (taken.status, taken.json["message"]) == (409, "There is a replication `mine` already.")
    changed = await web_server.ask(
        "PUT", f"{API}/mine", json={**body, "source": {"url": body["source"]["url"]}}
    )
    assert changed.status == 200, changed.body
    await state_of(web_server, "mine", "completed")  # with the credentials that it had
    kinds = [e["kind"] for e in (await web_server.ask("GET", f"{API}/mine/log")).json["entries"]]
    assert kinds[0] == "completed" and {"started", "paused", "resumed"} <= set(kinds)
    assert (await web_server.ask("DELETE", f"{API}/mine")).json == {"removed": "mine"}
    assert (await web_server.ask("GET", API)).json == {"replications": []}
    for method, path in (("GET", "mine"), ("DELETE", "mine"), ("POST", "mine/now"), ("GET", "mine/log")):
        assert (await web_server.ask(method, f"{API}/{path}")).status == 404
    assert web_server.vault.secrets == {}


async def test_refused_documents_are_in_the_log(web_server: WebServer) -> None:
    await make(web_server, "a", "b")
    rule = "function (doc) { if (doc.bad) throw {forbidden: 'not here'} }"
    await put(web_server, "b", "_design/rules", validate_doc_update=rule)
    await put(web_server, "a", "doc", bad=True)
    await web_server.ask("POST", API, json={"id": "mine", "source": "a", "target": "b"})
    done = await state_of(web_server, "mine", "completed")
    assert done["info"]["doc_write_failures"] == 1
    entries = (await web_server.ask("GET", f"{API}/mine/log")).json["entries"]
    (refused,) = [entry["text"] for entry in entries if entry["kind"] == "refused"]
    assert refused.startswith("doc 1-") and refused.endswith("forbidden: not here")


async def test_an_app_that_goes_takes_its_replications(web_server: WebServer) -> None:
    await web_server.make_app("shop")
    for name in ("a", "b"):
        await web_server.ask("PUT", f"/apps/shop/couch/{name}")
    body = {"id": "mine", "source": "a", "target": "b", "continuous": True}
    assert (await web_server.ask("POST", "/api/v1/apps/shop/replications", json=body)).status == 201
    assert (await web_server.ask("DELETE", "/api/v1/apps/shop")).status == 200
    replicator: Replicator = web_server.services.extra[Replicator]
    assert replicator.rows("shop") == [] and replicator.jobs("shop") == []


async def test_progress_is_in_the_live_feed(web_server: WebServer) -> None:
    await make(web_server, "a", "b")
    feed = "/api/v1/apps/default/changes?include=replications"
    reader = await web_server.key("default", "*:read")
    assert (await web_server.ask("GET", feed, token=reader)).status == 403
    headers = web_server.headers(headers={"Accept": "text/event-stream"})
    async with (
        asyncio.timeout(20),
        web_server.session.get(web_server.url + feed, headers=headers) as response,
    ):
        told: list[Any] = []

        async def frame(kind: str) -> Any:
            async for line in response.content:
                if line.startswith(b"data: "):
                    told.append(json.loads(line[6:]))
                    if told[-1]["type"] == kind:
                        return told[-1]
            raise AssertionError(told)

        assert (await frame("replications"))["replications"] == []
        await put(web_server, "a", "doc", n=1)
        body = {"id": "mine", "source": "a", "target": "b"}
        assert (await web_server.ask("POST", API, json=body)).status == 201
        found: list[Any] = []
        while not found or found[0]["state"] != "completed":
            found = (await frame("replications"))["replications"]
        assert found[0]["progress"]["docs_written"] == 1
        assert [t["collection"] for t in told if t["type"] == "change"][:1] == ["a"]


async def restart(server: WebServer) -> Replicator:
    """Ends the replicator and starts another over the same files and the same keyring."""
    own = server.services
    old: Replicator = own.extra[Replicator]
    await old.close()
    made = await Replicator.start(own.apps, old._store, server.vault, own.extra[Design], "test-device")
    own.extra[Replicator] = made
    return made


async def test_stored_replications_go_on_after_a_restart(web_server: WebServer) -> None:
    """Running ones where they were, with the credentials in the keyring; ended and paused ones stay so."""
    await make(web_server, "a", "b", "c", "d")
    await put(web_server, "a", "doc", n=1)
    for ident, target, more in (("live", "b", {"continuous": True}), ("done", "c", {}), ("paused", "d", {})):
        body = {"id": ident, "source": url(web_server, "a"), "target": target, **more}
        assert (await web_server.ask("POST", API, json=body)).status == 201
    await state_of(web_server, "done", "completed")
    await web_server.ask("POST", f"{API}/paused/pause")

    async def caught_up() -> bool:
        return (await web_server.ask("GET", f"{ROOT}/b/doc")).status == 200

    await until(caught_up, "the first document")
    made = await restart(web_server)
    try:
        await put(web_server, "a", "later", n=2)
        running = await state_of(web_server, "live", "running")
        assert running["error_count"] == 0

        async def later() -> bool:
            return (await web_server.ask("GET", f"{ROOT}/b/later")).status == 200

        await until(later, "a later document")
        assert made.job_of("default", "live") is not None
        assert made.job_of("default", "done") is None
        assert made.job_of("default", "paused") is None
        states = {row.document: row.state for row in made.rows("default")}
        assert states == {"live": "running", "done": "completed", "paused": "paused"}
        assert (await web_server.ask("GET", f"{ROOT}/c/later")).status == 404
    finally:
        await made.close()


async def test_the_network_coming_back_is_tried_at_once(web_server: WebServer, free_port: int) -> None:
    await make(web_server, "b")
    body = {"id": "mine", "source": f"http://127.0.0.1:{free_port}/x", "target": "b"}
    assert (await web_server.ask("POST", API, json=body)).status == 201
    first = await state_of(web_server, "mine", "crashing")
    assert first["error_count"] == 1
    assert first["info"]["error"].startswith("peer_unreachable")
    replicator: Replicator = web_server.services.extra[Replicator]

    async def tried_again() -> bool:
        replicator._network_changed()
        return (await scheduled(web_server, "mine"))["error_count"] >= 4

    async with asyncio.timeout(10):  # the pauses alone would take longer
        await until(tried_again, "the fourth try")


async def test_what_makes_the_server_ask_others_is_for_admins_alone(web_server: WebServer) -> None:
    """A scope that names `_replicator` would read as any other to the person who is asked for it."""
    await make(web_server, "a", "_replicator")
    asked = {"name": "k", "app": "default", "scopes": ["_replicator:write"]}
    assert (await web_server.ask("POST", "/api/v1/keys", json=asked)).status == 400
    grants = web_server.services.grants  # as an older version made it
    scopes = frozenset({"_replicator:write", "_replicator:read", "sync"})
    key, _ = await grants.create("old", "default", scopes)
    path = f"{ROOT}/_replicator/mine"
    body = {"source": "a", "target": url(web_server, "stolen"), "create_target": True}
    answer = await web_server.ask("PUT", path, token=key, json=body)
    assert (answer.status, answer.json["error"]) == (403, "forbidden")
    assert (await web_server.ask("GET", path, token=key)).status == 403
    assert (await web_server.ask("GET", path)).status == 404
