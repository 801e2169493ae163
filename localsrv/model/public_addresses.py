"""Which IP addresses are on the public internet, and what the others are.

A name that an outside service chooses may lead to this machine, to its router or to a cloud's metadata
service, so requests on an app's behalf go to public addresses alone. The tables are IANA's registries of
special-purpose addresses (RFC 6890); Python's own `is_global` differs between its versions.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_V4 = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared"),  # carrier-grade NAT, RFC 6598
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "reserved"),
        ("198.51.100.0/24", "reserved"),
        ("203.0.113.0/24", "reserved"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_V6 = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "reserved"),  # Teredo among them
        ("2001:db8::/32", "reserved"),
        ("2002::/16", "tunnel"),  # 6to4: any IPv4 address inside
        ("3fff::/20", "reserved"),
    )
)
_PUBLIC_V6 = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")


def why_refused(address: str) -> str | None:
    """What an address is, if it is not a public one (`loopback`, `private`, …); None for a public one.

    An IPv4 address inside an IPv6 one (mapped, or NAT64's well-known prefix) counts as what it is itself.
    What is no address at all is `malformed`.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return "malformed"
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or (IPv4Address(int(found) & 0xFFFFFFFF) if found in _NAT64 else None)
        if inner is None:
            kind = next((kind for network, kind in _V6 if found in network), None)
            return kind or (None if found in _PUBLIC_V6 else "reserved")
        found = inner
    return next((kind for network, kind in _V4 if found in network), None)


def is_this_machine(address: str) -> bool:
    """Whether a connection to it ends on this machine: loopback, or `0.0.0.0` and `::`."""
    return why_refused(address) in ("loopback", "unspecified")
