"""Folders: where they are, who may enter them, and that a token never lands where others can reach it."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from localsrv.base.errors import ConfigError, StorageError
from localsrv.base.files import make_owner_folder, write_atomic
from localsrv.base.paths import Paths

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="not on Windows: modes and owners of POSIX")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_home_holds_everything_for_the_owner_alone(tmp_path: Path) -> None:
    paths = Paths.from_environment({"LOCALSRV_HOME": str(tmp_path / "a" / "home")})
    assert [paths.data.name, paths.config.name, paths.logs.name, paths.runtime.name] == [
        "data",
        "config",
        "logs",
        "runtime",
    ]
    for folder in (paths.data, paths.config, paths.logs, paths.runtime):
        assert folder.parent == tmp_path / "a" / "home"
        assert mode(folder) == 0o700


def test_an_open_folder_is_narrowed(tmp_path: Path) -> None:
    (tmp_path / "runtime").mkdir(mode=0o755)
    paths = Paths.from_environment({"LOCALSRV_HOME": str(tmp_path)})
    assert mode(paths.runtime) == 0o700


@pytest.mark.parametrize("home", ["", "  "])
def test_an_empty_home_is_an_error(home: str) -> None:
    with pytest.raises(ConfigError, match="LOCALSRV_HOME"):
        Paths.from_environment({"LOCALSRV_HOME": home})


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux: XDG base directories")
@pytest.mark.parametrize("session", ["own", "unset", "relative", "open", "missing"])
def test_runtime_folder(session: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "session"
    if session != "missing":
        folder.mkdir(mode=0o700)
    if session == "open":
        folder.chmod(0o755)
    named = {"unset": None, "relative": "session"}.get(session, str(folder))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    for variable in (
        "XDG_DATA_HOME",
        "XDG_CONFIG_HOME",
        "XDG_STATE_HOME",
        "XDG_RUNTIME_DIR",
        "LOCALSRV_HOME",
    ):
        monkeypatch.delenv(variable, raising=False)
    if named is not None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", named)
    paths = Paths.from_environment()
    expected = folder / "localsrv" if session == "own" else paths.data / "runtime"
    assert paths.runtime == expected
    assert mode(expected) == 0o700
    assert paths.data == tmp_path / "user/.local/share/localsrv"
    assert paths.lock_file.parent == paths.data


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught:
        Paths.from_environment({"LOCALSRV_HOME": str(tmp_path / "file")})
    assert caught.value.code == "storage-read-only"
    assert caught.value.hint


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only on a system where this is root"
)
def test_a_folder_of_another_user(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, -1)
    with pytest.raises(StorageError) as caught:
        make_owner_folder(tmp_path)
    assert caught.value.code == "storage-foreign-folder"


def test_atomic_write(tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    write_atomic(file, b"one")
    assert (file.read_bytes(), mode(file)) == (b"one", 0o600)
    write_atomic(file, b"two")
    assert file.read_bytes() == b"two"
    with pytest.raises(FileExistsError):
        write_atomic(file, b"three", replace=False)
    assert file.read_bytes() == b"two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["server.json"]
