"""model/integration_paths.py: no reading of a path climbs out of the base or around a pattern."""

from __future__ import annotations

import pytest

from localsrv.base.errors import BadRequest, Forbidden, InvalidValue
from localsrv.model.integration_paths import checked_pattern, normal_path, normal_query, require_allowed


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("", ""),
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/", "/a/"),
        ("/%61", "/a"),
        ("/a%20b", "/a%20b"),
        ("/ü", "/%C3%BC"),
        ("/%c3%bc", "/%C3%BC"),
        ("/group%2Fproject", "/group%2Fproject"),
        ("/a;v=1", "/a;v=1"),
        ("/50%25", "/50%25"),
        ("/x:y@z", "/x:y@z"),
        ("/a,b", "/a,b"),
        ("/...", "/..."),
    ],
)
def test_one_spelling(raw: str, normal: str) -> None:
    assert normal_path(raw) == normal
    assert normal_path(normal) == normal


@pytest.mark.parametrize(
    "raw",
    [
        "/..",
        "/../x",
        "/a/../b",
        "/.",
        "/a/./b",
        "/%2e%2e/x",
        "/%2E./x",
        "/.%2e",
        "/a%2F..%2Fb",
        "/a%2f%2e%2e",
        "//x",
        "/a//b",
        "/a%2F%2Fb",
        "/%2Fx",
        "/a%2F",
        "/..;/x",
        "/..;a=b/x",
        "/%2e%2e%3b/x",
        "/a%5c..%5cb",
        "/a\\b",
        "/%252e%252e/x",
        "/%25252e%25252e",
        "/%252F..",
        "/a%00b",
        "/a%0d%0aX:y",
        "/%250d%250a",
        "/%ff",
        "/ ..",
        "/%20..",
        "x",
        "http://other/x",
        "/" + "a" * 9000,
    ],
)
def test_what_climbs_in_any_reading_is_refused(raw: str) -> None:
    with pytest.raises(BadRequest) as caught:
        normal_path(raw)
    assert caught.value.code == "bad-path"


@pytest.mark.parametrize(
    ("patterns", "path", "is_allowed"),
    [
        (["/**"], "", True),
        (["/**"], "/", True),
        (["/**"], "/a/b/c", True),
        (["/v1/items"], "/v1/items", True),
        (["/v1/items"], "/v1/items/", False),
        (["/v1/items"], "/v1/Items", False),
        (["/v1/items/*"], "/v1/items/7", True),
        (["/v1/items/*"], "/v1/items", False),
        (["/v1/items/*"], "/v1/items/", False),
        (["/v1/items/*"], "/v1/items/7/delete", False),
        (["/v1/items/*"], "/v1/items/7%2Fdelete", False),
        (["/v1/**"], "/v1", True),
        (["/v1/**"], "/v1/a%2Fb", True),
        (["/v1/**"], "/v2", False),
        (["/v1/**"], "/v1x", False),
        (["/a", "/x/*/y"], "/x/1/y", True),
        (["/"], "", True),
        (["/"], "/", True),
        (["/v1"], "/v1", True),
    ],
)
def test_patterns(patterns: list[str], path: str, is_allowed: bool) -> None:
    if is_allowed:
        require_allowed(path, patterns)
    else:
        with pytest.raises(Forbidden) as caught:
            require_allowed(path, patterns)
        assert caught.value.code == "integration-path-refused"


@pytest.mark.parametrize(
    "pattern", ["", "a", "/a//b", "/**/a", "/a*", "/..", "/a/./b", "/a b", "/%41", "/a?b", "/ü"]
)
def test_patterns_that_are_none(pattern: str) -> None:
    with pytest.raises(InvalidValue):
        checked_pattern(pattern)


@pytest.mark.parametrize(
    ("raw", "without", "sent"),
    [
        ("", None, ""),
        ("a=1&b=%20", None, "a=1&b=%20"),
        ("a=ü", None, "a=%C3%BC"),
        ("a=b c\r\nX: y", None, "a=b%20c%0D%0AX:%20y"),
        ("a=1&key=mine&b=2", "key", "a=1&b=2"),
        ("KEY=mine&k%65y=mine&a=1", "key", "a=1"),
        ("a=1;key=mine&b=2", "key", "b=2"),
        ("key", "key", ""),
        ("keys=1", "key", "keys=1"),
    ],
)
def test_queries(raw: str, without: str | None, sent: str) -> None:
    assert normal_query(raw, without) == sent
