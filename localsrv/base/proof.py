"""How the server proves to its owner's programs that it is the one, before they send it the owner token.

Another program may listen at the port while the server is off, and would be handed the token by whoever asks
first and thinks later. So a client asks `/api/v1/challenge` with a nonce on each new connection, and sends
the token on that connection only after an answer that needs knowledge of it. The proof names the address
that the connection leads to: a stranger at another address or port who passes the question on to the real
server gets an answer that fits there alone.
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256

NONCE = re.compile(r"[A-Za-z0-9_-]{16,128}\Z")


def proof(token: str, nonce: str, host: str, port: int) -> str:
    """HMAC-SHA-256 in hexadecimal under the owner token. `host` is an IP address as the system spells it,
    of the connection's end at the server."""
    message = "\n".join(("localsrv-owner-1", nonce, host, str(port)))
    return hmac.new(token.encode(), message.encode(), sha256).hexdigest()
