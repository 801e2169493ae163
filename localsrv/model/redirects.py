"""Where a redirect of an outside service leads, and what goes along."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from localsrv.base.errors import LocalsrvError
from localsrv.model.integration_addresses import host_and_port, is_host, origin_of
from localsrv.model.integration_paths import normal_path, normal_query, require_allowed
from localsrv.model.integrations import Integration

MOST = 5
STATUSES = frozenset({301, 302, 303, 307, 308})


class RedirectRefused(LocalsrvError):
    """The outside service leads to where requests of this integration may not go."""

    status = 502
    code = "integration-redirect-refused"


@dataclass(frozen=True, slots=True)
class Hop:
    """One request's method and address. `is_home`: to the integration's own origin, with the secret."""

    method: str
    url: str
    is_home: bool = True


def next_hop(here: Hop, status: int, location: str, integration: Integration, *, has_body: bool) -> Hop:
    """The request that follows an answer of `STATUSES`.

    Methods change as the fetch standard has it: 303 becomes GET, and so do 301 and 302 after POST.

    Raises:
        RedirectRefused: another scheme, from https to http, a path that is not allowed, or a body that
            would have to be sent again.
    """
    try:
        url = urljoin(here.url, location.strip())
        parts = urlsplit(url)
        origin = origin_of(url)
    except ValueError:
        raise _refused("to an address that is none") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _refused(f"to `{parts.scheme[:20]}:`, which is not http")
    if not is_host(host_and_port(url)[0]):
        raise _refused("to a host that is none")
    if parts.username is not None or parts.password is not None:
        raise _refused("to an address with credentials in it")
    if parts.scheme == "http" and here.url.startswith("https:") and not integration.names_host(url):
        raise _refused("from https to http")
    method = here.method
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method = "GET"
    elif has_body:
        raise _refused("and wants the body once more")
    is_home = origin == integration.origin and here.is_home
    path = _path(parts.path, integration, method, is_home=origin == integration.origin)
    query = normal_query(parts.query)
    return Hop(
        method, f"{parts.scheme}://{parts.netloc.lower()}{path}" + (f"?{query}" if query else ""), is_home
    )


def _path(raw: str, integration: Integration, method: str, *, is_home: bool) -> str:
    """The path to ask for; at the integration's own origin it stays below the base, within the patterns."""
    try:
        path = normal_path(raw or "/")
        if is_home:
            base = urlsplit(integration.base_url).path
            if path != base and not path.startswith(f"{base}/"):
                raise _refused("out of the base path")
            require_allowed(path.removeprefix(base), integration.paths)
            if not integration.may_use(method):
                raise _refused(f"to {method}, which is not allowed")
    except RedirectRefused:
        raise
    except LocalsrvError as error:
        raise _refused(f"to a path that is refused: {error.message}") from error
    return path


def _refused(why: str) -> RedirectRefused:
    return RedirectRefused(
        f"The outside service redirects {why}.",
        hint="The owner can set another base URL, or allow more paths or hosts.",
    )
