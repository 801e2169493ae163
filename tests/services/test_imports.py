"""The disk under uploads, and what becomes of file names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
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


async def chunks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 65536


async def test_a_full_disk(disk: Callable[[int], Path]) -> None:
    small_disk = disk(1)
    imports = Imports(small_disk / "uploads", {})
    with pytest.raises(StorageError) as caught:
        await imports.receive(chunks(40), "x.csv", 1 << 30)
    assert caught.value.code == "storage-full"
    assert list((small_disk / "uploads").iterdir()) == []
    assert (await imports.receive(chunks(4), "x.csv", 1 << 30)).bytes == 4 * 65536
    await imports.close()
    assert list(small_disk.iterdir()) == []
