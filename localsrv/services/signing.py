"""Signed URLs: what an `<img>` or a download can use, since it cannot send a token.

The signature covers path, expiry and the id of the grant that asked for it. The grant is looked up again when
the URL is used: revoking it ends its URLs too.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from urllib.parse import quote, urlencode

from localsrv.base.errors import Forbidden
from localsrv.model.scopes import Grant

LONGEST_SECONDS = 3600


class Signer:
    """`key` is at least 32 random bytes. Without one a random key of this process serves: URLs live for
    minutes, and a key that is stored nowhere cannot leak.
    """

    def __init__(self, key: bytes | None = None, clock: Callable[[], float] = time.time) -> None:
        if key is not None and len(key) < 32:
            raise ValueError("a signing key has at least 32 bytes")
        self._key = key or secrets.token_bytes(32)
        self._clock = clock

    def sign(self, segments: Sequence[str], grant: Grant, expires_in: int) -> str:
        """The path of these decoded segments as a URL that reads with `grant`'s power for some seconds."""
        path = canonical_path(segments)
        expires = str(int(self._clock()) + min(expires_in, LONGEST_SECONDS))
        query = {"expires": expires, "key": grant.id, "signature": self._mac(path, expires, grant.id)}
        return f"{path}?{urlencode(query)}"

    def verify(self, segments: Sequence[str], query: Mapping[str, str]) -> str:
        """The id of the grant that signed.

        Raises:
            Forbidden: the signature is wrong or too old.
        """
        expires, ident = query.get("expires", ""), query.get("key", "")
        wanted = self._mac(canonical_path(segments), expires, ident)
        given = query.get("signature", "")
        if not hmac.compare_digest(wanted.encode(), given.encode("utf-8", "surrogatepass")):
            raise Forbidden("The URL's signature is wrong.", code="bad-signature")
        if int(expires) <= self._clock():
            raise Forbidden("This URL is too old.", code="url-expired", hint="Ask for a new one.")
        return ident

    def _mac(self, path: str, expires: str, ident: str) -> str:
        message = "\n".join(("GET", path, expires, ident)).encode("utf-8", "surrogatepass")
        return hmac.new(self._key, message, sha256).hexdigest()


def canonical_path(segments: Sequence[str]) -> str:
    """One spelling for all ways to percent-encode a path; an encoded slash stays apart from a real one."""
    return "/" + "/".join(quote(segment, safe="", errors="surrogatepass") for segment in segments)
