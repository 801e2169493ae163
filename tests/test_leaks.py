"""The check that runs after every test finds what it is for."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from localsrv.services.grants import new_token
from tests.support.leaks import PASSPHRASE, know, known_of, leaks, secret


@pytest.mark.parametrize(
    "name",
    [
        "app.db", "system.db-wal", "home/logs/server.jsonl", "server.jsonl.1", "localsrv.log.1", "start.txt",
        "config.toml", "vault/secrets.sealed", "audit.ndjson",
    ],
)  # fmt: skip
def test_a_token_or_a_secret_is_found(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("leaky")
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    device = know(secrets.token_urlsafe(32))
    tokens = [new_token(prefix) for prefix in ("lsk_", "lsa_", "lsr_")]
    for hidden in (*tokens, secret(), device, PASSPHRASE):
        file.write_bytes(b"\0\0before " + hidden.encode() + b" after\xff")
        assert list(leaks(folder)) == [f"{name}: {hidden[:12]}…"]


ANSWERS = [
    (
        "/oauth/device_authorization",
        '{"device_code": "dddddddd", "user_code": "BCDF-GHJK"}',
        ["dddddddd", "BCDF-GHJK"],
    ),
    ("/oauth/token", '{"access_token": "aaaaaaaa", "token_type": "Bearer"}', ["aaaaaaaa"]),
    ("/api/v1/codes", '{"code": "cccccccc", "url": "http://localhost:1/#code=cccccccc"}', ["cccccccc"]),
    ("/api/v1/ticket", '{"redirect_to": "http://127.0.0.1/cb?code=eeeeeeee&state=st"}', ["eeeeeeee"]),
    ("/api/v1/apps/a/sign", '{"url": "/a?expires=1&signature=ffffffff"}', ["ffffffff"]),
    ("/api/v1/status", '{"token": "no secret"}', []),
]


@pytest.mark.parametrize(("path", "body", "hidden"), ANSWERS)
def test_what_a_server_gave_away_is_known(
    path: str, body: str, hidden: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    known_of(path, 200, body.encode())
    folder = tmp_path_factory.mktemp("leaky")
    (folder / "server.jsonl").write_text(body)
    assert {leak.partition(": ")[2] for leak in leaks(folder)} == {f"{text}…" for text in hidden}


def test_what_is_no_secret_is_not(tmp_path: Path) -> None:
    (tmp_path / "app.db").write_bytes(b"lsk_short " + new_token("lsp_").encode())
    (tmp_path / "server.json").write_text(new_token())
    (tmp_path / "empty.db").touch()
    assert list(leaks(tmp_path)) == []
