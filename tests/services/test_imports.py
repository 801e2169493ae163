"""The disk under uploads, and what becomes of file names."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from localsrv.base.errors import StorageError
from localsrv.services.imports import Imports, safe_name

NAMES = {
    "shop.db": "shop.db",
    "../../etc/passwd": "passwd",
    "C:\\data\\x.csv": "x.csv",
    "a\0b\nc.csv": "a_b_c.csv",
    "...": "upload",
    "": "upload",
    "x" * 300 + ".csv": "x" * 80 + ".csv",
    "żółw.json": "żółw.json",
}


@pytest.mark.parametrize(("name", "safe"), NAMES.items())
def test_names(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only on Linux as root: it mounts a small file system")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def chunks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 65536


async def test_a_full_disk(small_disk: Path) -> None:
    imports = Imports(small_disk / "uploads", {})
    with pytest.raises(StorageError) as caught:
        await imports.receive(chunks(40), "x.csv", 1 << 30)
    assert caught.value.code == "storage-full"
    assert list((small_disk / "uploads").iterdir()) == []
    assert (await imports.receive(chunks(4), "x.csv", 1 << 30)).bytes == 4 * 65536
    await imports.close()
    assert list(small_disk.iterdir()) == []
