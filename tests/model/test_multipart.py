"""Multipart bodies, whole, in pieces of every size, and broken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localsrv.base.errors import BadRequest
from localsrv.model.multipart import (
    END_OF_PART,
    MAX_HEADERS,
    MAX_PREAMBLE,
    Head,
    MultipartParser,
    boundary_of,
    parameters_of,
    part_head,
    quoted,
)

Parts = list[tuple[dict[str, str], bytes]]


def parse(body: bytes, boundary: str = "abc", piece: int | None = None) -> Parts:
    """All parts of a body that arrives in pieces of `piece` bytes."""
    parser, parts = MultipartParser(boundary), Parts()
    ended = True
    size = piece or max(1, len(body))
    for at in range(0, len(body), size):
        for event in parser.feed(body[at : at + size]):
            if isinstance(event, Head):
                assert ended, "a part began within another"
                parts.append((dict(event.headers), b""))
                ended = False
            elif event is END_OF_PART:
                ended = True
            else:
                assert isinstance(event, bytes) and not ended
                headers, content = parts[-1]
                parts[-1] = (headers, content + event)
    parser.close()
    assert ended
    return parts


WHOLE: list[tuple[str, bytes, Parts]] = [
    ("one part", b"--abc\r\nA: b\r\n\r\nhi\r\n--abc--", [({"a": "b"}, b"hi")]),
    ("no headers", b"--abc\r\n\r\nhi\r\n--abc--", [({}, b"hi")]),
    ("an epilogue on the closing line", b"--abc\r\n\r\nhi\r\n--abc--epilogue", [({}, b"hi")]),
    ("preamble and epilogue",
     b"pre\r\namble\r\n--abc\r\n\r\nhi\r\n--abc--\r\nepi\r\n--abc\r\n\r\nx", [({}, b"hi")]),
    ("white space behind a boundary", b"--abc \t \r\n\r\nhi\r\n--abc--", [({}, b"hi")]),
    ("empty parts", b"--abc\r\n\r\n\r\n--abc\r\nA: b\r\n\r\n\r\n--abc--", [({}, b""), ({"a": "b"}, b"")]),
    ("an empty part that shares its line end", b"--abc\r\nA: b\r\n\r\n--abc--", [({"a": "b"}, b"")]),
    ("a folded header", b"--abc\r\nA: b;\r\n  c=d\r\n\r\nhi\r\n--abc--", [({"a": "b; c=d"}, b"hi")]),
    ("an umlaut in a header", "--abc\r\nA: ü\r\n\r\nhi\r\n--abc--".encode(), [({"a": "ü"}, b"hi")]),
    ("almost a boundary", b"--abc\r\n\r\n\r\n--abd\r\n--ab\r\n--abc--", [({}, b"\r\n--abd\r\n--ab")]),
    ("a longer boundary is content", b"--abc\r\n\r\n\r\n--abcd\r\n\r\n--abc--", [({}, b"\r\n--abcd\r\n")]),
    ("a boundary within a line is content", b"--abc\r\n\r\nx--abc\r\ny\r\n--abc--", [({}, b"x--abc\r\ny")]),
    ("a boundary behind a bare LF is content",
     b"--abc\r\n\r\nx\n--abc\r\ny\r\n--abc--", [({}, b"x\n--abc\r\ny")]),
    ("one hyphen behind it is content", b"--abc\r\n\r\n\r\n--abc-\r\n--abc--", [({}, b"\r\n--abc-")]),
    ("line ends as content", b"--abc\r\n\r\n\r\n\r\n\r\n\r\n--abc--", [({}, b"\r\n\r\n\r\n")]),
    ("no parts at all", b"--abc--", []),
]  # fmt: skip


@pytest.mark.parametrize(("body", "parts"), [case[1:] for case in WHOLE], ids=[case[0] for case in WHOLE])
@pytest.mark.parametrize("piece", [None, 1, 2, 3, 5, 7, 11])
def test_parts(body: bytes, parts: Parts, piece: int | None) -> None:
    assert parse(body, piece=piece) == parts


BROKEN: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "does not occur"),
    ("another boundary", b"--xyz\r\n\r\nhi\r\n--xyz--", "does not occur"),
    ("no end", b"--abc\r\n\r\nhi", "before its closing boundary"),
    ("half an end", b"--abc\r\n\r\nhi\r\n--abc-", "before its closing boundary"),
    ("no end of the headers", b"--abc\r\nA: b\r\n", "before its closing boundary"),
    ("a header without colon", b"--abc\r\nAb\r\n\r\nhi\r\n--abc--", "without a colon"),
    ("endless headers", b"--abc\r\nA: " + b"x" * MAX_HEADERS, "longer than"),
    ("a long preamble", b"x" * (MAX_PREAMBLE + 100) + b"\r\n--abc\r\n\r\nhi\r\n--abc--", "does not occur"),
]


@pytest.mark.parametrize(("body", "says"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
@pytest.mark.parametrize("piece", [None, 1, 1000])
def test_broken_bodies(body: bytes, says: str, piece: int | None) -> None:
    with pytest.raises(BadRequest, match=says) as caught:
        parse(body, piece=piece)
    assert caught.value.code == "malformed-multipart"


@given(
    contents=st.lists(st.binary(max_size=60), max_size=4),
    piece=st.integers(1, 50),
    boundary=st.sampled_from(["a", "--", "-", "abc=_'", "x" * 70]),
)
def test_every_content_comes_back(contents: list[bytes], piece: int, boundary: str) -> None:
    delimiter = b"--" + boundary.encode()
    contents = [c for c in contents if delimiter not in b"\r\n" + c]
    body = b"".join(b"\r\n" + delimiter + part_head({"N": str(n)}) + c for n, c in enumerate(contents))
    body = (body + b"\r\n" + delimiter + b"--")[2:]
    assert parse(body, boundary, piece) == [({"n": str(n)}, c) for n, c in enumerate(contents)]


def test_content_is_not_gathered() -> None:
    parser = MultipartParser("abc")
    list(parser.feed(b"--abc\r\n\r\n"))
    piece = b"\r\n--ab" * 10_000
    for _ in range(5):
        given_out = sum(len(event) for event in parser.feed(piece) if isinstance(event, bytes))
        assert given_out > len(piece) - 20


CONTENT_TYPES = [
    ("multipart/related; boundary=abc", "abc"),
    ('multipart/related;boundary="abc"', "abc"),
    ('multipart/related; type="application/json"; Boundary = "a b;c"', "a b;c"),
    ("multipart/related; boundary=--a=b--; x=y", "--a=b--"),
    (r'multipart/related; boundary="a\"b"', 'a"b'),
]


@pytest.mark.parametrize(("header", "boundary"), CONTENT_TYPES)
def test_boundaries(header: str, boundary: str) -> None:
    assert boundary_of(header) == boundary


@pytest.mark.parametrize(
    "header",
    ["multipart/related", "multipart/related; boundary=", 'multipart/related; boundary=""',
     "multipart/related; boundary=" + "x" * 300, "multipart/related; boundary=ü", "boundary=abc"],
)  # fmt: skip
def test_boundaries_that_are_none(header: str) -> None:
    with pytest.raises(BadRequest, match="oundary") as caught:
        boundary_of(header)
    assert caught.value.code == "malformed-multipart"


def test_what_is_quoted_is_read_again() -> None:
    name = 'a"b\\c;d.txt'
    assert parameters_of(f"attachment; filename={quoted(name)}") == {"filename": name}


def test_no_value_begins_a_header() -> None:
    assert part_head({"A": "b\r\nEvil: c"}) == b"\r\nA: b  Evil: c\r\n\r\n"
