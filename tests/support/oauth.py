"""What a client of OAuth computes: challenges of PKCE, and forms."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(frozen=True)
class Pkce:
    """A verifier and its S256 challenge (RFC 7636, 4)."""

    verifier: str
    challenge: str

    @classmethod
    def make(cls) -> Pkce:
        verifier = secrets.token_urlsafe(48)
        digest = hashlib.sha256(verifier.encode()).digest()
        return cls(verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode())
