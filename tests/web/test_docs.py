"""docs/api.md, docs/security.md and docs/threat-model.md say what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from localsrv.services.audit import EVENTS
from localsrv.web.app import served
from localsrv.web.routes import Face

ROOT = Path(__file__).parents[2]


def test_every_route_is_in_the_documentation_with_its_scope() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `([A-Z]+ /\S*)` \| ([^|]*) \|", text, re.MULTILINE))
    names = {None: "none", "any": "any of the app"}
    all_routes = {f"{r.method} {path}": (r.face, names.get(r.scope, f"`{r.scope}`")) for path, r in served()}
    # docs/couchdb-compatibility.md has those of the sync face, api.md some of them.
    wanted = {
        name: scope for name, (face, scope) in all_routes.items() if face is not Face.COUCH or name in told
    }
    assert told == wanted


@pytest.mark.parametrize("page", ["security.md", "threat-model.md"])
def test_every_test_that_is_named_as_proof_exists(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    tests = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)", text):
        assert f"def {name}(" in tests, name
    for case in re.findall(r"\[([^\]`]+)\]`", text):
        assert f'"{case}"' in tests, case
    for path in re.findall(r"`(tests/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path


def test_every_audit_event_is_explained() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    for event, meaning in EVENTS.items():
        assert f"| `{event}` | {meaning} |" in text
