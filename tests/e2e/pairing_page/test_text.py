"""What docs/pairing.md says in tables is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from localsrv.model.redirect_uris import parse_redirect
from localsrv.model.scope_words import in_words
from localsrv.services import pairing, pairing_limits, tokens, waiting
from localsrv.services.asking import INTERVAL_S
from localsrv.web.oauth import errors, metadata
from tests.e2e.pairing_page.conftest import TEXT

PACKAGE = Path(errors.__file__).parents[2]


def section(heading: str) -> str:
    return TEXT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def rows(heading: str, table: int = 0) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    tables = re.findall(r"(?:^\|.*\n)+", section(heading), re.MULTILINE)
    return [
        [cell.strip() for cell in row.strip("|\n ").split(" | ")] for row in tables[table].splitlines()[2:]
    ]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_error_is_there() -> None:
    """All that are raised for clients, and those that other errors are turned into."""
    raised = set(errors._WORDS.values()) - {"invalid_client"} | {"server_error", "invalid_request"}
    for path in (*PACKAGE.glob("services/*.py"), *PACKAGE.glob("web/oauth/*.py")):
        raised |= set(re.findall(r"OAuthError\(\s*\"(\w+)\"", path.read_text("utf-8")))
    assert len(raised) > 10
    assert {name for cells in rows("When it does not work") for name in quoted(cells[0])} == raised


def test_codes_of_the_data_are_the_codes() -> None:
    source = "".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    for cells in rows("When it does not work", 1):
        (code, *_) = quoted(cells[0])
        assert f'"{code}"' in source, code


def test_scopes_and_their_words() -> None:
    told = {scope: cells[1] for cells in rows("Scopes") for scope in quoted(cells[0])}
    for scope in ("people:read", "people:write", "people:read people:write", "sync", "admin", "cache:use"):
        assert told[scope] == in_words(scope.split())[0]
    for first, second in (
        ("files:photos:read", "files:*:write"),
        ("functions:total", "functions:*"),
        ("integrations:weather:use", "integrations:*:use"),
    ):
        (one,), (other,) = in_words([first]), in_words([second])
        assert told[first] == told[second]
        said, _, more = told[first].partition("; ")
        assert said == one and other.endswith(more.removeprefix("through ")), first
    kinds = {scope.partition(":")[0] for scope in told}
    assert {scope.partition(":")[0] for scope in metadata.SCOPES} <= kinds


@pytest.mark.parametrize("cells", rows("Addresses and metadata"), ids=lambda cells: quoted(cells[0])[0])
def test_addresses_that_answers_go_to(cells: list[str]) -> None:
    where = {
        "a program or page": "loopback",
        "a page": "web",
        "an extension": "extension",
        "an app": "scheme",
    }
    for text in quoted(cells[0]):
        uri = text.replace("<any port>", "4000").replace("…", "")
        uri = uri.replace("<id>", "bppihjegbjddpjlkadnmhmgkdfogjblc")
        uri = uri + "4000/" if uri.endswith("http://[::1]:") or uri == "http://localhost:" else uri
        uri = uri + "//localhost/" if uri in ("app:", "capacitor:", "ionic:", "tauri:") else uri
        expected = next(kind for begin, kind in where.items() if cells[1].startswith(begin))
        assert parse_redirect(uri).where == expected, text


def test_what_is_said_of_times_and_numbers() -> None:
    assert (waiting.LIFETIME_S, pairing.CODE_S, pairing.SLOWER_S, INTERVAL_S) == (600, 60, 5, 2)
    assert (tokens.ACCESS_SECONDS, tokens.REFRESH_SECONDS, tokens.PAGE_SECONDS) == (3600, 7776000, 7776000)
    assert (pairing_limits.MOST_OF_ONE, pairing_limits.REFUSALS, pairing_limits.MUTED_S) == (3, 2, 3600)
    for said in ("10 minutes", "1 minute", "1 hour", "90 days", "At most three requests", "5 seconds longer"):
        assert said in TEXT
