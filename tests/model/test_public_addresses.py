"""model/public_addresses.py"""

from __future__ import annotations

import pytest

from localsrv.model.public_addresses import is_this_machine, why_refused


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("10.0.0.1", "private"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("169.254.169.254", "link-local"),
        ("100.64.0.1", "shared"),
        ("100.127.255.255", "shared"),
        ("224.0.1.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("255.255.255.255", "reserved"),
        ("198.18.0.1", "reserved"),
        ("203.0.113.5", "reserved"),
        ("::1", "loopback"),
        ("::", "unspecified"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fc00::1", "private"),
        ("fd12:3456::1", "private"),
        ("fec0::1", "private"),
        ("ff02::1", "multicast"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:a9fe:a9fe", "link-local"),
        ("::127.0.0.1", "reserved"),
        ("64:ff9b::7f00:1", "loopback"),
        ("64:ff9b::10.0.0.1", "private"),
        ("64:ff9b:1::1", "reserved"),
        ("2002:7f00:1::", "tunnel"),
        ("2002:808:808::", "tunnel"),
        ("2001::1", "reserved"),
        ("2001:db8::1", "reserved"),
        ("2130706433", "malformed"),
        ("0177.0.0.1", "malformed"),
        ("localhost", "malformed"),
        ("", "malformed"),
        ("1.1.1.1", None),
        ("172.32.0.1", None),
        ("100.128.0.1", None),
        ("2606:4700::1111", None),
        ("::ffff:1.1.1.1", None),
        ("64:ff9b::1.1.1.1", None),
    ],
)
def test_only_public_addresses_pass(address: str, kind: str | None) -> None:
    assert why_refused(address) == kind


def test_what_ends_on_this_machine() -> None:
    assert [is_this_machine(a) for a in ("127.0.0.9", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1")] == [
        True
    ] * 5
    assert not any(is_this_machine(a) for a in ("10.0.0.1", "1.1.1.1", "fe80::1"))
