"""How a definition is refused: the dotted place, what is wrong there, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from localsrv.base.errors import ConfigError


def bad(where: str, message: str, hint: str | None = None) -> ConfigError:
    """The error to raise; `where` is the dotted place inside the definition."""
    return ConfigError(f"{where}: {message}", details=where, hint=hint)


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint for an unknown name: the known one that looks like it, or all of them."""
    found = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean `{found[0]}`?" if found else f"Known are: {', '.join(known)}."
