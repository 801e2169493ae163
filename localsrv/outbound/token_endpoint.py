"""OAuth 2's token endpoint: access tokens for client credentials or a refresh token (RFC 6749, 4.4, 6)."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote_plus, urlencode

import orjson

from localsrv.model.integrations import CLIENT_CREDENTIALS, Auth, Limits
from localsrv.outbound.guarded import Outside
from localsrv.outbound.services import Outgoing, ServiceError, send

MOST_BYTES = 1 << 18
USUAL_LIFE_S = 300.0
"""How long a token is taken for good whose life is not told."""

_ERRORS = frozenset(
    {"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
     "invalid_scope"}
)  # fmt: skip


class SignInFailed(ServiceError):
    """The service's token endpoint refuses what the owner set. `details` has its error, if known."""

    code = "integration-sign-in-failed"
    is_passing = False


@dataclass(frozen=True, slots=True)
class Tokens:
    """`expires_at` in seconds since 1970; `refresh` None when the endpoint gave none. Never shown."""

    access: str
    expires_at: float
    refresh: str | None = None

    def __repr__(self) -> str:
        return "Tokens(…)"

    def as_text(self) -> str:
        return orjson.dumps([self.access, self.expires_at, self.refresh]).decode()

    @classmethod
    def from_text(cls, text: str) -> Tokens | None:
        try:
            access, expires_at, refresh = orjson.loads(text)
            return cls(access, float(expires_at), refresh)
        except (ValueError, TypeError):
            return None


async def request_tokens(
    outside: Outside, auth: Auth, secrets: Mapping[str, str], limits: Limits, *, is_named: bool
) -> Tokens:
    """New tokens. `secrets` has `client` (the client secret, may be missing) and `refresh`.

    Raises:
        SignInFailed: the endpoint refuses for good. ServiceError: it cannot be reached or makes no sense.
    """
    outgoing = _request(auth, secrets)
    answer = await send(outside, outgoing, limits, is_named=is_named)
    try:
        data = b""
        async for chunk in answer.chunks():
            data += chunk
            if len(data) > MOST_BYTES:
                raise ServiceError("The token endpoint answers without end.")
    finally:
        answer.close()
    try:
        told = orjson.loads(data)
    except orjson.JSONDecodeError:
        told = None
    told = told if isinstance(told, dict) else {}
    if answer.status >= 500 or answer.status == 429:
        raise ServiceError(f"The token endpoint cannot answer now ({answer.status}).")
    if answer.status != 200:
        raise _refused(answer.status, told.get("error"))
    return _tokens(told)


def _request(auth: Auth, secrets: Mapping[str, str]) -> Outgoing:
    given = auth.parameters
    form = {"grant_type": "client_credentials" if auth.kind == CLIENT_CREDENTIALS else "refresh_token"}
    if auth.kind != CLIENT_CREDENTIALS:
        form["refresh_token"] = secrets["refresh"]
    form |= {name: given[name] for name in ("scope", "audience") if name in given}
    headers = [
        ("Accept", "application/json"),
        ("Accept-Encoding", "identity"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ]
    client = secrets.get("client")
    if client is not None and given.get("client_auth", "basic") == "basic":
        pair = f"{quote_plus(given['client_id'])}:{quote_plus(client)}"  # RFC 6749, 2.3.1: as in a form
        headers.append(("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}"))
    else:
        form["client_id"] = given["client_id"]
        if client is not None:
            form["client_secret"] = client
    return Outgoing("POST", given["token_url"], tuple(headers), urlencode(form).encode())


def _tokens(told: Mapping[str, object]) -> Tokens:
    access, kind = told.get("access_token"), told.get("token_type", "bearer")
    if not isinstance(access, str) or not access.isascii() or not access.isprintable() or " " in access:
        raise ServiceError("The token endpoint answers without a token.", code="integration-sign-in-failed")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise SignInFailed("The token endpoint gives tokens of another kind than bearer.")
    life, refresh = told.get("expires_in"), told.get("refresh_token")
    if isinstance(life, str) and life.isascii() and life.isdecimal() and len(life) < 12:
        life = int(life)
    is_told = isinstance(life, int | float) and not isinstance(life, bool) and life >= 0
    seconds = min(float(life), 1e9) if is_told else USUAL_LIFE_S  # type: ignore[arg-type]
    return Tokens(access, time.time() + seconds, refresh if isinstance(refresh, str) and refresh else None)


def _refused(status: int, error: object) -> SignInFailed:
    known = error if isinstance(error, str) and error in _ERRORS else None
    return SignInFailed(
        f"The service refuses to give a token ({known or status}).",
        details=known,
        hint="The owner gives the secret again: localsrv integration set NAME.",
    )
