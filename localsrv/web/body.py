"""Reading the admin face's JSON bodies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from localsrv.base.errors import BadRequest, InvalidValue, UnsupportedMediaType
from localsrv.model.json_text import parse_json
from localsrv.web.incoming import read_body


async def read_json(request: web.Request) -> Any:
    """The body as JSON.

    Raises:
        UnsupportedMediaType: the content type is not JSON, so that no foreign form can pass for it.
        BadRequest, InvalidValue: as `model.json_text.parse_json`.
    """
    media_type = request.content_type
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaType(
            "This takes JSON.", details=media_type, hint="Send Content-Type: application/json."
        )
    return parse_json(await read_body(request))


async def read_object(request: web.Request, **known: type | tuple[type, ...]) -> Mapping[str, Any]:
    """The body as a JSON object whose members have these names and types; none is required here.

    Raises:
        BadRequest: not an object, a member that is not known, or of another type.
    """
    value = await read_json(request)
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object.")
    for name, member in value.items():
        if name not in known:
            raise BadRequest(
                f"`{name}` is not understood.", details=name, hint=f"Known are: {', '.join(known)}."
            )
        wanted = known[name]
        names = wanted if isinstance(wanted, tuple) else (wanted,)
        if not isinstance(member, wanted) or (isinstance(member, bool) and bool not in names):
            kinds = " or ".join(_KINDS[k] for k in names)
            raise InvalidValue(f"`{name}` must be {kinds}.", details=name)
    return value


_KINDS = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false",
    list: "a list", dict: "an object", type(None): "null",
}  # fmt: skip
