"""Signed URLs: what an `<img>` or a download can use, since it cannot send a token.

The signature covers path, expiry and the id of the grant that asked for it. The grant is looked up again when
the URL is used: revoking it ends its URLs too.

The key lies in the vault, so that URLs outlive a restart. It is fetched when it is first needed, since an
idle server must not load a keyring; while the vault cannot be used, a key of this process alone signs.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Protocol
from urllib.parse import quote, urlencode

from localsrv.base.errors import Forbidden, LocalsrvError
from localsrv.model.scopes import Grant
from localsrv.vault import VaultStatus

LONGEST_SECONDS = 3600
ENTRY = "signing-key"
KEY_BYTES = 32
TRIED_AGAIN_S = 600.0
"""How long a vault that could not be used is left in peace, unless it is unlocked meanwhile."""


class KeyVault(Protocol):
    """The part of `services.vaults` that is needed here."""

    async def probe(self) -> VaultStatus: ...
    async def get(self, name: str) -> str | None: ...
    async def set(self, name: str, secret: str) -> None: ...


class Signer:
    """Without a vault a random key of this process serves. Await `ready` before signing or verifying."""

    def __init__(self, vault: KeyVault | None = None, clock: Callable[[], float] = time.time) -> None:
        self._vault = vault
        self._keys = [secrets.token_bytes(KEY_BYTES)]
        """The first signs, all verify: what was signed before the vault could be used stays good."""
        self._is_kept = False
        self._loading = asyncio.Lock()
        self._next_try = -math.inf
        self._clock = clock

    async def ready(self) -> None:
        """Fetches the key from the vault, or makes it there, if that was not done yet. Never fails."""
        if self._is_kept or self._vault is None:
            return
        async with self._loading:
            if self._is_kept or time.monotonic() < self._next_try:
                return
            self._next_try = time.monotonic() + TRIED_AGAIN_S
            with contextlib.suppress(LocalsrvError):
                if (await self._vault.probe()).state == "ok":  # which never opens a dialog
                    self._keys.insert(0, await _kept_key(self._vault))
                    self._is_kept = True

    def retry(self) -> None:
        """The vault was unlocked: the next need asks it again."""
        self._next_try = -math.inf

    def sign(self, segments: Sequence[str], grant: Grant, expires_in: int) -> str:
        """The path of these decoded segments as a URL that reads with `grant`'s power for some seconds."""
        path = canonical_path(segments)
        expires = str(int(self._clock()) + min(expires_in, LONGEST_SECONDS))
        signature = _mac(self._keys[0], path, expires, grant.id)
        query = {"expires": expires, "key": grant.id, "signature": signature}
        return f"{path}?{urlencode(query)}"

    def verify(self, segments: Sequence[str], query: Mapping[str, str]) -> str:
        """The id of the grant that signed.

        Raises:
            Forbidden: the signature is wrong or too old.
        """
        expires, ident = query.get("expires", ""), query.get("key", "")
        path = canonical_path(segments)
        given = query.get("signature", "").encode("utf-8", "surrogatepass")
        if not any(hmac.compare_digest(_mac(k, path, expires, ident).encode(), given) for k in self._keys):
            raise Forbidden("The URL's signature is wrong.", code="bad-signature")
        if int(expires) <= self._clock():
            raise Forbidden("This URL is too old.", code="url-expired", hint="Ask for a new one.")
        return ident


async def _kept_key(vault: KeyVault) -> bytes:
    """The vault's key, made if it has none. Raises VaultError, StorageError."""
    with contextlib.suppress(ValueError):
        key = base64.b64decode(await vault.get(ENTRY) or "", validate=True)
        if len(key) == KEY_BYTES:
            return key
    key = secrets.token_bytes(KEY_BYTES)
    await vault.set(ENTRY, base64.b64encode(key).decode())
    return key


def _mac(key: bytes, path: str, expires: str, ident: str) -> str:
    message = "\n".join(("GET", path, expires, ident)).encode("utf-8", "surrogatepass")
    return hmac.new(key, message, sha256).hexdigest()


def canonical_path(segments: Sequence[str]) -> str:
    """One spelling for all ways to percent-encode a path; an encoded slash stays apart from a real one."""
    return "/" + "/".join(quote(segment, safe="", errors="surrogatepass") for segment in segments)
