"""/api/v1/vault: where secrets lie, unlocking that, and moving everything to the other one."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from localsrv.base.errors import BadRequest, InvalidValue
from localsrv.services.moving import Moving
from localsrv.services.replication.replicator import Replicator
from localsrv.services.vaults import Vaults
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import FLAG, NUMBER, TEXT, TEXT_OR_NULL, array, obj
from localsrv.web.body import read_object
from localsrv.web.context import grant, services
from localsrv.web.routes import ADMIN, Route


async def show(request: web.Request) -> web.Response:
    return json_answer(_info(_vaults(request)))


async def unlock(request: web.Request) -> web.Response:
    body = await read_object(request, passphrase=str, create=bool)
    (passphrase,) = _needed(body, "passphrase")
    create = body.get("create", False)
    await _vaults(request).unlock(passphrase, create=create, grant=grant(request))
    return json_answer(_info(_vaults(request)), status=201 if create else 200)


async def lock(request: web.Request) -> web.Response:
    await _vaults(request).lock()
    return json_answer(_info(_vaults(request)))


async def change_passphrase(request: web.Request) -> web.Response:
    old, new = _needed(await read_object(request, old=str, new=str), "old", "new")
    await _vaults(request).change_passphrase(old, new, grant=grant(request))
    return json_answer(_info(_vaults(request)))


async def move(request: web.Request) -> web.Response:
    (to,) = _needed(await read_object(request, to=str), "to")
    vaults, extra = _vaults(request), services(request).extra
    kind = next((kind for kind in vaults.all if kind == to), None)
    if kind is None:
        raise InvalidValue(
            "There is no such vault.", details="to", hint=f"`to` is {' or '.join(vaults.all)}."
        )
    moving: Moving = extra[Moving]
    replicator: Replicator = extra[Replicator]
    done = await moving.move(kind, await replicator.entries(), grant=grant(request))
    told = {"moved": done.moved, "lost": list(done.lost), "left": done.left}
    return json_answer({**_info(vaults), **told})


def _vaults(request: web.Request) -> Vaults:
    found: Vaults = services(request).extra[Vaults]
    return found


def _needed(body: Any, *names: str) -> list[str]:
    for name in names:
        if name not in body:
            raise BadRequest(f"`{name}` is missing.", details=name)
    return [body[name] for name in names]


def _info(vaults: Vaults) -> dict[str, Any]:
    return {
        "kind": vaults.kind,
        "state": vaults.status.state,
        "message": vaults.words,
        "vaults": [
            {
                "kind": kind,
                "backend": vault.status.backend,
                "state": vault.status.state,
                "message": vault.status.words,
                "entries": len(vaults.entries.of(kind)),
            }
            for kind, vault in vaults.all.items()
        ],
    }


_ONE = {"kind": TEXT, "state": TEXT, "message": TEXT}
_EACH = array(obj("*", **_ONE, backend=TEXT_OR_NULL, entries=NUMBER))
_INFO = obj("*", **_ONE, vaults=_EACH)
_MOVED = obj("*", **_ONE, vaults=_EACH, moved=NUMBER, lost=array(TEXT), left=NUMBER)

ROUTES = (
    Route(
        "GET", "/api/v1/vault", show, ADMIN, "Which vault keeps the secrets, and how it is", response=_INFO
    ),
    Route(
        "POST",
        "/api/v1/vault/unlock",
        unlock,
        ADMIN,
        "Unlocks the sealed file, or makes it; ever more slowly after wrong passphrases",
        request=obj("passphrase", passphrase=TEXT, create=FLAG),
        response=_INFO,
        statuses=(200, 201),
    ),
    Route("POST", "/api/v1/vault/lock", lock, ADMIN, "Locks the sealed file", response=_INFO),
    Route(
        "POST",
        "/api/v1/vault/passphrase",
        change_passphrase,
        ADMIN,
        "Changes the passphrase of the sealed file",
        request=obj("*", old=TEXT, new=TEXT),
        response=_INFO,
    ),
    Route(
        "POST",
        "/api/v1/vault/move",
        move,
        ADMIN,
        "Moves every secret to the vault `to`, which is the one in use from then on",
        request=obj("*", to=TEXT),
        response=_MOVED,
    ),
)
