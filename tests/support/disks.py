"""Disks that are full or may not be written to: real mounts, which only root on Linux can make."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mounts an empty disk at `folder`, which is made; skips where that cannot be done."""
    _skip_unless_root()
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Makes `folder` read-only, even for root, whom permissions do not stop; skips where it cannot."""
    _skip_unless_root()
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Writes a file that takes what is left of a disk. Remove it to have space again."""
    file = folder / "filler"
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY)
    try:
        while os.write(descriptor, bytes(4096)):
            pass
    except OSError:
        pass
    finally:
        os.close(descriptor)
    return file


def _skip_unless_root() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only on Linux as root can a disk be mounted")
