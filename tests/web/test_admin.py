"""The admin face over real sockets: apps, collections, documents, attachments, keys, codes, queries."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from tests.web.conftest import WebServer

MANIFEST = """
id = "shop"
title = "Shop"
version = "1.0"

[collections.items]
key = "name"
[collections.items.fields]
name = "text"
stock = "integer"
"""
ITEMS = {"fields": {"name": "text", "stock": "integer"}, "key": "name"}
ATTACHMENT = "/api/v1/apps/shop/collections/items/documents/apple/attachments/picture.png"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An app's folder with a manifest and one page."""
    source = tmp_path / "source"
    (source / "ui").mkdir(parents=True)
    (source / "app.toml").write_text(MANIFEST)
    (source / "ui" / "index.html").write_text("<h1>first</h1>")
    return source


@pytest.fixture
async def shop(web_server: WebServer) -> WebServer:
    await web_server.make_app("shop", items=ITEMS)
    await web_server.fill("shop", "items", {"name": "apple", "stock": 1}, {"name": "pear", "stock": 2})
    return web_server


# ── the server ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_status_and_stop(web_server: WebServer) -> None:
    status = (await web_server.ask("GET", "/api/v1/status")).json
    assert status["url"] == web_server.origin()
    assert status["pid"] == 1
    (app,) = status["apps"]
    assert app["id"] == "default"
    assert app["url"] == web_server.origin("default")
    assert app["path_url"] == f"{web_server.origin()}/apps/default"
    assert (app["has_ui"], app["collections"], app["error"]) == (False, [], None)
    stopped = await web_server.ask("POST", "/api/v1/stop")
    assert (stopped.status, stopped.json, len(web_server.stops)) == (202, {"stopping": True}, 1)


async def test_an_app_whose_file_is_damaged_is_shown_and_harms_no_other(web_server: WebServer) -> None:
    await web_server.make_app("good", items=ITEMS)
    await web_server.services.apps.create("bad", "Bad")
    await web_server.services.apps.opened.pop("bad").database.close()
    for path in (web_server.home / "apps" / "bad").glob("app.db*"):
        path.write_bytes(b"this is no database, however long it may be" * 100)
    apps = {a["id"]: a for a in (await web_server.ask("GET", "/api/v1/apps")).json["apps"]}
    assert apps["bad"]["error"]["code"] == "storage-damaged"
    assert apps["good"]["error"] is None
    refused = await web_server.ask("GET", "/api/v1/apps/bad/collections")
    assert (refused.status, refused.json["code"]) == (507, "storage-damaged")


# ── apps ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_adding_updating_and_removing_an_app(web_server: WebServer, folder: Path) -> None:
    added = await web_server.ask("POST", "/api/v1/apps", json={"path": str(folder)})
    assert added.status == 201, added.body
    assert (added.json["id"], added.json["title"], added.json["has_ui"]) == ("shop", "Shop", True)
    assert [c["name"] for c in added.json["collections"]] == ["items"]
    await web_server.fill("shop", "items", {"name": "apple", "stock": 1})
    page = await web_server.ask("GET", "/", app="shop", token=None)
    assert page.body == b"<h1>first</h1>"

    (folder / "app.toml").write_text(MANIFEST.replace("1.0", "1.1") + 'color = "text"\n')
    (folder / "ui" / "index.html").write_text("<h1>second</h1>")
    updated = await web_server.ask("POST", "/api/v1/apps", json={"path": str(folder)})
    assert (updated.status, updated.json["version"]) == (200, "1.1")
    assert any("color" in text for text in updated.json["changes"])
    (items,) = updated.json["collections"]
    assert items["documents"] == 1
    page = await web_server.ask("GET", "/", app="shop", token=None)
    assert page.body == b"<h1>second</h1>"

    token = await web_server.key("shop", "*:read")
    removed = await web_server.ask("DELETE", "/api/v1/apps/shop")
    assert removed.json == {"removed": "shop", "data": "kept"}
    assert (await web_server.ask("GET", "/api/v1/apps/shop")).json["code"] == "app-not-found"
    assert (await web_server.ask("GET", "/api/v1/apps/shop/collections", token=token)).status == 401
    assert (await web_server.ask("GET", "/", app="shop", token=None)).status == 421
    assert (web_server.home / "apps" / "shop" / "app.db").exists()
    assert not (web_server.home / "apps" / "shop" / "bundle").exists()

    again = await web_server.ask("POST", "/api/v1/apps", json={"path": str(folder)})
    assert again.status == 201
    assert again.json["collections"][0]["documents"] == 1, "the data was kept"
    removed = await web_server.ask("DELETE", "/api/v1/apps/shop?data=delete")
    assert removed.json == {"removed": "shop", "data": "deleted"}
    assert not (web_server.home / "apps" / "shop").exists()


async def test_a_bad_manifest_changes_nothing(web_server: WebServer, folder: Path) -> None:
    assert (await web_server.ask("POST", "/api/v1/apps", json={"path": str(folder)})).status == 201
    (folder / "app.toml").write_text(MANIFEST + '\n[collections.other]\nkeys = "a"\n')
    (folder / "ui" / "index.html").write_text("<h1>second</h1>")
    refused = await web_server.ask("POST", "/api/v1/apps", json={"path": str(folder)})
    assert (refused.status, refused.json["code"]) == (400, "bad-manifest")
    assert f"{folder}/app.toml, line 13" in refused.json["details"]
    assert refused.json["hint"] == "Did you mean `key`?"
    shown = (await web_server.ask("GET", "/api/v1/apps/shop")).json
    assert [c["name"] for c in shown["collections"]] == ["items"]
    assert (await web_server.ask("GET", "/", app="shop", token=None)).body == b"<h1>first</h1>"


async def test_a_new_app_that_cannot_be_defined_leaves_nothing(web_server: WebServer, folder: Path) -> None:
    schema = '[collections.items.schema]\ntype = "no such type"\n'
    (folder / "app.toml").write_text(MANIFEST + schema)
    refused = await web_server.ask("POST", "/api/v1/apps", json={"path": str(folder)})
    assert refused.status == 400, refused.body
    assert (await web_server.ask("GET", "/api/v1/apps/shop")).status == 404
    assert not (web_server.home / "apps" / "shop" / "bundle").exists()
    assert not list((web_server.home / "apps" / "shop").glob("bundle.new-*"))


async def test_links_out_of_the_folder_are_refused(
    web_server: WebServer, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    (folder / "ui" / "link").symlink_to(tmp_path / "secret")
    refused = await web_server.ask("POST", "/api/v1/apps", json={"path": str(folder)})
    assert refused.status == 400
    assert "link" in refused.json["message"]
    assert (await web_server.ask("GET", "/api/v1/apps/shop")).status == 404


BAD_APPS: list[tuple[Any, int, str]] = [
    ({"path": "relative"}, 400, "invalid-value"),
    ({"path": "/there/is/nothing"}, 400, "manifest-missing"),
    ({"path": "/tmp", "id": "x"}, 400, "bad-request"),
    ({"id": "Shop"}, 400, "invalid-value"),
    ({"id": "../x"}, 400, "invalid-value"),
    ({"id": "default"}, 409, "app-exists"),
    ({"id": 5}, 400, "invalid-value"),
    ({"name": "x"}, 400, "bad-request"),
    ({}, 400, "bad-request"),
    ([], 400, "bad-request"),
]


@pytest.mark.parametrize(("body", "status", "code"), BAD_APPS)
async def test_apps_that_cannot_be(web_server: WebServer, body: Any, status: int, code: str) -> None:
    answer = await web_server.ask("POST", "/api/v1/apps", json=body)
    assert (answer.status, answer.json["code"]) == (status, code), answer.body
    assert web_server.services.apps.ids == ["default"]


async def test_the_default_app_stays(web_server: WebServer) -> None:
    answer = await web_server.ask("DELETE", "/api/v1/apps/default?data=delete")
    assert (answer.status, answer.json["code"]) == (409, "app-required")
    assert (await web_server.ask("GET", "/api/v1/apps/default")).status == 200
    assert (await web_server.ask("DELETE", "/api/v1/apps/default?data=maybe")).status == 400


# ── collections and documents ──────────────────────────────────────────────────────────────────────────────


async def test_collections_are_made_changed_and_dropped(web_server: WebServer) -> None:
    await web_server.make_app("shop")
    base = "/api/v1/apps/shop/collections"
    both = {
        "lines": {"fields": {"item": "text"}, "relations": [{"fields": "item", "to": "items"}]},
        "items": ITEMS,
    }
    made = await web_server.ask("PUT", base, json=both)
    assert made.status == 201
    assert [c["name"] for c in made.json["collections"]] == ["items", "lines"]
    changed = await web_server.ask(
        "PUT", f"{base}/items", json={**ITEMS, "fields": {**ITEMS["fields"], "note": "text"}}
    )
    assert changed.status == 200
    assert "note" in changed.json["collection"]["definition"]["fields"]
    refused = await web_server.ask("DELETE", f"{base}/items")
    assert refused.status == 400, "lines refer to it"
    assert (await web_server.ask("DELETE", f"{base}/lines")).json == {"removed": "lines"}
    assert (await web_server.ask("DELETE", f"{base}/items")).status == 200
    left = (await web_server.ask("GET", base)).json
    assert (left["collections"], set(left)) == ([], {"collections", "updated_at"})
    assert (await web_server.ask("DELETE", f"{base}/items")).status == 404


async def test_importing_documents(shop: WebServer) -> None:
    path = "/api/v1/apps/shop/collections/items/import"
    lines = b'{"name": "apple", "stock": 1}\n\n{"name": "pear", "stock": 9}\n{"name": "plum", "stock": 3}\n'
    answer = await shop.ask("POST", path, data=lines, headers={"Content-Type": "application/x-ndjson"})
    assert answer.json == {
        "created": 1, "updated": 1, "unchanged": 1, "violations": [], "violation_count": 0,
    }  # fmt: skip
    bad = [
        (b"[1]", "application/json", 400),
        (b'{"name": "x"}', "application/json", 400),
        (b"nonsense", "application/json", 400),
        (b'{"name": "x"}\nnonsense', "application/x-ndjson", 400),
        (b"a,b", "text/csv", 415),
        (b'[{"name": "\\ud800"}]', "application/json", 400),
        (b'[{"name": NaN}]', "application/json", 400),
        (b"[" * 200 + b"]" * 200, "application/json", 400),
        (b'[{"_id": "", "name": "x"}]', "application/json", 400),
    ]
    for data, content_type, status in bad:
        answer = await shop.ask("POST", path, data=data, headers={"Content-Type": content_type})
        assert answer.status == status, (data[:40], answer.body)
    assert shop.services.apps.opened["shop"].database.collections["items"].documents == 3


async def test_a_long_body_is_parsed_all_the_same(shop: WebServer) -> None:
    rows = [{"name": f"n{n}", "stock": n, "note": "x" * 100} for n in range(4000)]
    await shop.fill("shop", "items", *rows)
    listed = await shop.ask("GET", "/api/v1/apps/shop/collections/items/documents?limit=10000")
    assert len(listed.json["documents"]) == 4002


async def test_documents_in_pages(shop: WebServer) -> None:
    path = "/api/v1/apps/shop/collections/items/documents"
    first = (await shop.ask("GET", f"{path}?limit=1")).json
    assert [d["_id"] for d in first["documents"]] == ["apple"]
    assert first["documents"][0]["stock"] == 1
    assert first["documents"][0]["_rev"].startswith("1-")
    second = (await shop.ask("GET", f"{path}?limit=5&after={first['next']}")).json
    assert ([d["_id"] for d in second["documents"]], second["next"]) == (["pear"], None)
    for limit in ("0", "-1", "x", "1e9", "99999999999"):
        assert (await shop.ask("GET", f"{path}?limit={limit}")).status == 400


# ── attachments ────────────────────────────────────────────────────────────────────────────────────────────

PNG = {"Content-Type": "image/png"}


@pytest.mark.parametrize("size", [0, 10, 1000, 300_000], ids=["empty", "small", "inline", "file"])
async def test_attachments_go_in_and_out(shop: WebServer, size: int) -> None:
    data = bytes(n % 251 for n in range(size))
    put = await shop.ask("PUT", ATTACHMENT, data=io.BytesIO(data), headers=PNG)
    assert put.status == 201, put.body
    assert put.json["rev"].startswith("2-")
    got = await shop.ask("GET", ATTACHMENT)
    assert (got.status, got.body, got.headers["Content-Type"]) == (200, data, "image/png")
    assert got.headers["Content-Length"] == str(size)
    assert got.headers["Content-Security-Policy"] == "sandbox; default-src 'none'; frame-ancestors 'none'"
    head = await shop.ask("HEAD", ATTACHMENT)
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(size))
    listed = await shop.ask("GET", "/api/v1/apps/shop/collections/items/documents?limit=1")
    (stub,) = listed.json["documents"][0]["_attachments"].values()
    assert (stub["length"], stub["content_type"], stub["stub"]) == (size, "image/png", True)
    assert (await shop.ask("DELETE", ATTACHMENT)).json["rev"].startswith("3-")
    assert (await shop.ask("GET", ATTACHMENT)).status == 404


RANGES = [
    ("bytes=0-3", 206, 0, 4),
    ("bytes=5-", 206, 5, 300_000),
    ("bytes=-10", 206, 299_990, 300_000),
    ("bytes=-999999", 206, 0, 300_000),
    ("bytes=299999-400000", 206, 299_999, 300_000),
    ("bytes=300000-", 416, 0, 0),
    ("bytes=0-1,5-6", 200, 0, 300_000),
    ("bytes=9-3", 200, 0, 300_000),
    ("items=0-3", 200, 0, 300_000),
    ("bytes=x", 200, 0, 300_000),
]


@pytest.mark.parametrize(("asked", "status", "start", "end"), RANGES, ids=[r[0] for r in RANGES])
async def test_ranges(shop: WebServer, asked: str, status: int, start: int, end: int) -> None:
    data = bytes(n % 251 for n in range(300_000))
    await shop.ask("PUT", ATTACHMENT, data=io.BytesIO(data), headers=PNG)
    got = await shop.ask("GET", ATTACHMENT, headers={"Range": asked})
    assert got.status == status
    if status == 416:
        assert got.headers["Content-Range"] == "bytes */300000"
        return
    assert got.body == data[start:end]
    if status == 206:
        assert got.headers["Content-Range"] == f"bytes {start}-{end - 1}/300000"


async def test_conditions_of_attachments(shop: WebServer) -> None:
    await shop.ask("PUT", ATTACHMENT, data=b"first", headers=PNG)
    etag = (await shop.ask("GET", ATTACHMENT)).headers["ETag"]
    unchanged = await shop.ask("GET", ATTACHMENT, headers={"If-None-Match": etag})
    assert (unchanged.status, unchanged.body) == (304, b"")
    part = {"Range": "bytes=0-0", "If-Range": etag}
    assert (await shop.ask("GET", ATTACHMENT, headers=part)).body == b"f"
    await shop.ask("PUT", ATTACHMENT, data=b"second", headers=PNG)
    assert (await shop.ask("GET", ATTACHMENT, headers={"If-None-Match": etag})).status == 200
    assert (await shop.ask("GET", ATTACHMENT, headers=part)).body == b"second"
    assert (await shop.ask("GET", ATTACHMENT, headers={"If-Match": etag})).status == 412


async def test_if_match_locks_the_document(shop: WebServer) -> None:
    rev = (await shop.ask("PUT", ATTACHMENT, data=b"1", headers=PNG)).json["rev"]
    fresh = await shop.ask("PUT", ATTACHMENT, data=b"2", headers={**PNG, "If-Match": f'"{rev}"'})
    assert fresh.status == 201
    stale = await shop.ask("PUT", ATTACHMENT, data=b"3", headers={**PNG, "If-Match": f'"{rev}"'})
    assert stale.status in (409, 412)
    assert (await shop.ask("GET", ATTACHMENT)).body == b"2"


TYPES = [
    ("image/png", "inline"),
    ("text/plain; charset=utf-8", "inline"),
    ("text/html", "attachment"),
    ("image/svg+xml", "attachment"),
    ("application/javascript", "attachment"),
    ("application/pdf", "attachment"),
]


@pytest.mark.parametrize(("content_type", "kind"), TYPES)
async def test_stored_pages_are_downloads(shop: WebServer, content_type: str, kind: str) -> None:
    put = await shop.ask("PUT", ATTACHMENT, data=b"<script>", headers={"Content-Type": content_type})
    assert put.status == 201
    got = await shop.ask("GET", ATTACHMENT)
    assert got.headers["Content-Type"] == content_type
    assert got.headers["Content-Disposition"] == f"{kind}; filename*=UTF-8''picture.png"
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    policy = "sandbox; default-src 'none'; frame-ancestors 'none'"
    assert got.headers["Content-Security-Policy"] == policy, "what is shown all the same runs as nobody"


BAD_ATTACHMENTS = [
    ("items/documents/nothing/attachments/a", {}, b"x", 404),
    ("nothing/documents/apple/attachments/a", {}, b"x", 404),
    ("items/documents/apple/attachments/_a", {}, b"x", 400),
    ("items/documents/apple/attachments/a", {"Content-Type": "nonsense"}, b"x", 400),
    ("items/documents/apple/attachments/a", {}, b"x" * ((4 << 20) + 1), 413),
]


@pytest.mark.parametrize(("path", "headers", "data", "status"), BAD_ATTACHMENTS)
async def test_attachments_that_cannot_be(
    shop: WebServer, path: str, headers: dict[str, str], data: bytes, status: int
) -> None:
    full = f"/api/v1/apps/shop/collections/{path}"
    answer = await shop.ask("PUT", full, data=io.BytesIO(data), headers={**PNG, **headers})
    assert answer.status == status, answer.body
    listed = (await shop.ask("GET", "/api/v1/apps/shop/collections/items/documents")).json
    assert all("_attachments" not in d for d in listed["documents"])


async def test_names_with_slashes_and_signs(shop: WebServer) -> None:
    path = "/api/v1/apps/shop/collections/items/documents/apple/attachments/a%2Fb%20%C3%A9%22.txt"
    assert (await shop.ask("PUT", path, data=b"x", headers={"Content-Type": "text/plain"})).status == 201
    got = await shop.ask("GET", path)
    assert got.headers["Content-Disposition"] == "inline; filename*=UTF-8''a%2Fb%20%C3%A9%22.txt"
    (url,) = (await shop.ask("POST", "/api/v1/apps/shop/sign", json={"paths": [path]})).json["urls"]
    assert (await shop.ask("GET", url, token=None)).body == b"x"


# ── signed URLs ────────────────────────────────────────────────────────────────────────────────────────────


async def test_signed_urls(shop: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    await shop.ask("PUT", ATTACHMENT, data=b"picture", headers=PNG)
    token = await shop.key("shop", "items:read", origin=shop.origin("shop"))
    signing = {"paths": [ATTACHMENT], "expires_in": 60}
    (url,) = (await shop.ask("POST", "/api/v1/apps/shop/sign", token=token, json=signing)).json["urls"]
    image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors"}
    for app in (None, "shop"):
        got = await shop.ask("GET", url, app=app, token=None, headers=image)
        assert (got.status, got.body) == (200, b"picture")
        assert got.headers["Cross-Origin-Resource-Policy"] == "cross-origin"

    forged = [
        url.replace("signature=", "signature=0"),
        url.replace("picture.png", "other.png"),
        url.replace("expires=", "expires=9"),
        url.replace("key=", "key=x"),
        url.partition("&signature")[0] + "&signature=%ff",
    ]
    for wrong in forged:
        assert (await shop.ask("GET", wrong, token=None)).json["code"] == "bad-signature", wrong
    assert (await shop.ask("PUT", url, token=None, data=b"x", headers=PNG)).status == 401
    assert (await shop.ask("DELETE", url, token=None)).status == 401
    listing = "/api/v1/apps/shop/collections/items/documents?" + url.partition("?")[2]
    assert (await shop.ask("GET", listing, token=None)).status == 401

    key = shop.services.grants.all()[0]
    assert (await shop.ask("DELETE", f"/api/v1/keys/{key.id}")).status == 200
    assert (await shop.ask("GET", url, token=None)).status == 401


async def test_a_signed_url_ends(shop: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    await shop.ask("PUT", ATTACHMENT, data=b"picture", headers=PNG)
    signing = {"paths": [ATTACHMENT], "expires_in": 60}
    (url,) = (await shop.ask("POST", "/api/v1/apps/shop/sign", json=signing)).json["urls"]
    now = shop.services.signer._clock()
    monkeypatch.setattr(shop.services.signer, "_clock", lambda: now + 61)
    assert (await shop.ask("GET", url, token=None)).json["code"] == "url-expired"


BAD_SIGNING = [
    ({"paths": ["/api/v1/status"]}, 400),
    ({"paths": ["/api/v1/apps/other/collections/items/documents/a/attachments/b"]}, 400),
    ({"paths": ["/api/v1/apps/shop/collections/secrets/documents/a/attachments/b"]}, 403),
    ({"paths": []}, 400),
    ({"paths": [5]}, 400),
    ({"paths": ["nonsense"]}, 400),
    ({"paths": [ATTACHMENT], "expires_in": 3601}, 400),
    ({"paths": [ATTACHMENT], "expires_in": 0}, 400),
]


@pytest.mark.parametrize(("body", "status"), BAD_SIGNING)
async def test_urls_that_cannot_be_signed(shop: WebServer, body: Any, status: int) -> None:
    token = await shop.key("shop", "items:read")
    answer = await shop.ask("POST", "/api/v1/apps/shop/sign", token=token, json=body)
    assert answer.status == status, answer.body
    assert "signature" not in answer.body.decode()


# ── keys and codes ─────────────────────────────────────────────────────────────────────────────────────────


async def test_keys_are_shown_once_and_never_again(shop: WebServer) -> None:
    body = {"name": "my page", "app": "shop", "scopes": ["items:read"], "origin": "HTTP://Localhost:3000/"}
    made = (await shop.ask("POST", "/api/v1/keys", json=body)).json
    assert made["token"].startswith("lsk_")
    assert len(made["token"]) == 47
    assert made["origin"] == "http://localhost:3000"
    listed = await shop.ask("GET", "/api/v1/keys")
    (key,) = listed.json["keys"]
    assert {k: v for k, v in made.items() if k != "token"} == key
    assert made["token"] not in listed.body.decode()
    files = b"".join(p.read_bytes() for p in shop.home.rglob("*") if p.is_file())
    assert made["token"].encode() not in files
    assert (await shop.ask("DELETE", f"/api/v1/keys/{key['id']}")).json == {"revoked": key["id"]}
    assert (await shop.ask("DELETE", f"/api/v1/keys/{key['id']}")).json["code"] == "key-not-found"
    assert (await shop.ask("DELETE", "/api/v1/keys/owner")).status == 404
    assert (await shop.ask("GET", "/api/v1/status")).status == 200


BAD_KEYS: list[tuple[Any, int]] = [
    ({"app": "shop", "scopes": ["*:read"]}, 400),
    ({"name": "x", "app": "shop"}, 400),
    ({"name": "x", "app": "nothing", "scopes": ["*:read"]}, 404),
    ({"name": "x", "app": "shop", "scopes": []}, 400),
    ({"name": "x", "app": "shop", "scopes": ["everything"]}, 400),
    ({"name": "x", "app": "shop", "scopes": ["*:*"]}, 400),
    ({"name": "x", "app": "shop", "scopes": [1]}, 400),
    ({"name": "x", "app": "shop", "scopes": ["*:read"], "origin": "null"}, 400),
    ({"name": "x", "app": "shop", "scopes": ["*:read"], "origin": "*"}, 400),
    ({"name": "x", "app": "shop", "scopes": ["*:read"], "origin": "http://a.example/path"}, 400),
    ({"name": "x", "app": "shop", "scopes": ["*:read"], "origin": "file://x"}, 400),
    ({"name": "x", "app": "shop", "scopes": ["*:read"], "expires_in": 0}, 400),
    ({"name": "x", "app": "shop", "scopes": ["*:read"], "expires_in": True}, 400),
    ({"name": "x\n", "app": "shop", "scopes": ["*:read"], "more": 1}, 400),
    ({"name": "a\nb", "app": "shop", "scopes": ["*:read"]}, 400),
    ({"name": "", "app": "shop", "scopes": ["*:read"]}, 400),
]


@pytest.mark.parametrize(("body", "status"), BAD_KEYS)
async def test_keys_that_cannot_be(shop: WebServer, body: Any, status: int) -> None:
    answer = await shop.ask("POST", "/api/v1/keys", json=body)
    assert answer.status == status, answer.body
    assert shop.services.grants.all() == []


async def test_a_page_swaps_its_code_for_a_token_of_its_origin(shop: WebServer) -> None:
    made = (await shop.ask("POST", "/api/v1/codes", json={"app": "shop"})).json
    assert made["url"] == f"{shop.origin('shop')}/#code={made['code']}"
    assert made["expires_in"] == 120
    page = {"Origin": shop.origin("shop"), "Sec-Fetch-Site": "same-origin"}
    given = await shop.ask(
        "POST", "/api/v1/exchange", app="shop", token=None, headers=page, json={"code": made["code"]}
    )
    assert given.status == 200
    scopes = ["*:read", "*:write", "cache:use", "integrations:*:use"]
    assert (given.json["app"], given.json["scopes"]) == ("shop", scopes)
    token = given.json["token"]
    path = "/api/v1/apps/shop/collections"
    assert (
        await shop.ask("GET", path, app="shop", token=token, headers={"Sec-Fetch-Site": "same-origin"})
    ).status == 200
    # from another page of ours, with a stolen token
    stolen = await shop.ask("GET", path, token=token, headers={"Sec-Fetch-Site": "same-origin"})
    assert stolen.json["code"] == "wrong-origin"
    assert (await shop.ask("GET", "/api/v1/status", token=token)).status == 403
    again = await shop.ask(
        "POST", "/api/v1/exchange", app="shop", token=None, headers=page, json={"code": made["code"]}
    )
    assert (again.status, again.json["code"]) == (403, "bad-code")


async def test_the_dashboard_gets_the_owners_power(web_server: WebServer) -> None:
    made = (await web_server.ask("POST", "/api/v1/codes", json={})).json
    assert made["url"].startswith(f"{web_server.origin()}/#code=")
    page = {"Origin": web_server.origin()}
    given = await web_server.ask(
        "POST", "/api/v1/exchange", token=None, headers=page, json={"code": made["code"]}
    )
    assert given.json["scopes"] == ["admin"]
    assert (await web_server.ask("GET", "/api/v1/status", token=given.json["token"])).status == 200


WRONG_PAGES = [("shop", None), ("shop", "other"), (None, "shop")]


@pytest.mark.parametrize(("code_app", "page_app"), WRONG_PAGES)
async def test_a_code_is_for_one_page(shop: WebServer, code_app: str | None, page_app: str | None) -> None:
    await shop.make_app("other")
    code = (await shop.ask("POST", "/api/v1/codes", json={"app": code_app})).json["code"]

    async def swap(app: str | None, headers: dict[str, str]) -> int:
        answer = await shop.ask(
            "POST", "/api/v1/exchange", app=app, token=None, headers=headers, json={"code": code}
        )
        return answer.status

    assert await swap(page_app, {"Origin": shop.origin(page_app)}) == 403
    assert await swap(code_app, {"Origin": shop.origin(code_app)}) == 403, "the code is spent"
    assert shop.services.grants.all() == []


async def test_a_code_without_an_origin_is_worth_nothing(shop: WebServer) -> None:
    code = (await shop.ask("POST", "/api/v1/codes", json={"app": "shop"})).json["code"]
    answer = await shop.ask("POST", "/api/v1/exchange", app="shop", token=None, json={"code": code})
    assert (answer.status, answer.json["code"]) == (403, "wrong-origin")


# ── queries ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_queries_read_and_never_write(shop: WebServer) -> None:
    path = "/api/v1/apps/shop/query"
    got = await shop.ask(
        "POST", path, json={"sql": "SELECT name, stock FROM items WHERE stock > ? ORDER BY 1", "params": [0]}
    )
    assert got.json == {"columns": ["name", "stock"], "rows": [["apple", 1], ["pear", 2]], "truncated": False}
    cut = await shop.ask("POST", path, json={"sql": "SELECT name FROM items", "limit": 1})
    assert (len(cut.json["rows"]), cut.json["truncated"]) == (1, True)
    blob = await shop.ask("POST", path, json={"sql": "SELECT x'00ff'"})
    assert blob.json["rows"] == [["x'00ff'"]]
    for sql in (
        "DELETE FROM items",
        "DROP TABLE items",
        "nonsense",
        "",
        "ATTACH 'x.db' AS x",
        "PRAGMA query_only=0",
    ):
        answer = await shop.ask("POST", path, json={"sql": sql})
        assert 400 <= answer.status < 500, (sql, answer.body)
    for body in ({}, {"sql": "SELECT 1", "limit": 0}, {"sql": 1}, {"sql": "SELECT 1", "params": "x"}):
        assert (await shop.ask("POST", path, json=body)).status == 400
    assert shop.services.apps.opened["shop"].database.collections["items"].documents == 2
