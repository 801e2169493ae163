"""The names this server answers to, and the origins that follow from them.

`http://localhost:PORT` (also by its loopback addresses, and by configured names) is the dashboard and the
admin face; `http://<app>.localhost:PORT` is an app's own origin, and so is `http://localhost:OTHER` where the
app has a port of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from localsrv.base.errors import LocalsrvError
from localsrv.model.schema import APP_ID
from localsrv.services.ports import LOOPBACK_NAMES, origins

_NO_PORTS: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Site:
    """What one exact Host header names: an app's own origin, or with `app` None the server's.

    `is_couch` says that the root is that app's sync face, and nothing else is served.
    """

    app: str | None
    origin: str
    is_couch: bool = False


@dataclass(slots=True)
class CouchPort:
    """The port whose root is one app's sync face, for programs that know CouchDB's addresses only.

    `error` says why it is not served, once that was tried.
    """

    port: int
    app: str
    error: LocalsrvError | None = None

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"


@dataclass(frozen=True, slots=True)
class Addresses:
    """`port` is the one that listens; `names` are configured host names besides the loopback ones.

    A name with a port of its own (`desk.local:8080`, as a proxy would send it) is taken to the letter.
    `app_ports` is a live view of the apps that are served at ports of their own. `couch` is the port of the
    sync face alone.
    """

    port: int
    names: tuple[str, ...] = ()
    app_ports: Mapping[str, int] = field(default_factory=lambda: _NO_PORTS)
    couch: CouchPort | None = None

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
        """The app's origin by its name."""
        return self._origin(f"{app}.localhost")

    def app_url(self, app: str) -> str:
        """Where the app's pages are to be opened: at its own port, if it has one."""
        port = self.app_ports.get(app)
        return self.app_origin(app) if port is None else origins(port)[0]

    def app_origins(self, app: str) -> tuple[str, ...]:
        """Every origin that is the app's."""
        port = self.app_ports.get(app)
        return (self.app_origin(app), *(() if port is None else origins(port)))

    def _at_own_port(self, host: str, port: int) -> Site | None:
        for app, own in self.app_ports.items():
            if own == port and f"http://{host}" in origins(port):
                return Site(app, f"http://{host}")
        return None

    def _at_couch_port(self, host: str, couch: CouchPort) -> Site | None:
        """By the loopback names and by configured ones, each with this port, or as a proxy sends it."""
        name, _, number = host.rpartition(":")
        is_ours = name in LOOPBACK_NAMES or name in self.names
        if (is_ours and number == str(couch.port)) or (":" in host and host in self.names):
            return Site(couch.app, f"http://{host}", is_couch=True)
        return None

    def path_url(self, app: str) -> str:
        """The base of an app's faces for clients that do not resolve `*.localhost`."""
        return f"{self.url}/apps/{app}"

    def site(self, host: str, port: int | None = None) -> Site | None:
        """What an exact Host header names, whether or not the app exists; None for a foreign one.

        `port` is where the request came in; None stands for the server's own. At an app's port nothing but
        that app is served, whatever a program says, and the app nowhere under another port's name.
        """
        host = host.lower()
        if self.couch is not None and port == self.couch.port:
            return self._at_couch_port(host, self.couch)
        if port is not None and port != self.port:
            return self._at_own_port(host, port)
        if ":" in host and host in self.names:
            return Site(None, self._origin(host))
        name, number = host, ""
        if not host.endswith("]"):
            head, colon, tail = host.rpartition(":")
            if colon:
                name, number = head, tail
        if number != ("" if self.port == 80 else str(self.port)) and not (self.port == 80 and number == "80"):
            return None
        if name in LOOPBACK_NAMES or name in self.names:
            return Site(None, self._origin(name))
        label = name.removesuffix(".localhost")
        if label != name and APP_ID.match(label):
            return Site(label, self._origin(name))
        return None


def couch_root(site: Site, app: str) -> str:
    """The base of an app's sync face as this site reaches it."""
    if site.is_couch:
        return site.origin
    return f"{site.origin}/couch" if site.app is not None else f"{site.origin}/apps/{app}/couch"
