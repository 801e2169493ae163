"""`_node/_local/_config`: what is true here, in the words of CouchDB's settings.

Clients such as Obsidian LiveSync look whether a server is set up for them, and set it up. So what can be said
of this server is told, a PUT of what is so already is accepted, and another is refused with what to do
instead: settings are localsrv's own (docs/settings.md).
"""

from __future__ import annotations

from aiohttp import web

from localsrv.web.context import call, param, services
from localsrv.web.couch.answers import json_answer, text_of
from localsrv.web.couch.bodies import read_json
from localsrv.web.couch.errors import CouchError
from localsrv.web.couch.server import MOST_DATABASES, MOST_IDS, NODE
from localsrv.web.guard import METHODS
from localsrv.web.routes import Face, Route

Sections = dict[str, dict[str, str]]


def sections(request: web.Request) -> Sections:
    """What CouchDB's settings would be, were this one."""
    own = services(request)
    origins = {*own.allowed_origins, *own.grants.origins()}
    port = call(request).site.origin.rpartition(":")[2]
    upload, body = str(own.max_upload), str(own.max_body)
    return {
        "chttpd": {
            "bind_address": "127.0.0.1",
            "port": port if port.isdecimal() else "80",
            "enable_cors": "true",
            "require_valid_user": "true",
            "max_http_request_size": upload,
            "max_db_number_for_dbs_info_req": str(MOST_DATABASES),
        },
        "chttpd_auth": {"require_valid_user": "true"},
        "cluster": {"n": "1", "q": "1"},
        "cors": {
            "credentials": "true",
            "methods": METHODS,
            "origins": ",".join(sorted(origins)),
        },
        "couchdb": {"max_document_size": body, "single_node": "true"},
        "httpd": {"WWW-Authenticate": 'Basic realm="localsrv"', "enable_cors": "true"},
        "uuids": {"max_count": str(MOST_IDS)},
    }


async def get_all(request: web.Request) -> web.Response:
    _check_node(request)
    return json_answer(sections(request))


async def get_section(request: web.Request) -> web.Response:
    _check_node(request)
    return json_answer(sections(request).get(param(request, "section"), {}))


async def get_value(request: web.Request) -> web.Response:
    _check_node(request)
    return json_answer(text_of(_value(request)))


async def put_value(request: web.Request) -> web.Response:
    """Raises CouchError for a value that is not so (403), or that is no text."""
    _check_node(request)
    wanted = await read_json(request)
    if not isinstance(wanted, str):
        raise CouchError(400, "bad_request", "The value must be a JSON text.")
    section, key = param(request, "section"), param(request, "key")
    there = sections(request).get(section, {}).get(key)
    if there is None or not _is_same(section, key, wanted, there):
        raise CouchError(403, "forbidden", _reason(section, key, there))
    return json_answer(text_of(there))


def _value(request: web.Request) -> str:
    found = sections(request).get(param(request, "section"), {}).get(param(request, "key"))
    if found is None:
        raise CouchError(404, "not_found", "unknown_config_value")
    return found


def _check_node(request: web.Request) -> None:
    if param(request, "node") not in ("_local", NODE):
        raise CouchError(404, "not_found", "no such node")


def _is_same(section: str, key: str, wanted: str, there: str) -> bool:
    """Whether what is wanted is so: a limit may be smaller, origins fewer, a realm named otherwise."""
    if key in ("max_http_request_size", "max_document_size"):
        return wanted.isascii() and wanted.isdecimal() and int(wanted) <= int(there)
    if (section, key) == ("cors", "origins"):
        return _listed(wanted) <= _listed(there)
    if (section, key) == ("cors", "methods"):
        return _listed(wanted.upper()) <= _listed(there)
    if key == "WWW-Authenticate":
        return wanted.lower().startswith("basic realm=")
    return wanted == there


def _listed(value: str) -> set[str]:
    return {part.strip() for part in value.split(",") if part.strip()}


_INSTEAD = {
    ("cors", "origins"): "list them in `allowed_origins`, or make a key with `localsrv key create --origin`",
    ("chttpd", "max_http_request_size"): "raise `max_upload_mb`",
    ("couchdb", "max_document_size"): "raise `max_body_mb`",
    ("chttpd", "port"): "set `couchdb_port`",
}


def _reason(section: str, key: str, there: str | None) -> str:
    instead = _INSTEAD.get((section, key), "localsrv's own settings are in its config.toml")
    is_so = "it is not known here" if there is None else f"it is {text_of(there)} here"
    return f"`{section}/{key}` cannot be changed this way: {is_so}; {instead}."


_PATH = "/couch/_node/{node}/_config"

ROUTES = (
    Route("GET", _PATH, get_all, "sync", "What is true here, in CouchDB's settings", face=Face.COUCH),
    Route("GET", _PATH + "/{section}", get_section, "sync", "One section of them", face=Face.COUCH),
    Route("GET", _PATH + "/{section}/{key}", get_value, "sync", "One of them", face=Face.COUCH),
    Route(
        "PUT",
        _PATH + "/{section}/{key}",
        put_value,
        "sync",
        "Accepts what is so already, and refuses the rest with what to do instead",
        face=Face.COUCH,
    ),
)
