"""The frozen server does what the one from source does: driver, keyring, validators and data files are in it.

The bundle is built here, so that a stale one cannot pass; BUNDLE_EXECUTABLE names one that is there already.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.secret_service import secret_service
from tests.support.server import RunningServer, start_server
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.bundle, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]


def _packaging(name: str) -> ModuleType:
    """A module of `build/`, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "build" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def executable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The frozen server's executable."""
    given = os.environ.get("BUNDLE_EXECUTABLE")
    if given:
        return Path(given)
    built: Path = _packaging("bundle").build(tmp_path_factory.mktemp("bundle"))
    return built


@pytest.fixture(scope="module")
def frozen(executable: Path, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """The running frozen server."""
    running = start_server(tmp_path_factory.mktemp("frozen") / "home", command=[str(executable)])
    yield running
    assert running.stop() == 0, running.output()
    assert "Traceback" not in running.output()


def localsrv(executable: Path, server: RunningServer, *arguments: str, stdin: str = "") -> str:
    """What the frozen command line prints; it must succeed."""
    done = subprocess.run(
        [str(executable), *arguments],
        env=os.environ | {"LOCALSRV_HOME": str(server.home)},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_says_what_it_is(executable: Path, frozen: RunningServer) -> None:
    status = frozen.request("GET", "/api/v1/status?vault=probe").json()
    assert status["version"] in localsrv(executable, frozen, "--version")
    assert tuple(map(int, status["sqlite_version"].split("."))) >= (3, 51, 3)


def test_it_imports_and_queries(
    executable: Path, frozen: RunningServer, northwind: Path, tmp_path: Path
) -> None:
    localsrv(executable, frozen, "import", str(northwind), "--app", "shop")
    answer = localsrv(
        executable,
        frozen,
        "query",
        "shop",
        "SELECT count(*) AS n FROM products WHERE UnitPrice > 20",
        "--json",
    )
    assert "37" in answer
    cheap = frozen.request("GET", "/apps/shop/rest/v1/products?UnitPrice=lt.3&select=ProductName").json()
    assert cheap == [{"ProductName": "Geitost"}]


def test_the_import_of_the_first_page_runs_as_a_child(frozen: RunningServer, tmp_path: Path) -> None:
    """The server starts itself again to read the file: frozen, there is no `python -m`."""
    body = b"name,born\nAda,1815\nGrace,1906\n"
    upload = frozen.request("POST", "/api/v1/uploads?name=people.csv", body).json()["upload"]
    started = frozen.request("POST", "/api/v1/imports", {"upload": upload, "app": "people", "dry_run": False})
    assert started.status == 202, started
    address = f"/api/v1/imports/{started.json()['import']}"
    done = wait_until(
        lambda: (found := frozen.request("GET", address).json())["state"] != "running" and found,
        what="the end of the import",
    )
    assert done["state"] == "done", done
    assert len(frozen.request("GET", "/apps/people/rest/v1/people").json()) == 2


def test_javascript_runs_as_a_child(frozen: RunningServer) -> None:
    """QuickJS is in it, and what functions find around them."""
    database = "/apps/default/couch/things"
    assert frozen.request("PUT", database).status == 201
    view = {
        "map": "doc => emit(doc.n, require('views/lib/m').two)",
        "reduce": "(keys, values) => sum(values)",
    }
    design = {"views": {"lib": {"m": "exports.two = 2"}, "v": view}}
    assert frozen.request("PUT", f"{database}/_design/d", design).status == 201
    for n in range(3):
        assert frozen.request("PUT", f"{database}/{n}", {"n": n}).status == 201
    assert frozen.request("GET", f"{database}/_design/d/_view/v").json() == {
        "rows": [{"key": None, "value": 6}]
    }


def test_full_text_regular_expressions_and_schemas(frozen: RunningServer) -> None:
    """FTS5, RE2, fastjsonschema and jsonschema's wording are all compiled or lazily loaded things."""
    assert frozen.request("POST", "/api/v1/apps", {"id": "words", "title": "Words"}).status == 201
    definition = {
        "fields": {"title": "text", "size": "integer"},
        "full_text": ["title"],
        "schema": {"type": "object", "properties": {"size": {"type": "integer", "minimum": 1}}},
    }
    defined = frozen.request("PUT", "/api/v1/apps/words/collections/notes", definition)
    assert defined.status in (200, 201), defined
    rows = [{"title": "A grouped commit", "size": 3}, {"title": "Something else", "size": 4}]
    assert frozen.request("POST", "/apps/words/rest/v1/notes", rows).status == 201
    refused = frozen.request("POST", "/apps/words/rest/v1/notes", {"title": "x", "size": 0})
    assert (refused.status, refused.json()["code"]) == (400, "23514")
    assert "minimum" in refused.body.decode()
    for query in ("title=fts.grouped", "title=match.^A%20g", "size=lt.4"):
        found = frozen.request("GET", f"/apps/words/rest/v1/notes?select=title&{query}").json()
        assert found == [{"title": "A grouped commit"}], query


def test_the_sample_app_has_its_page(executable: Path, frozen: RunningServer) -> None:
    localsrv(executable, frozen, "serve", "--sample", "yes")
    page = frozen.request("GET", "/", token=None, host="inventory")
    assert page.status == 200
    assert "text/html" in page.headers["content-type"]
    client = frozen.request("GET", "/vendor/supabase.js", token=None, host="inventory")
    assert client.status == 200 and len(client.body) > 10_000
    categories = frozen.request("GET", "/apps/inventory/rest/v1/categories?select=CategoryName").json()
    assert {"CategoryName": "Seafood"} in categories


def test_the_dashboard_is_in_it(frozen: RunningServer) -> None:
    page = frozen.request("GET", "/", token=None)
    assert page.status == 200
    assert "text/html" in page.headers["content-type"]


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux is there a Secret Service to start")
def test_it_reaches_the_keyring(executable: Path, tmp_path: Path) -> None:
    with secret_service(tmp_path / "session") as session:
        environment = {name: value for name, value in session.items() if name != "HOME"}
        running = start_server(
            tmp_path / "home",
            command=[str(executable)],
            env={**environment, "PYTHON_KEYRING_BACKEND": None},
        )
        try:
            vault = wait_until(
                lambda: (
                    (found := running.request("GET", "/api/v1/status?vault=probe").json()["vault"])["backend"]
                    and found
                ),
                what="the probe of the keyring",
            )
        finally:
            assert running.stop() == 0, running.output()
    assert vault["state"] == "ok", vault
    assert "secret" in vault["backend"].lower()


def test_a_sealed_file_keeps_secrets(executable: Path, tmp_path: Path) -> None:
    """Encryption and Argon2id are in it, and a start unlocks with what a descriptor gives."""
    home = tmp_path / "home"
    first = start_server(home, command=[str(executable)])
    try:
        passphrase = "correct horse battery"
        move = ("secrets", "move", "--to", "sealed_file", "--passphrase-fd", "0")
        localsrv(executable, first, *move, stdin=f"{passphrase}\n")
        localsrv(executable, first, "secrets", "set", "openai", stdin="frozen")
        assert "argon2id" in (home / "data/vault/secrets.sealed").read_bytes().split(b"\n")[1].decode()
    finally:
        assert first.stop() == 0, first.output()
    second = start_server(home, command=[str(executable)])
    try:
        assert second.request("GET", "/api/v1/status").json()["vault"]["state"] == "locked"
        localsrv(executable, second, "vault", "unlock", "--passphrase-fd", "0", stdin=passphrase)
        assert second.request("GET", "/api/v1/status").json()["vault"]["state"] == "ok"
        assert "openai" in localsrv(executable, second, "secrets", "list")
    finally:
        assert second.stop() == 0, second.output()


def test_the_standard_library_is_whole(executable: Path) -> None:
    """A service of an app may import any of it. What was left out is listed in installer.spec."""
    from PyInstaller.archive.readers import CArchiveReader

    archive = CArchiveReader(str(executable)).open_embedded_archive("PYZ.pyz")
    folder = executable.parent / "_internal"
    beside = (file.relative_to(folder).with_suffix("") for file in folder.rglob("*.pyc"))
    inside = set(archive.toc) | {".".join(path.parts) for path in beside}
    wanted = {
        "wsgiref.simple_server",
        "xmlrpc.server",
        "smtplib",
        "sqlite3.dbapi2",
        "unittest.mock",
        "curses.panel",
    }
    wanted |= {"zoneinfo._zoneinfo", "concurrent.futures.process", "tomllib._parser", "imaplib", "cProfile"}
    assert wanted - inside == set()
    assert {name for name in inside if name.split(".")[0] in ("tkinter", "test", "pytest", "pip")} == set()


def test_nothing_in_it_is_broken_by_stripping(executable: Path) -> None:
    """Every shared library in the bundle finds what it needs."""
    if sys.platform != "linux":
        pytest.skip("only on Linux are symbols stripped")
    folder = executable.parent / "_internal"
    broken = {}
    for library in sorted(folder.rglob("*.so*")):
        read = subprocess.run(["ldd", str(library)], capture_output=True, text=True, check=False)
        if "not found" in read.stdout or (read.returncode != 0 and "statically" not in read.stdout):
            broken[library.name] = read.stdout + read.stderr
    assert json.dumps(broken) == "{}"
