"""Where the answer to an authorization request may go: redirect URIs of clients that nobody registered.

RFC 8252, 7: a native program listens on a loopback address, at any port, or has a scheme of its own. A web
page gets the answer at its own origin, which is thereby proven; an extension at the one that its browser
keeps for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from localsrv.base.errors import InvalidValue

LONGEST = 2000

_PLAIN = re.compile(r"[!#-;=?-\[\]_a-z~%]+\Z")
"""What may stand in a URI: ASCII without spaces, quotes, angles, backslash, `^`, backtick, braces, bar."""
_LOOPBACK = re.compile(r"(?:127(?:\.[0-9]{1,3}){3}|\[::1\]|localhost|[a-z0-9-]+\.localhost)\Z")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\Z|\[[0-9a-f:.]+\]\Z")
_CHROME = re.compile(r"([a-p]{32})\.chromiumapp\.org\Z")
_FIREFOX = ".extensions.allizom.org"
_OWN_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+\Z")
"""RFC 8252, 7.1: a scheme of a program's own is a domain name, backwards. So it has a dot."""
_APP_SCHEMES = frozenset({"app", "capacitor", "ionic", "tauri"})

Where = Literal["loopback", "web", "extension", "scheme"]


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirect URI that may be used.

    `origin` is the web origin that gets the answer, where there is one. `shown` says in short where it goes.
    """

    uri: str
    where: Where
    origin: str | None
    shown: str

    @property
    def proven(self) -> str | None:
        """The origin that an answer at this address proves: on loopback any program can listen."""
        return self.origin if self.where in ("web", "extension") else None

    def may_redeem(self, origin: str | None) -> bool:
        """Whether a code that went there may come back from a page of `origin`; None: from a program."""
        if self.where == "web":
            return origin == self.origin
        if self.where == "loopback":
            return origin in (None, self.origin)
        if self.where == "extension" and self.origin is None:
            return origin is None or origin.startswith("moz-extension://")
        if self.where == "extension":
            return origin in (None, self.origin)
        return True

    def with_answer(self, **answer: str | None) -> str:
        """The URI with these parameters added to those that it has."""
        head, _, query = self.uri.partition("?")
        pairs = parse_qsl(query, keep_blank_values=True)
        pairs += [(name, value) for name, value in answer.items() if value is not None]
        return f"{head}?{urlencode(pairs)}"


def parse_redirect(text: str) -> Redirect:
    """Raises InvalidValue for an address that no answer is ever sent to."""
    if len(text) > LONGEST or not _PLAIN.match(text.lower()) or "#" in text:
        raise _bad(text, "It must be an address in ASCII, percent-encoded, without a fragment.")
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise _bad(text, "It is no address.") from None
    scheme = parts.scheme.lower()
    if scheme in ("http", "https"):
        netloc = f"[{host}]" if ":" in host else host
        if "@" in parts.netloc or not _HOST.match(netloc):
            raise _bad(text, "It must name a host, and no user.")
        usual = {"http": 80, "https": 443}[scheme]
        origin = f"{scheme}://{netloc}" + (f":{port}" if port not in (None, usual) else "")
        return _of_http(text, scheme, netloc, origin)
    if not (_OWN_SCHEME.match(scheme) or scheme in _APP_SCHEMES):
        raise _bad(
            text,
            "Use http://127.0.0.1:<port>/, https, or a scheme of your own as com.example.notes:/callback.",
        )
    return Redirect(text, "scheme", None, f"the program of {scheme}:")


def _of_http(text: str, scheme: str, host: str, origin: str) -> Redirect:
    if _LOOPBACK.match(host):
        return Redirect(text, "loopback", origin, f"a program or page on this computer, {origin}")
    if scheme == "http":
        raise _bad(text, "Only addresses of this computer may go without https.")
    if found := _CHROME.match(host):
        return Redirect(text, "extension", f"chrome-extension://{found[1]}", f"the extension {found[1]}")
    if host.endswith(_FIREFOX):
        return Redirect(text, "extension", None, f"the extension {host.removesuffix(_FIREFOX)}")
    return Redirect(text, "web", origin, f"the page {origin}")


def _bad(text: str, hint: str) -> InvalidValue:
    return InvalidValue(
        "Nothing is ever sent to this `redirect_uri`.",
        code="bad-redirect",
        details=text[:200],
        hint=hint,
    )
