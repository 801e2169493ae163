"""JSON answers of the admin face."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web


def json_answer(value: Any, status: int = 200) -> web.Response:
    """`value` as JSON. It may tell secrets or change any moment, so nobody keeps a copy."""
    return web.Response(
        status=status,
        body=orjson.dumps(value),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
