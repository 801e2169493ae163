"""The project's files: what a wheel holds, and that a fresh clone starts with one command."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import localsrv
from tests.support.server import start_server

ROOT = Path(__file__).resolve().parent.parent


def _tracked() -> list[str]:
    """The files of the clone, those not committed yet included. Skips outside a clone."""
    if not (ROOT / ".git").exists():
        pytest.skip("not on an unpacked source archive: git lists the files")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_the_version_is_in_one_place_too_many_and_they_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == localsrv.__version__
    assert f"## {localsrv.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_every_dependency_has_its_reason() -> None:
    """ARCHITECTURE.md says why each is there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    names = [line.partition(">")[0] for line in project["dependencies"]]
    reasons = {
        name.strip() for row in re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE) for name in row.split(",")
    }
    assert [name for name in names if name not in reasons] == []


@pytest.mark.parametrize(
    "name", ["requirements.lock", "requirements-dev.lock", "tests/node/requirements.lock"]
)
def test_locks_name_no_registry(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert "--hash=sha256:" in text
    assert "://" not in text


def test_the_locks_agree() -> None:
    """The environment that was tested has the versions that `make run` installs."""

    def pins(name: str) -> set[str]:
        lines = (ROOT / name).read_text("utf-8").splitlines()
        return {line.split()[0] for line in lines if "==" in line and not line.startswith((" ", "#"))}

    assert pins("requirements.lock") - pins("requirements-dev.lock") == set()


def test_the_wheel_holds_the_whole_package(tmp_path: Path) -> None:
    """Pages, SQL and the sample's data travel with the code, and nothing else does."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert inside == {name for name in _tracked() if name.startswith("localsrv/")}


@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform == "win32", reason="not on Windows: it has no make")
def test_make_run_starts_a_fresh_clone(tmp_path: Path) -> None:
    """Nothing but the clone's files and Python: the environment is created, then the server answers."""
    clone = tmp_path / "clone"
    for name in _tracked():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    subprocess.run(["make", ".venv/.run"], cwd=clone, stdin=subprocess.DEVNULL, check=True)
    line = ["make", "--no-print-directory", "--directory", str(clone), "run", "SERVE_ARGS=--port 0"]
    running = start_server(tmp_path / "home", line=line)
    try:
        assert running.request("GET", "/api/v1/status").json()["version"] == localsrv.__version__
    finally:
        running.stop()
