"""The names this server answers to, and the origins that follow from them.

`http://localhost:PORT` (also by its loopback addresses, and by configured names) is the dashboard and the
admin face; `http://<app>.localhost:PORT` is an app's own origin.
"""

from __future__ import annotations

from dataclasses import dataclass

from localsrv.model.schema import APP_ID

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Site:
    """What one exact Host header names: an app's own origin, or with `app` None the server's."""

    app: str | None
    origin: str


@dataclass(frozen=True, slots=True)
class Addresses:
    """`port` is the one that listens; `names` are configured host names besides the loopback ones.

    A name with a port of its own (`desk.local:8080`, as a proxy would send it) is taken to the letter.
    """

    port: int
    names: tuple[str, ...] = ()

    def _origin(self, name: str) -> str:
        has_port = ":" in name and not name.endswith("]")
        return f"http://{name}" if self.port == 80 or has_port else f"http://{name}:{self.port}"

    @property
    def url(self) -> str:
        return self._origin("localhost")

    @property
    def origins(self) -> tuple[str, ...]:
        """The dashboard's origins."""
        return tuple(self._origin(n) for n in (*LOOPBACK_NAMES, *self.names))

    def app_origin(self, app: str) -> str:
        return self._origin(f"{app}.localhost")

    def path_url(self, app: str) -> str:
        """The base of an app's faces for clients that do not resolve `*.localhost`."""
        return f"{self.url}/apps/{app}"

    def site(self, host: str) -> Site | None:
        """What an exact Host header names, whether or not the app exists; None for a foreign one."""
        host = host.lower()
        if ":" in host and host in self.names:
            return Site(None, self._origin(host))
        name, port = host, ""
        if not host.endswith("]"):
            head, colon, tail = host.rpartition(":")
            if colon:
                name, port = head, tail
        if port != ("" if self.port == 80 else str(self.port)) and not (self.port == 80 and port == "80"):
            return None
        if name in LOOPBACK_NAMES or name in self.names:
            return Site(None, self._origin(name))
        label = name.removesuffix(".localhost")
        if label != name and APP_ID.match(label):
            return Site(label, self._origin(name))
        return None
