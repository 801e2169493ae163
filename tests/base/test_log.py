"""The log: one JSON line per record, rotated, owner only, without anything secret."""

from __future__ import annotations

import json
import logging
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localsrv.base import log
from localsrv.base.errors import InvalidValue

TOKEN = "lsk_" + "a1B-_" * 8 + "xyz"
REFRESH, ACCESS = TOKEN.replace("lsk_", "lsr_"), TOKEN.replace("lsk_", "lsa_")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "server.jsonl"
    handler = log.start(path, level="debug", max_bytes=2000, files=2)
    yield path
    log.stop(handler)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("plain words, 3 of 4", "plain words, 3 of 4"),
        (f"token {TOKEN} used", "token lsk_*** used"),
        (f"renewed by {REFRESH}", "renewed by lsr_***"),
        (f"{ACCESS} was spent", "lsa_*** was spent"),
        (f"Authorization: Bearer {TOKEN}", "***"),
        ("Authorization: Basic YWxhZGRpbjpvcGVu", "***"),
        ('{"password": "hunter2"}', '{"password": "***"}'),
        ("GET /rest/v1/items?name=eq.secret HTTP", "GET /rest/v1/items?*** HTTP"),
        ("open http://localhost:4680/#code=abc", "open http://localhost:4680/?***"),
        ("http://inventory.localhost:4680/#code=abc&x=1", "http://inventory.localhost:4680/?***"),
        ("what? nothing", "what? nothing"),
    ],
)
def test_redaction(file: Path, message: str, expected: str) -> None:
    logging.getLogger("localsrv.test").info("%s", message, extra={"fields": {"note": message, "n": 3}})
    (line,) = lines(file)
    for secret in (TOKEN[4:], "YWxhZGRpbjpvcGVu", "hunter2", "eq.secret", "code=abc"):
        assert secret not in file.read_text()
    assert expected in line["message"]
    assert expected in line["note"]
    assert line["n"] == 3
    assert (line["level"], line["logger"]) == ("info", "localsrv.test")


def test_exceptions_leave_their_texts_out(file: Path) -> None:
    try:
        try:
            int("body of a request")
        except ValueError as error:
            raise InvalidValue("the value `body of a request` does not fit") from error
    except InvalidValue:
        logging.getLogger("localsrv.test").exception("the request failed")
    (line,) = lines(file)
    assert "body of" not in file.read_text()
    assert (line["error"]["type"], line["error"]["code"]) == ("InvalidValue", "invalid-value")
    assert line["error"]["cause"]["type"] == "ValueError"
    assert line["error"]["at"][0].startswith("test_log.py:")


def test_rotation_keeps_owner_files(file: Path) -> None:
    for number in range(100):
        logging.getLogger("localsrv.test").info("line %d of many", number)
    files = sorted(path.name for path in file.parent.iterdir())
    assert files == ["server.jsonl", "server.jsonl.1", "server.jsonl.2"]
    assert all(path.stat().st_size <= 2000 for path in file.parent.iterdir())
    assert lines(file)[-1]["message"] == "line 99 of many"
    if sys.platform != "win32":
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in file.parent.iterdir())
