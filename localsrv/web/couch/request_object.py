"""A request as filter functions are told of it (`req`).

Source: CouchDB's docs, json-structure «Request object». Credentials are left out: a function, which a peer
may have supplied, has no business with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs, web

from localsrv.web.context import database, param
from localsrv.web.couch.maintenance import ADMINS_ONLY
from localsrv.web.users import user_of

_KEPT_BACK = frozenset({hdrs.AUTHORIZATION.lower(), hdrs.COOKIE.lower(), "apikey", "proxy-authorization"})


def request_object(request: web.Request, body: Mapping[str, Any] | None) -> dict[str, Any]:
    """The request without its credentials. `body` is the parsed one."""
    db, name, user = database(request), param(request, "db"), user_of(request)
    path = ["_changes"]
    return {
        "method": request.method,
        "path": [name, *path],
        "requested_path": [name, *path],
        "raw_path": request.raw_path,
        "query": dict(request.query),
        "headers": {str(n): v for n, v in request.headers.items() if n.lower() not in _KEPT_BACK},
        "body": "undefined" if body is None else body,
        "peer": "127.0.0.1",
        "form": {},
        "cookie": {},
        "id": None,
        "info": {"db_name": name},
        "secObj": db.setting(name, "security", ADMINS_ONLY),
        "userCtx": {"db": name, "name": user.name, "roles": list(user.roles)},
    }
