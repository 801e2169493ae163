"""The parameters of OAuth requests: forms and queries in which nothing comes twice."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from aiohttp import hdrs, web

from localsrv.base.errors import InvalidValue
from localsrv.model.scopes import is_scope, parse_app
from localsrv.services.asking import OAuthError
from localsrv.web.incoming import read_body

FORM = "application/x-www-form-urlencoded"
LONGEST_FORM = 32 << 10
LONGEST_NAME = 200
MOST_FIELDS = 50
MOST_SCOPES = 50


async def read_form(request: web.Request) -> dict[str, str]:
    """The parameters of a form, without the empty ones (RFC 6749, 3.2).

    Raises:
        OAuthError: (`invalid_request`) it is no form, not UTF-8, too long, or names something twice.
    """
    if request.content_type != FORM or hdrs.CONTENT_TYPE not in request.headers:
        raise OAuthError("invalid_request", f"This takes a form: send Content-Type: {FORM}.", status=415)
    if (request.content_length or 0) > LONGEST_FORM:
        raise OAuthError("invalid_request", "The form is too long.", status=413)
    return once(await read_body(request))


def once(data: bytes | str) -> dict[str, str]:
    """The parameters of a form's or a query's text. Raises OAuthError as `read_form`."""
    if len(data) > LONGEST_FORM:
        raise OAuthError("invalid_request", "The form is too long.", status=413)
    try:
        text = data if isinstance(data, str) else data.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise OAuthError("invalid_request", "The parameters are not UTF-8, or too many.") from None
    if twice := doubled(pairs):
        raise OAuthError("invalid_request", f"`{twice[0]}` comes twice.")
    return {name: value for name, value in pairs if value}


def doubled(pairs: list[tuple[str, str]]) -> list[str]:
    """The names that come more than once."""
    names = [name for name, _ in pairs]
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]


def needed(form: Mapping[str, str], name: str) -> str:
    """Raises OAuthError when it is missing."""
    try:
        return form[name]
    except KeyError:
        raise OAuthError("invalid_request", f"`{name}` is missing.") from None


def client_id(form: Mapping[str, str], origin: str | None) -> str:
    """What the client calls itself. Nobody registers clients here, so it is only shown; a page cannot call
    itself by another page's address.

    Raises:
        OAuthError: missing, too long, not printable, or another page's address.
    """
    name = needed(form, "client_id").strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise OAuthError(
            "invalid_request", f"`client_id` must be a name of 1 to {LONGEST_NAME} printable characters."
        )
    if origin is not None and name.lower().startswith(("http://", "https://")):
        try:
            parts = urlsplit(name.lower())
        except ValueError:
            parts = urlsplit("")
        if f"{parts.scheme}://{parts.netloc}" != origin:
            raise OAuthError("invalid_request", "`client_id` is the address of another page than this one.")
    return name


def scopes(form: Mapping[str, str]) -> frozenset[str] | None:
    """What `scope` names; None when it is left out. Raises OAuthError."""
    if "scope" not in form:
        return None
    names = form["scope"].split(" ")
    for name in names:
        if not is_scope(name):
            shown = name if name.isprintable() else "?"
            raise OAuthError("invalid_scope", f"`{shown[:100]}` is no scope. See docs/security.md.")
    if len(names) > MOST_SCOPES:
        raise OAuthError("invalid_scope", f"At most {MOST_SCOPES} scopes at once.")
    return frozenset(names)


def app(form: Mapping[str, str]) -> str | None:
    """The app that is asked for. Whether there is one of that id is for the person alone to know."""
    if "app" not in form:
        return None
    try:
        return parse_app(form["app"])
    except InvalidValue as error:
        raise OAuthError("invalid_request", error.message) from None
