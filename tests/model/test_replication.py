"""Definitions of replications: parsed, named, shown without secrets; when to try again."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localsrv.base.errors import InvalidValue
from localsrv.model.replication import (
    LONGEST_DELAY_S,
    SIDES,
    Credentials,
    parse_replication,
    retry_delay,
)

BASIC = "Basic " + base64.b64encode(b"ann:se:cret").decode()


@pytest.mark.parametrize(
    ("source", "url", "user", "password", "headers"),
    [
        ("https://h:5984/db", "https://h:5984/db", None, None, {}),
        ("https://h/db/", "https://h/db", None, None, {}),
        ("http://ann:s%40cret@h/db", "http://h/db", "ann", "s@cret", {}),
        ("http://ann@h/db", "http://h/db", "ann", None, {}),
        ("http://[::1]:5984/a%2Fb", "http://[::1]:5984/a%2Fb", None, None, {}),
        ("http://h/apps/x/couch/db", "http://h/apps/x/couch/db", None, None, {}),
        ({"url": "http://h/db", "headers": {"X-A": "1"}}, "http://h/db", None, None, {"X-A": "1"}),
        ({"url": "http://h/db", "headers": {"Authorization": BASIC}}, "http://h/db", "ann", "se:cret", {}),
        (
            {"url": "http://h/db", "headers": {"authorization": "Bearer x"}},
            "http://h/db", None, None, {"authorization": "Bearer x"},
        ),
        (
            # CouchDB's order: `auth`, the URL, the header
            {"url": "http://eve:two@h/db", "auth": {"basic": {"username": "ann", "password": "hidden"}}},
            "http://h/db", "ann", "hidden", {},
        ),
    ],
)  # fmt: skip
def test_addresses(source: Any, url: str, user: Any, password: Any, headers: dict[str, str]) -> None:
    parsed, credentials = parse_replication({"source": source, "target": "here"})
    found = credentials["source"]
    assert (parsed.source.url, parsed.source.username) == (url, user)
    assert (found.username, found.password, dict(found.headers)) == (user, password, headers)
    assert parsed.target.database == "here"
    for shown in (repr(parsed), repr(credentials), str(parsed.as_document()), parsed.source.label):
        for secret in filter(None, (password, *headers.values())):
            assert secret not in shown or secret == "1"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"source": "a"},
        {"source": "a", "target": ""},
        {"source": "a", "target": None},
        {"source": "a", "target": ["x"]},
        {"source": "a", "target": "a"},
        {"source": "a", "target": {"url": "b", "auth": {"basic": {"username": "x"}}}},
        {"source": "a", "target": "Notes"},
        {"source": "a", "target": "1st"},
        {"source": "with space", "target": "b"},
        {"source": "a", "target": "file:///etc/passwd"},
        {"source": "a", "target": "http://"},
        {"source": "a", "target": "http://host"},
        {"source": "a", "target": "http://host/"},
        {"source": "a", "target": "http://host/db?x=1"},
        {"source": "a", "target": "http://host/db#x"},
        {"source": "a", "target": "http://host:99999/db"},
        {"source": "a", "target": "http://ho st/db"},
        {"source": "a", "target": "http://host/db\r\nX: y"},
        {"source": "a", "target": "http://" + "h" * 5000 + "/db"},
        {"source": "a", "target": {"url": "http://h/db", "headers": {"X\r\n": "y"}}},
        {"source": "a", "target": {"url": "http://h/db", "headers": {"X": "y\nZ: z"}}},
        {"source": "a", "target": {"url": "http://h/db", "headers": {"X": 5}}},
        {"source": "a", "target": {"url": "http://h/db", "auth": "x"}},
        {"source": "a", "target": {"url": "http://h/db", "auth": {"basic": {"username": 5}}}},
        {"source": "a", "target": {"url": "http://h/db", "auth": {"vault": 5}}},
        {"source": "a", "target": "b", "continuous": 1},
        {"source": "a", "target": "b", "doc_ids": [1]},
        {"source": "a", "target": "b", "selector": []},
        {"source": "a", "target": "b", "filter": ""},
        {"source": "a", "target": "b", "query_params": []},
        {"source": "a", "target": "b", "doc_ids": [], "filter": "a/b"},
        {"source": "a", "target": "b", "since_seq": True},
        {"source": "a", "target": "b", "checkpoint_interval": 0},
        {"source": "a", "target": "b", "source_proxy": "http://proxy"},
    ],
)
def test_what_is_no_definition(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        parse_replication(body)


def test_an_unreadable_address_is_not_told() -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_replication({"source": "http://ann:topsecret@[bad/db", "target": "b"})
    assert "topsecret" not in str(caught.value.as_dict())


def test_ids_tell_replications_apart_and_survive_a_new_password() -> None:
    def ident(device: str = "d", app: str = "a", **changes: Any) -> str:
        body = {"source": "http://ann:one@h/db", "target": "b", **changes}
        return parse_replication(body)[0].id(device, app)

    same = [
        ident(),
        ident(source="http://ann:two@h/db"),
        ident(source="https://ann:one@h/db"),
        ident(checkpoint_interval=1000),
        ident(unknown=1),
    ]
    assert len(set(same)) == 1
    others = [
        ident(device="e"),
        ident(app="b"),
        ident(source="http://eve:one@h/db"),
        ident(source="http://ann:one@h:81/db"),
        ident(source="http://ann:one@h/db2"),
        ident(target="c"),
        ident(doc_ids=["x"]),
        ident(doc_ids=[]),
        ident(selector={"a": 1}),
        ident(selector={"a": 2}),
        ident(filter="x/y"),
        ident(filter="x/y", query_params={"k": 1}),
        ident(winning_revs_only=True),
        ident(since_seq="5"),
    ]
    assert len({*same, *others}) == len(others) + 1
    assert ident(continuous=True) == ident() + "+continuous"
    assert ident(create_target=True, continuous=True) == ident() + "+continuous+create_target"


def test_both_directions_name_a_peer_alike_whoever_signs_in() -> None:
    pull = parse_replication({"source": "http://ann:x@h/db", "target": "b"})[0].source
    push = parse_replication({"source": "b", "target": "https://eve:y@h/db/"})[0].target
    assert pull.peer_id == push.peer_id
    other = parse_replication({"source": "http://ann:x@h/db2", "target": "b"})[0].source
    assert pull.peer_id != other.peer_id


def test_a_definition_shown_is_the_same_definition() -> None:
    body = {
        "source": "http://ann:x@h/db", "target": "b", "continuous": True, "create_target": True,
        "filter": "a/b", "query_params": {"k": 1},
    }  # fmt: skip
    parsed, _ = parse_replication(body)
    kept = parsed.with_secret("source", "entry")
    shown = kept.as_document()
    assert shown["source"] == {"url": "http://h/db", "auth": {"basic": {"username": "ann"}, "vault": "entry"}}
    assert parse_replication(shown)[0] == kept
    assert not any(parse_replication(shown)[1].values())
    assert [kept.endpoint(side).secret for side in SIDES] == ["entry", None]


def test_credentials_are_for_one_origin() -> None:
    given = Credentials("ann", "secret", {"X-A": "1"})
    text = given.as_text("https://h:443")
    assert Credentials.from_text(text, "https://h:443") == given
    for other in ("http://h:443", "https://h:444", "https://evil:443", ""):
        assert Credentials.from_text(text, other) is None
    for broken in ("", "{", "[]", "5"):
        assert Credentials.from_text(broken, "https://h:443") is None


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_and_have_an_end(failures: int, chance: float) -> None:
    pause = retry_delay(failures, chance)
    assert 0.5 <= pause <= LONGEST_DELAY_S
    assert retry_delay(failures + 1, 0.0) >= retry_delay(failures, 0.0)
    assert retry_delay(failures, chance, 1000.0) >= 1000.0
    assert retry_delay(failures, chance, 1e9) <= 3600.0
