"""`/oauth/authorize`: a program or page sends the person's browser here to ask for access.

What is wrong with the client or with where the answer should go is told to the person and to nobody else;
what else is wrong goes back by the redirect (RFC 6749, 4.1.2.1). Only a navigation of a whole window counts:
no page can ask by an image or a frame.
"""

from __future__ import annotations

import html
import re
from dataclasses import replace
from urllib.parse import parse_qsl, quote, urlsplit

from aiohttp import hdrs, web
from multidict import istr

from localsrv.base.errors import InvalidValue, LocalsrvError
from localsrv.model.manifest import UiSettings
from localsrv.model.redirect_uris import Redirect, parse_redirect
from localsrv.services.asking import Asked, OAuthError
from localsrv.services.pairing import Pairing
from localsrv.web.context import call, services
from localsrv.web.guard import SEC_FETCH_SITE
from localsrv.web.hosting import page_headers
from localsrv.web.oauth import parameters
from localsrv.web.oauth.errors import told, word
from localsrv.web.routes import OPEN, Face, Route

UNTOLD = "a page that does not say which it is"

_DEST = istr("Sec-Fetch-Dest")
_MODE = istr("Sec-Fetch-Mode")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}\Z")
_STATE = re.compile(r"[ -~]{1,2000}\Z")


async def authorize(request: web.Request) -> web.StreamResponse:
    headers = request.headers
    if headers.get(_DEST, "document") != "document" or headers.get(_MODE, "navigate") != "navigate":
        return _page("This address is for a window of its own.", "It cannot be a part of another page.")
    query = request.raw_path.partition("?")[2]
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=50)
        redirect, name = _client(request, pairs)
    except ValueError:
        return _page("The address cannot be read.", "Its parameters are not UTF-8, or too many.")
    except LocalsrvError as error:
        return _page(error.message, error.hint or "Ask the program's maker for help.")
    state = next((v for n, v in pairs if n == "state" and v), None)
    issuer = call(request).site.origin
    try:
        asked = replace(_asked(query, redirect, name, issuer), sent_by=_sent_by(request, redirect))
        _, ticket = services(request).extra[Pairing].ask(asked)
    except LocalsrvError as error:
        is_sane = state is not None and _STATE.match(state) and sum(n == "state" for n, _ in pairs) == 1
        return _found(
            redirect.with_answer(
                error=word(error),
                error_description=told(error.message),
                state=state if is_sane else None,
                iss=issuer,
            )
        )
    return _found(f"/pair/#ticket={quote(ticket, safe='')}")


def _client(request: web.Request, pairs: list[tuple[str, str]]) -> tuple[Redirect, str]:
    """Where the answer goes, and what the client calls itself. Raises LocalsrvError, ValueError."""
    for name in ("client_id", "redirect_uri"):
        if name in parameters.doubled(pairs):
            raise OAuthError("invalid_request", f"`{name}` comes twice.")
    form = {name: value for name, value in pairs if value}
    redirect = parse_redirect(parameters.needed(form, "redirect_uri"))
    if redirect.origin in services(request).addresses.origins:
        raise InvalidValue(
            "The answer cannot go to this server's own pages.", code="bad-redirect", details="redirect_uri"
        )
    _check_referrer(request, redirect)
    return redirect, parameters.client_id(form, redirect.proven)


def _check_referrer(request: web.Request, redirect: Redirect) -> None:
    """A web page asks for itself alone, where the browser tells who sent the person here.

    Raises:
        OAuthError: another page did.
    """
    origin = _referrer(request)
    own = services(request).addresses.origins
    if redirect.where == "web" and origin is not None and origin not in (redirect.origin, *own):
        raise OAuthError(
            "invalid_request", "A page of another origin than `redirect_uri` sent your browser here."
        )


def _referrer(request: web.Request) -> str | None:
    """The origin of the page that the person came from, where the browser tells."""
    text = request.headers.get(hdrs.REFERER, "").lower()
    if not text:
        return None
    try:
        parts = urlsplit(text)
    except ValueError:
        return "://"
    return f"{parts.scheme}://{parts.netloc}"


def _sent_by(request: web.Request, redirect: Redirect) -> str | None:
    """The page that sent the browser here for somebody else; None when a program or the person did.

    So a page that asks in the name of programs is counted and muted as that page.
    """
    origin = _referrer(request)
    if origin is None and request.headers.get(SEC_FETCH_SITE, "none") in ("none", "same-origin"):
        return None
    if redirect.where == "web" or origin in (redirect.origin, *services(request).addresses.origins):
        return None
    return origin or UNTOLD


def _asked(query: str, redirect: Redirect, name: str, issuer: str) -> Asked:
    """Raises OAuthError for what the client is told by its redirect."""
    form = parameters.once(query)
    kind = parameters.needed(form, "response_type")
    if kind != "code":
        raise OAuthError("unsupported_response_type", "Only the response type `code` is known here.")
    if form.get("response_mode", "query") != "query":
        raise OAuthError("invalid_request", "Only the response mode `query` is known here.")
    challenge = parameters.needed(form, "code_challenge")
    if form.get("code_challenge_method") != "S256" or not _CHALLENGE.match(challenge):
        raise OAuthError("invalid_request", "`code_challenge` must be one of PKCE with the method S256.")
    state = form.get("state")
    if state is not None and not _STATE.match(state):
        raise OAuthError("invalid_request", "`state` must be printable ASCII.")
    wanted = parameters.scopes(form)
    if wanted is None:
        raise OAuthError("invalid_scope", "`scope` is missing: say what you need, such as items:read.")
    return Asked(
        name, wanted, parameters.app(form), redirect.proven,
        redirect=redirect, state=state, challenge=challenge, issuer=issuer,
    )  # fmt: skip


def _found(location: str) -> web.Response:
    return web.Response(status=303, headers={hdrs.LOCATION: location, hdrs.CACHE_CONTROL: "no-store"})


def _page(title: str, text: str) -> web.Response:
    """An error for the person's eyes. Nothing of the request stands in it as markup."""
    body = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>localsrv</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="stylesheet" href="/kit/tokens.css"><link rel="stylesheet" href="/kit/controls.css">'
        '<link rel="stylesheet" href="/shell.css">'
        f'<main class="gate"><h1>{html.escape(title)}</h1><p>{html.escape(text)}</p>'
        "<p>Something asked for access to your data and did it wrongly. Nothing was given.</p></main></html>"
    )
    headers = {**page_headers(UiSettings()), hdrs.CACHE_CONTROL: "no-store"}
    return web.Response(status=400, text=body, content_type="text/html", headers=headers)


ROUTES = (
    Route(
        "GET",
        "/oauth/authorize",
        authorize,
        OPEN,
        "Asks the owner for access by their browser (RFC 8252, RFC 7636)",
        query={
            "response_type": "`code`",
            "client_id": "what the program calls itself; shown, and never taken for proven",
            "redirect_uri": "where the answer goes: a loopback address at any port, the page's own origin, "
            "an extension's, or a scheme of the program's own",
            "scope": "scopes, separated by spaces",
            "app": "the app; left to the owner when left out",
            "state": "comes back with the answer",
            "code_challenge": "the challenge of PKCE",
            "code_challenge_method": "`S256`",
        },
        statuses=(303, 400),
        face=Face.OAUTH,
    ),
)
