"""Uploads and imports over HTTP, as the first page does them, with a real server and real child processes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import RunningServer
from tests.support.waiting import wait_until


def uploaded(server: RunningServer, content: bytes, name: str = "shop.csv") -> str:
    answer = server.request("POST", f"/api/v1/uploads?name={name}", content)
    assert answer.status == 201, answer.body
    assert answer.json()["bytes"] == len(content)
    return str(answer.json()["upload"])


def started(server: RunningServer, body: dict[str, Any]) -> str:
    answer = server.request("POST", "/api/v1/imports", body)
    assert answer.status == 202, answer.body
    return str(answer.json()["import"])


def ended(server: RunningServer, import_id: str) -> dict[str, Any]:
    def state() -> dict[str, Any] | None:
        found: dict[str, Any] = server.request("GET", f"/api/v1/imports/{import_id}").json()
        return found if found["state"] != "running" else None

    return wait_until(state, what="the end of the import", seconds=60)


def kept(server: RunningServer) -> list[str]:
    folder = server.home / "data" / "uploads"
    return sorted(p.name for p in folder.glob("*/*")) if folder.exists() else []


def test_preview_then_import(server: RunningServer, northwind: Path) -> None:
    upload = uploaded(server, northwind.read_bytes(), "north%2Fwind%20%C3%A9.db")
    assert kept(server) == ["wind é.db"]
    preview = ended(server, started(server, {"upload": upload, "app": "shop", "dry_run": True}))
    assert preview["state"] == "done"
    assert len(preview["mapping"]["collections"]) == 13
    assert "Views are not imported" in preview["mapping"]["notices"][0]
    assert server.request("GET", "/api/v1/apps/shop").status == 404, "a dry run made the app"
    done = ended(server, started(server, {"upload": upload, "app": "shop", "title": "The Shop"}))
    assert done["state"] == "done"
    assert sum(c["created"] for c in done["result"]["collections"]) == 3310
    assert done["progress"]["done"] == done["progress"]["total"] == 2155
    assert server.request("GET", "/api/v1/apps/shop").json()["title"] == "The Shop"
    assert kept(server) == []


def test_options(server: RunningServer) -> None:
    upload = uploaded(server, "sku|näme|v\n1|é|\n".encode("cp1252"))
    options = {"collection": "teas", "key": ["sku"], "encoding": "cp1252", "delimiter": "|", "empty": "text"}
    done = ended(server, started(server, {"upload": upload, "app": "x", "options": options}))
    assert done["error"] is None
    [document] = server.request("GET", "/api/v1/apps/x/collections/teas/documents").json()["documents"]
    assert document["_id"] == "1"
    assert document["näme"] == "é"


def test_a_bad_file(server: RunningServer) -> None:
    upload = uploaded(server, b"a,b\n1,2,3\n")
    failed = ended(server, started(server, {"upload": upload, "app": "x"}))
    assert failed["state"] == "failed"
    assert failed["error"]["code"] == "uneven-row"
    assert failed["error"]["details"] == "line 2"
    assert kept(server) == ["shop.csv"], "it can be tried again with other options"


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "an upload that is none": ({"upload": "../../x"}, 404, "no-upload"),
    "a bad app": ({"app": "--help"}, 400, "invalid-value"),
    "an unknown option": ({"options": {"home": "/"}}, 400, "bad-request"),
    "an option of another type": ({"options": {"key": 5}}, 400, "invalid-value"),
    "NUL in an option": ({"options": {"key": "a\0b"}}, 400, "nul"),
    "an unknown member": ({"path": "/etc/passwd"}, 400, "bad-request"),
    "no app": ({"app": None}, 400, "invalid-value"),
}


@pytest.mark.parametrize(("body", "status", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(body: dict[str, Any], status: int, code: str, server: RunningServer) -> None:
    upload = uploaded(server, b"a\n1\n")
    answer = server.request("POST", "/api/v1/imports", {"upload": upload, "app": "x", **body})
    assert (answer.status, answer.json()["code"]) == (status, code)


def test_options_are_never_taken_for_switches(server: RunningServer) -> None:
    upload = uploaded(server, b"a\n1\n", "--help")
    done = ended(server, started(server, {"upload": upload, "app": "x", "options": {"collection": "--help"}}))
    assert done["state"] == "done"
    assert [c["collection"] for c in done["result"]["collections"]] == ["t___help"]


def test_cancelling(server: RunningServer) -> None:
    lines = b"".join(b"%d,value %d\n" % (i, i) for i in range(200_000))
    upload = uploaded(server, b"n,v\n" + lines)
    import_id = started(server, {"upload": upload, "app": "x"})
    wait_until(
        lambda: server.request("GET", f"/api/v1/imports/{import_id}").json()["progress"],
        what="the first progress",
        seconds=60,
    )
    assert server.request("DELETE", f"/api/v1/imports/{import_id}").status == 200
    assert kept(server) == []
    assert server.request("GET", f"/api/v1/imports/{import_id}").status == 404
    [info] = server.request("GET", "/api/v1/apps/x/collections").json()["collections"]
    assert 0 < info["documents"] < 200_000


def test_only_the_owner(server: RunningServer) -> None:
    for method, path in (
        ("POST", "/api/v1/uploads?name=x"),
        ("POST", "/api/v1/imports"),
        ("GET", "/api/v1/imports/x"),
        ("DELETE", "/api/v1/imports/x"),
    ):
        assert server.request(method, path, {}, token=None).status == 401
    assert kept(server) == []


def test_an_upload_past_the_limit(servers: Callable[..., RunningServer], home: Path) -> None:
    server = servers(home, env={"LOCALSRV_MAX_UPLOAD_MB": "1", "LOCALSRV_MAX_BODY_MB": "1"})
    assert server.request("POST", "/api/v1/uploads?name=x.csv", b"x" * (1 << 20)).status == 201
    answer = server.request("POST", "/api/v1/uploads?name=x.csv", b"x" * ((1 << 20) + 1))
    assert (answer.status, answer.json()["code"]) == (413, "too-large")
    assert kept(server) == ["x.csv"]


def test_half_an_upload_is_not_kept(server: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        head = (
            f"POST /api/v1/uploads?name=x.csv HTTP/1.1\r\nHost: localhost:{server.port}\r\n"
            f"Authorization: Bearer {server.token}\r\nContent-Length: 1000000\r\n\r\n"
        )
        connection.sendall(head.encode() + b"x" * 100_000)
        wait_until(lambda: kept(server), what="the beginning of the upload")
    wait_until(lambda: not kept(server), what="the removal of half an upload")


def test_a_stopping_server_ends_imports_and_forgets_uploads(
    servers: Callable[..., RunningServer], home: Path
) -> None:
    server = servers(home)
    lines = b"".join(b"%d,value %d\n" % (i, i) for i in range(200_000))
    started(server, {"upload": uploaded(server, b"n,v\n" + lines), "app": "x"})
    assert server.stop() == 0
    assert not (home / "data" / "uploads").exists()


def test_violations(server: RunningServer) -> None:
    base = "/api/v1/apps/x"
    server.request("POST", "/api/v1/apps", {"id": "x", "title": None})
    server.request("PUT", f"{base}/collections/t", {"fields": {"a": "text"}, "unique": ["a"]})
    documents = [{"_id": str(i), "a": "same"} for i in range(5)]
    server.request("POST", f"{base}/collections/t/import", documents)
    found = server.request("GET", f"{base}/collections/t/violations?limit=2").json()
    assert found["violation_count"] == 5
    assert [v["id"] for v in found["violations"]] == ["0", "1"]
    assert server.request("GET", f"{base}/collections/t/violations?limit=x").status == 400
    assert server.request("GET", f"{base}/collections/gone/violations").status == 404
