"""Regular expressions, by RE2: its time is linear in the text, so no pattern hangs whoever runs it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2

from localsrv.base.errors import InvalidValue

MAX_PATTERN = 10_000
"""Longest pattern in characters."""


@lru_cache(maxsize=256)
def compiled(pattern: str, ignore_case: bool = False) -> Any:
    """A regular expression of RE2.

    Raises:
        InvalidValue: `code="invalid-regex"`; RE2 knows no back references and no look-around.
    """
    options = re2.Options()
    options.case_sensitive = not ignore_case
    options.log_errors = False
    options.max_mem = 8 << 20
    if len(pattern) > MAX_PATTERN:
        raise InvalidValue(
            f"A pattern may have {MAX_PATTERN:,} characters.", code="invalid-regex", hint="Shorten it."
        )
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        text = error.args[0] if error.args else ""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        raise InvalidValue(
            f"invalid regular expression: {text}"[:300],
            code="invalid-regex",
            hint="Patterns follow RE2, which has no back references and no look-around.",
        ) from error
