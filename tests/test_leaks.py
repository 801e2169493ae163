"""The check that runs after every test finds what it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from localsrv.services.grants import new_token
from tests.support.leaks import leaks, secret


@pytest.mark.parametrize(
    "name", ["app.db", "system.db-wal", "logs/localsrv.log", "localsrv.log.1", "start.txt"]
)
def test_a_token_or_a_secret_is_found(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("leaky")
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    for hidden in (new_token(), secret()):
        file.write_bytes(b"\0\0before " + hidden.encode() + b" after\xff")
        assert list(leaks(folder)) == [f"{name}: {hidden[:12]}…"]


def test_what_is_no_secret_is_not(tmp_path: Path) -> None:
    (tmp_path / "app.db").write_bytes(b"lsk_short " + new_token("lsp_").encode())
    (tmp_path / "server.json").write_text(new_token())
    (tmp_path / "empty.db").touch()
    assert list(leaks(tmp_path)) == []
