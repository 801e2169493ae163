"""Addresses and hosts of outside services, checked as they come from the owner or a manifest."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from localsrv.base.errors import InvalidValue

_PRINTABLE = re.compile(r"[\x20-\x7e]*\Z")
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?\Z")


def host_and_port(url: str) -> tuple[str, int]:
    """The host, in lower case and brackets where it is IPv6, and the port of a checked address."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return (f"[{host}]" if ":" in host else host), port


def is_host(host: str) -> bool:
    """Whether a text can be a host: a name in ASCII, or an address."""
    return _HOST.match(host) is not None


def origin_of(url: str) -> str:
    """Scheme, host and port: what a secret is bound to."""
    host, port = host_and_port(url)
    return f"{urlsplit(url).scheme}://{host}:{port}"


def checked_url(value: object, place: str = "base_url") -> str:
    """An absolute http or https address without credentials, query, fragment, and slash at its end."""
    hint = "Give an address such as https://api.example.org/v1."
    if not isinstance(value, str) or not _PRINTABLE.match(value) or " " in value or "\\" in value:
        raise InvalidValue(f"`{place}` must be an address.", details=place, hint=hint)
    try:
        parts = urlsplit(value)
        host, _ = host_and_port(value)
    except ValueError:
        raise InvalidValue(f"`{place}` is no address: {value[:200]}", details=place, hint=hint) from None
    if parts.scheme not in ("http", "https") or not is_host(host):
        raise InvalidValue(
            f"`{place}` must be an http or https address: {value[:200]}", details=place, hint=hint
        )
    if parts.username is not None or parts.password is not None:
        raise InvalidValue(
            f"`{place}` has credentials in it.", details=place, hint="Secrets go to the vault alone."
        )
    if parts.query or parts.fragment or "?" in value or "#" in value:
        raise InvalidValue(
            f"`{place}` has a query or a fragment: {value[:200]}", details=place, hint="Leave them out."
        )
    segments = parts.path.split("/")[1:]
    if (
        any(s in ("", ".", "..") for s in segments[:-1])
        or segments[-1:] in (["."], [".."])
        or "%" in parts.path
    ):
        raise InvalidValue(
            f"The path of `{place}` must be plain: {parts.path[:200]}",
            details=place,
            hint="Without `..`, `//` and percent signs.",
        )
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path}".rstrip("/")


def check_scheme(url: str, hosts: tuple[str, ...], place: str) -> None:
    """Plain http is for hosts that the owner named: elsewhere it would show the secret to the network."""
    host, port = host_and_port(url)
    if url.startswith("http:") and host not in hosts and f"{host}:{port}" not in hosts:
        raise InvalidValue(
            f"`{place}` is plain http, which shows the secret to everybody on the way.",
            details=place,
            hint=f"Use https, or name {host} among the hosts that may be reached without.",
        )


def checked_hosts(value: object) -> tuple[str, ...]:
    """Host names or addresses, each with or without a port."""
    for host in texts(value, "hosts"):
        name = host.lower().rpartition(":")[0] if re.search(r":[0-9]+\Z", host) else host.lower()
        try:
            is_bare_ipv6 = ip_address(host).version == 6
        except ValueError:
            is_bare_ipv6 = False
        if is_bare_ipv6 or not _HOST.match(host.lower()) or not name:
            raise InvalidValue(
                f"`{host[:200]}` is no host.",
                details="hosts",
                hint="Such as nas.local, 192.168.1.5:8080 or [fd00::1].",
            )
    return tuple(dict.fromkeys(host.lower() for host in texts(value, "hosts")))


def texts(value: object, place: str) -> list[str]:
    """A list of texts. Raises InvalidValue."""
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) and len(v) <= 500 for v in value):
        raise InvalidValue(f"`{place}` must be a list of texts.", details=place)
    if len(value) > 100:
        raise InvalidValue(f"`{place}` has more than 100 entries.", details=place)
    return list(value)
