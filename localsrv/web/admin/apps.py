"""/api/v1/apps: adding, updating, showing and removing apps."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from localsrv.base.errors import BadRequest, InvalidValue
from localsrv.web.admin.answers import json_answer
from localsrv.web.admin.info import APP, CHANGES, TEXT, TEXT_OR_NULL, app_info, array, obj
from localsrv.web.body import read_object
from localsrv.web.context import param, services
from localsrv.web.routes import ADMIN, Route


async def list_apps(request: web.Request) -> web.Response:
    own = services(request)
    return json_answer({"apps": [await app_info(own, app) for app in own.apps.ids]})


async def add_app(request: web.Request) -> web.Response:
    own = services(request)
    body = await read_object(request, path=str, id=str, title=(str, type(None)))
    if "path" in body:
        if len(body) > 1:
            raise BadRequest("Send either `path`, or `id` and `title`.", details="path")
        folder = Path(body["path"])
        if not folder.is_absolute() or "\0" in body["path"]:
            raise InvalidValue("`path` must be an absolute path of a folder.", details="path")
        change = await own.apps.add(folder)
    elif "id" in body:
        change = await own.apps.create(body["id"], body.get("title"))
    else:
        raise BadRequest("Send `path`, the app's folder, or `id` for an empty app.")
    await own.ports.ensure(change.id)
    info = await app_info(own, change.id)
    return json_answer({**info, "changes": change.texts}, status=201 if change.created else 200)


async def show_app(request: web.Request) -> web.Response:
    return json_answer(await app_info(services(request), param(request, "app")))


async def remove_app(request: web.Request) -> web.Response:
    app, data = param(request, "app"), request.query.get("data", "keep")
    if data not in ("keep", "delete"):
        raise InvalidValue("`data` must be `keep` or `delete`.", details="data")
    own = services(request)
    await own.apps.remove(app, delete_data=data == "delete")
    await own.ports.forget(app)
    return json_answer({"removed": app, "data": "deleted" if data == "delete" else "kept"})


async def give_port(request: web.Request) -> web.Response:
    own, app = services(request), param(request, "app")
    body = await read_object(request, port=(int, type(None)))
    await own.ports.give(app, body.get("port"))
    return json_answer(await app_info(own, app))


async def take_port(request: web.Request) -> web.Response:
    own, app = services(request), param(request, "app")
    await own.ports.decline(app)
    return json_answer(await app_info(own, app))


ROUTES = (
    Route("GET", "/api/v1/apps", list_apps, ADMIN, "All apps", response=obj("*", apps=array(APP))),
    Route(
        "POST",
        "/api/v1/apps",
        add_app,
        ADMIN,
        "Adds or updates an app from a folder with app.toml, or creates an empty one",
        request=obj(path=TEXT, id=TEXT, title=TEXT_OR_NULL),
        response={"allOf": [APP, obj("*", changes=CHANGES)]},
        statuses=(200, 201),
    ),
    Route("GET", "/api/v1/apps/{app}", show_app, ADMIN, "One app", response=APP),
    Route(
        "DELETE",
        "/api/v1/apps/{app}",
        remove_app,
        ADMIN,
        "Removes an app; its data stays unless told otherwise",
        query={"data": "`keep` (the default) or `delete`"},
        response=obj("*", removed=TEXT, data=TEXT),
    ),
    Route(
        "PUT",
        "/api/v1/apps/{app}/port",
        give_port,
        ADMIN,
        "Gives an app a port of its own: this one, the one it had, or a free one",
        request=obj(port={"type": ["integer", "null"]}),
        response=APP,
    ),
    Route(
        "DELETE",
        "/api/v1/apps/{app}/port",
        take_port,
        ADMIN,
        "Takes an app's own port away; it gets none by itself again",
        response=APP,
    ),
)
