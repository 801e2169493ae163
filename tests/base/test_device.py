"""The device id: made once, never silently replaced."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from localsrv.base.device import device_id
from localsrv.base.errors import ConfigError


def test_one_id_however_many_start_together(tmp_path: Path) -> None:
    file = tmp_path / "device-id"
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(device_id, [file] * 32))
    assert len(ids) == 1
    assert uuid.UUID(ids.pop()).version == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["device-id"]


@pytest.mark.parametrize("content", [b"", b"not an id", b"\xff\xfe"])
def test_a_damaged_file_is_not_replaced(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "device-id"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="device id"):
        device_id(file)
    assert file.read_bytes() == content
