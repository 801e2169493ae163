"""The list of defences that `make mutations` takes away is true: code and tests are there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutations.defence import Defence
from tests.mutations.table import DEFENCES

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("defence", DEFENCES, ids=lambda d: d.attack)
def test_a_defence_can_be_taken_away(defence: Defence) -> None:
    """And what is left is a program still, so that a test fails for the right reason."""
    ast.parse(defence.taken_away(ROOT))
    for test in defence.tests:
        path, _, name = test.partition("::")
        text = (ROOT / path).read_text(encoding="utf-8")
        assert not name or f"def {name.partition('[')[0]}(" in text, test
