"""Cookies of the sync face's own port, for clients that know no other way to sign in. Off unless wanted.

A cookie names a grant, when it ends and which page signed in, under an HMAC whose key lives as long as the
process. A grant that was revoked ends its cookies at once. A browser sends a cookie along with what any
page of `localhost` asks; a page that has access of its own must not get that of another one thereby.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

from localsrv.model.scopes import Grant
from localsrv.services.grants import Grants

COOKIE = "AuthSession"
"""CouchDB's name for it."""

SECONDS = 8 * 3600
"""How long one is good. CouchDB's end after ten minutes of rest; ours do not move."""


class Sessions:
    """Makes and reads cookies' values."""

    def __init__(self, grants: Grants) -> None:
        self._grants = grants
        self._key = secrets.token_bytes(32)

    def make(self, grant: Grant, page: str | None = None) -> str:
        """A value that stands for a grant from now on. `page` is the other origin that signs in, if any."""
        text = f"{grant.id}:{int(time.time()) + SECONDS}"
        return f"{text}:{self._proof(text, page)}"

    def find(self, value: str, page: str | None = None) -> Grant | None:
        """The live grant of a cookie; None for one that is not ours, has ended, or is another page's."""
        text, _, proof = value.strip('"').rpartition(":")
        if not hmac.compare_digest(proof.encode("utf-8", "replace"), self._proof(text, page).encode()):
            return None
        ident, _, until = text.rpartition(":")
        return self._grants.by_id(ident) if time.time() < int(until) else None

    def _proof(self, text: str, page: str | None) -> str:
        bound = f"{text}\n{page or ''}".encode("utf-8", "replace")
        return hmac.new(self._key, bound, hashlib.sha256).hexdigest()
