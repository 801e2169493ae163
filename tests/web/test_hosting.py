"""Pages: an app's files on its own origin, and what must never be served."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from tests.web.conftest import WebServer

MANIFEST = """
id = "site"
title = "<Site>"
[ui]
single_page = true
[ui.csp]
img-src = ["https://tile.example.org"]
frame-src = ["https://player.example.org"]
"""


@pytest.fixture
async def site(web_server: WebServer, tmp_path: Path) -> WebServer:
    """An app with pages of many kinds, a secret beside them and a link to it."""
    source = tmp_path / "source"
    ui = source / "ui"
    (ui / "docs").mkdir(parents=True)
    (ui / ".git").mkdir()
    (source / "app.toml").write_text(MANIFEST)
    (ui / "index.html").write_text("<h1>home</h1>")
    (ui / "docs" / "index.html").write_text("<h1>docs</h1>")
    (ui / "main.js").write_text("export const a = 1;")
    (ui / "main.js.gz").write_bytes(gzip.compress(b"export const a = 1;"))
    (ui / "main.js.br").write_bytes(b"brotli")
    (ui / "ä b.txt").write_text("signs")
    (ui / ".env").write_text("SECRET=1")
    (ui / ".git" / "config").write_text("secret")
    for name in ("a.css", "a.svg", "a.png", "a.wasm", "a.mjs", "a.woff2", "a.webmanifest", "a.unknown"):
        (ui / name).write_text("x")
    answer = await web_server.ask("POST", "/api/v1/apps", json={"path": str(source)})
    assert answer.status == 201, answer.body
    hosted = web_server.home / "apps" / "site" / "bundle" / "ui"
    (web_server.home / "apps" / "site" / "outside.txt").write_text("secret")
    (hosted / "link.txt").symlink_to(web_server.home / "apps" / "site" / "outside.txt")
    (hosted / "folder").symlink_to(web_server.home / "apps" / "site")
    os.mkfifo(hosted / "pipe")
    return web_server


SERVED = [
    ("/", "text/html; charset=utf-8", b"<h1>home</h1>"),
    ("/index.html", "text/html; charset=utf-8", b"<h1>home</h1>"),
    ("/docs/", "text/html; charset=utf-8", b"<h1>docs</h1>"),
    ("/main.js", "text/javascript; charset=utf-8", b"export const a = 1;"),
    ("/main.js?v=1", "text/javascript; charset=utf-8", b"export const a = 1;"),
    ("/%C3%A4%20b.txt", "text/plain; charset=utf-8", b"signs"),
    ("/a.css", "text/css; charset=utf-8", b"x"),
    ("/a.mjs", "text/javascript; charset=utf-8", b"x"),
    ("/a.svg", "image/svg+xml", b"x"),
    ("/a.wasm", "application/wasm", b"x"),
    ("/a.woff2", "font/woff2", b"x"),
    ("/a.webmanifest", "application/manifest+json", b"x"),
    ("/a.unknown", "application/octet-stream", b"x"),
    ("/products/12", "text/html; charset=utf-8", b"<h1>home</h1>"),
    ("/nothing", "text/html; charset=utf-8", b"<h1>home</h1>"),
]


@pytest.mark.parametrize(("path", "content_type", "body"), SERVED, ids=[s[0] for s in SERVED])
async def test_files_are_served(site: WebServer, path: str, content_type: str, body: bytes) -> None:
    got = await site.ask("GET", path, app="site", token=None, headers={"Accept-Encoding": "identity"})
    assert (got.status, got.headers["Content-Type"], got.body) == (200, content_type, body)
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.headers["X-Frame-Options"] == "DENY"
    assert got.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert got.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert got.headers["Cache-Control"] == "no-cache"
    head = await site.ask("HEAD", path, app="site", token=None)
    assert (head.status, head.body) == (200, b"")


async def test_the_policy_is_strict_but_for_what_the_manifest_adds(site: WebServer) -> None:
    got = await site.ask("GET", "/", app="site", token=None)
    policy = dict(p.split(" ", 1) for p in got.headers["Content-Security-Policy"].split("; "))
    assert policy == {
        "default-src": "'self'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data: blob: https://tile.example.org",
        "media-src": "'self' blob:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "worker-src": "'self'",
        "frame-src": "https://player.example.org",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }


NEVER = [
    "/.env",
    "/.git/config",
    "/docs/../.env",
    "/%2e%2e/app.toml",
    "/../app.toml",
    "/..%2fapp.toml",
    "/..%5capp.toml",
    "/docs/..%2f..%2fapp.toml",
    "//etc/passwd.txt",
    "/%2fetc%2fpasswd.txt",
    "/link.txt",
    "/folder/outside.txt",
    "/C:/secret.txt",
    "/main.js:stream.txt",
    "/docs/./index.html",
    "/main.js/",
    "/missing.js",
    "/pipe.txt",
    "/main.js%20.txt",
]


@pytest.mark.parametrize("path", NEVER)
async def test_what_is_never_served(site: WebServer, path: str) -> None:
    got = await site.ask("GET", path, app="site", token=None)
    assert got.status == 404, got.body
    assert got.json["code"] == "file-not-found"
    assert b"secret" not in got.body.lower().replace(b"secret.txt", b"")


async def test_folders_get_their_slash_and_no_other_site(site: WebServer) -> None:
    got = await site.ask("GET", "/docs", app="site", token=None)
    assert (got.status, got.headers["Location"]) == (308, "/docs/")
    assert (await site.ask("GET", "//docs", app="site", token=None)).status == 404


COMPRESSED = [
    ("gzip, deflate, br", "br", b"brotli"),
    ("gzip", "gzip", b"export const a = 1;"),
    ("gzip, br;q=0", "gzip", b"export const a = 1;"),
    ("identity", None, b"export const a = 1;"),
    ("", None, b"export const a = 1;"),
]


@pytest.mark.parametrize(("accepted", "encoding", "body"), COMPRESSED)
async def test_files_that_were_compressed_before(
    site: WebServer, accepted: str, encoding: str | None, body: bytes
) -> None:
    raw = await site.raw(
        f"GET /main.js HTTP/1.1\r\nHost: {site.host('site')}\r\nAccept-Encoding: {accepted}\r\n"
        "Connection: close\r\n\r\n".encode()
    )
    head, _, got = raw.partition(b"\r\n\r\n")
    lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert lines.get("Content-Encoding") == encoding
    assert lines["Content-Type"] == "text/javascript; charset=utf-8"
    assert "Accept-Encoding" in lines["Vary"]
    assert (gzip.decompress(got) if encoding == "gzip" else got) == body


async def test_validators_and_ranges(site: WebServer) -> None:
    plain = {"Accept-Encoding": "identity"}
    first = await site.ask("GET", "/main.js", app="site", token=None, headers=plain)
    etag, modified = first.headers["ETag"], first.headers["Last-Modified"]
    for condition in (
        {"If-None-Match": etag},
        {"If-None-Match": f"W/{etag}"},
        {"If-Modified-Since": modified},
    ):
        got = await site.ask("GET", "/main.js", app="site", token=None, headers={**plain, **condition})
        assert (got.status, got.body) == (304, b"")
        assert got.headers["ETag"] == etag
    part = {**plain, "Range": "bytes=7-11"}
    got = await site.ask("GET", "/main.js", app="site", token=None, headers=part)
    assert (got.status, got.body, got.headers["Content-Range"]) == (206, b"const", "bytes 7-11/19")
    path = site.home / "apps" / "site" / "bundle" / "ui" / "main.js"
    path.write_text("changed, and of another length")
    stale = {**part, "If-Range": etag}
    got = await site.ask("GET", "/main.js", app="site", token=None, headers=stale)
    assert (got.status, got.body) == (200, b"changed, and of another length")


async def test_a_large_file_is_streamed(site: WebServer) -> None:
    data = os.urandom(1_000_000)
    (site.home / "apps" / "site" / "bundle" / "ui" / "large.bin").write_bytes(data)
    got = await site.ask("GET", "/large.bin", app="site", token=None)
    assert got.body == data
    got = await site.ask("GET", "/large.bin", app="site", token=None, headers={"Range": "bytes=100-900000"})
    assert (got.status, got.body) == (206, data[100:900001])


async def test_files_are_read_only(site: WebServer) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        got = await site.ask(method, "/main.js", app="site")
        assert (got.status, got.headers["Allow"]) == (405, "GET, HEAD")


async def test_an_app_is_never_served_by_path(site: WebServer) -> None:
    for path in ("/apps/site/", "/apps/site/index.html", "/apps/site"):
        got = await site.ask("GET", path, token=None)
        assert (got.status, got.json["code"]) == (404, "no-such-route")


async def test_an_app_without_pages_says_so(web_server: WebServer) -> None:
    await web_server.services.apps.create("plain", "<script>alert(1)</script>")
    got = await web_server.ask("GET", "/", app="plain", token=None)
    assert (got.status, got.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert b"<script>" not in got.body
    assert "default-src 'self'" in got.headers["Content-Security-Policy"]


async def test_faces_are_not_files(site: WebServer) -> None:
    """A single page answers unknown paths, but never those of a face: a client would take it for data."""
    for path, status in (("/rest/v1/a/b/c", 404), ("/couch/x", 401), ("/api/v1/nothing", 404)):
        got = await site.ask("GET", path, app="site", token=None)
        assert got.status == status
        assert got.headers["Content-Type"].startswith("application/json")


async def test_the_dashboard_is_public_behind_the_guard(web_server: WebServer) -> None:
    got = await web_server.ask("GET", "/", token=None)
    assert (got.status, got.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "frame-ancestors 'none'" in got.headers["Content-Security-Policy"]
