"""What is wrong with a Mango query or index definition, in CouchDB's words.

Source: CouchDB's `mango_error.erl`. Where CouchDB prints a value as an Erlang term, it is printed as JSON.
"""

from __future__ import annotations

from typing import Any

import orjson

from localsrv.base.errors import BadRequest


class MangoError(BadRequest):
    """`couch_error` is CouchDB's name of it, such as `invalid_operator`; `message` its reason."""

    def __init__(self, couch_error: str, reason: str, *, status: int = 400, hint: str | None = None) -> None:
        super().__init__(reason, code=couch_error.replace("_", "-"), hint=hint)
        self.couch_error = couch_error
        self.status = status  # type: ignore[misc] # most are 400, a few are not


def shown(value: Any) -> str:
    """A value of a message: JSON, cut where it is long."""
    text = orjson.dumps(value).decode()
    return text if len(text) <= 300 else text[:300] + "…"


def bad_argument(operator: str, argument: Any, hint: str | None = None) -> MangoError:
    return MangoError("bad_arg", f"Bad argument for operator {operator}: {shown(argument)}", hint=hint)
