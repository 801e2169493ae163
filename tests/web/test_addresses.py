"""Which Host headers name what."""

from __future__ import annotations

import pytest

from localsrv.web.addresses import Addresses, CouchPort, Site, couch_root

USUAL = Addresses(4680, ("desk.local", "proxy.local:8080"))
PORT_80 = Addresses(80, ("desk.local",))

SITES: list[tuple[Addresses, str, Site | None]] = [
    (USUAL, "localhost:4680", Site(None, "http://localhost:4680")),
    (USUAL, "LocalHost:4680", Site(None, "http://localhost:4680")),
    (USUAL, "127.0.0.1:4680", Site(None, "http://127.0.0.1:4680")),
    (USUAL, "[::1]:4680", Site(None, "http://[::1]:4680")),
    (USUAL, "desk.local:4680", Site(None, "http://desk.local:4680")),
    (USUAL, "proxy.local:8080", Site(None, "http://proxy.local:8080")),
    (USUAL, "shop.localhost:4680", Site("shop", "http://shop.localhost:4680")),
    (USUAL, "my-shop-2.localhost:4680", Site("my-shop-2", "http://my-shop-2.localhost:4680")),
    (PORT_80, "localhost", Site(None, "http://localhost")),
    (PORT_80, "localhost:80", Site(None, "http://localhost")),
    (PORT_80, "[::1]", Site(None, "http://[::1]")),
    (PORT_80, "shop.localhost", Site("shop", "http://shop.localhost")),
    *[(USUAL, host, None) for host in (
        "", ":", ":4680", "localhost", "localhost:", "localhost:80", "localhost:04680", "localhost:4680:4680",
        "localhost :4680", "127.0.0.2:4680", "127.1:4680", "2130706433:4680", "0.0.0.0:4680", "[::]:4680",
        "::1:4680", "[::1", "desk.local", "desk.local:8080", "proxy.local:4680", "proxy.local",
        ".localhost:4680", "a.b.localhost:4680", "-a.localhost:4680", "1a.localhost:4680",
        "a_b.localhost:4680", "shop.localhost.:4680", "shop.localhost.example:4680", "evil.example:4680",
        "localhost\x00:4680",
    )],
    *[(PORT_80, host, None) for host in ("localhost:4680", "example.org", "shop.localhost:8080")],
]  # fmt: skip


@pytest.mark.parametrize(("addresses", "host", "site"), SITES)
def test_what_a_host_header_names(addresses: Addresses, host: str, site: Site | None) -> None:
    assert addresses.site(host) == site


COUCH = Addresses(4680, ("desk.local", "proxy.local:8080"), couch=CouchPort(5984, "shop"))

AT_THE_COUCH_PORT: list[tuple[int | None, str, Site | None]] = [
    *[(5984, host, Site("shop", f"http://{host}", is_couch=True)) for host in (
        "localhost:5984", "127.0.0.1:5984", "[::1]:5984", "desk.local:5984", "proxy.local:8080",
    )],
    *[(5984, host, None) for host in (
        "localhost", "localhost:4680", "shop.localhost:5984", "evil.example:5984", "desk.local", "", ":5984",
        "localhost:05984", "[::1]",
    )],
    *[(port, "localhost:4680", Site(None, "http://localhost:4680")) for port in (None, 4680)],
    *[(port, "localhost:5984", None) for port in (None, 4680, 1)],
]  # fmt: skip


@pytest.mark.parametrize(("port", "host", "site"), AT_THE_COUCH_PORT)
def test_what_a_host_header_names_at_the_couch_port(port: int | None, host: str, site: Site | None) -> None:
    assert COUCH.site(host, port) == site


def test_the_root_of_the_sync_face() -> None:
    assert couch_root(Site(None, "http://a:1"), "shop") == "http://a:1/apps/shop/couch"
    assert couch_root(Site("shop", "http://shop.localhost:1"), "shop") == "http://shop.localhost:1/couch"
    assert couch_root(Site("shop", "http://a:2", is_couch=True), "shop") == "http://a:2"


def test_addresses_that_are_given_out() -> None:
    assert USUAL.url == "http://localhost:4680"
    assert USUAL.app_origin("shop") == "http://shop.localhost:4680"
    assert USUAL.path_url("shop") == "http://localhost:4680/apps/shop"
    assert set(USUAL.origins) == {
        "http://localhost:4680", "http://127.0.0.1:4680", "http://[::1]:4680",
        "http://desk.local:4680", "http://proxy.local:8080",
    }  # fmt: skip
    for origin in USUAL.origins:
        assert USUAL.site(origin.removeprefix("http://")) == Site(None, origin)
