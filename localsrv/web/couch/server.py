"""`/`: who answers here."""

from __future__ import annotations

from aiohttp import web

import localsrv
from localsrv.web.couch.answers import json_answer
from localsrv.web.routes import OPEN, Face, Route

COUCHDB_VERSION = "3.5.0"
"""The API that is spoken here. Clients choose what they ask for by it; `vendor` has our own version."""


async def welcome(request: web.Request) -> web.Response:
    return json_answer(
        {
            "couchdb": "Welcome",
            "version": COUCHDB_VERSION,
            "features": [],
            "vendor": {"name": "localsrv", "version": localsrv.__version__},
        }
    )


ROUTES = (Route("GET", "/couch", welcome, OPEN, "Who answers here", face=Face.COUCH),)
