"""The lock of a data folder, and finding the server that holds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from localsrv.base import lock, server_file
from localsrv.base.lock import AlreadyRunning, InstanceLock
from localsrv.base.paths import Paths
from localsrv.base.server_file import RunningServer
from tests.support.commands import ROOT


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths.below(tmp_path)
    made.create()
    return made


def test_one_holder_at_a_time(paths: Paths) -> None:
    assert lock.holder(paths.lock_file) is None
    held = InstanceLock.acquire(paths.lock_file, paths.runtime)
    found = lock.holder(paths.lock_file)
    assert found == lock.Holder(os.getpid(), paths.runtime)
    with pytest.raises(AlreadyRunning) as caught:
        InstanceLock.acquire(paths.lock_file, paths.runtime)
    assert caught.value.holder == found
    held.release()
    assert lock.holder(paths.lock_file) is None
    InstanceLock.acquire(paths.lock_file, paths.runtime).release()


def test_asking_never_hinders_a_start(paths: Paths) -> None:
    for _ in range(200):
        held = InstanceLock.acquire(paths.lock_file, paths.runtime)
        held.release()
        assert lock.holder(paths.lock_file) is None


def test_a_killed_holder_lets_go(paths: Paths) -> None:
    script = (
        "import sys; from pathlib import Path; from localsrv.base.lock import InstanceLock; "
        "held = InstanceLock.acquire(Path(sys.argv[1]), Path(sys.argv[2])); "
        "print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(paths.lock_file), str(paths.runtime)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"held"
        found = lock.holder(paths.lock_file)
        assert found is not None
        assert found.pid == process.pid
        process.kill()
        process.wait(10)
    assert lock.holder(paths.lock_file) is None
    InstanceLock.acquire(paths.lock_file, paths.runtime).release()


def running(pid: int) -> RunningServer:
    return RunningServer("http://localhost:4680", 4680, pid, "0", "lsk_x")


@pytest.mark.parametrize(
    ("holds", "written", "is_found"),
    [
        (True, "own", True),
        (False, "own", False),
        (True, "another's", False),
        (True, "nothing", False),
        (True, "rubbish", False),
    ],
)
def test_server_json_counts_for_the_holder_alone(
    paths: Paths, holds: bool, written: str, is_found: bool
) -> None:
    if written in ("own", "another's"):
        running(os.getpid() + (written != "own")).write(paths.server_file)
    elif written == "rubbish":
        paths.server_file.write_text('{"url": "http://localhost:1"')
    held = InstanceLock.acquire(paths.lock_file, paths.runtime) if holds else None
    assert server_file.find(paths) == (running(os.getpid()) if is_found else None)
    if held is not None:
        held.release()


def test_a_session_with_another_runtime_folder_finds_it(paths: Paths, tmp_path: Path) -> None:
    elsewhere = Paths(paths.data, paths.config, paths.logs, tmp_path / "other-runtime")
    held = InstanceLock.acquire(paths.lock_file, paths.runtime)
    running(os.getpid()).write(paths.server_file)
    assert server_file.find(elsewhere) == running(os.getpid())
    held.release()


def test_only_its_own_file_is_removed(paths: Paths) -> None:
    running(1).write(paths.server_file)
    running(2).remove(paths.server_file)
    assert json.loads(paths.server_file.read_text())["pid"] == 1
    running(1).remove(paths.server_file)
    assert not paths.server_file.exists()
    running(1).remove(paths.server_file)


def test_the_token_is_not_in_its_repr() -> None:
    assert "lsk_" not in repr(running(1))
