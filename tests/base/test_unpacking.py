"""Compressed streams: cut anywhere, in any pieces, with something behind them, far larger than they look."""

from __future__ import annotations

import gzip
import random
import zlib

import pytest

from localsrv.base.errors import BadRequest
from localsrv.base.unpacking import PIECE, Unpacker

TEXT = b"".join(b"line %d of a text\n" % n for n in range(20_000))
NOISE = random.Random(1).randbytes(70_000)


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


STREAMS = {
    "gzip": ("gzip", gzip.compress(TEXT, mtime=0), TEXT),
    "gzip of noise": ("gzip", gzip.compress(NOISE, mtime=0), NOISE),
    "gzip of nothing": ("gzip", gzip.compress(b"", mtime=0), b""),
    "several members": (
        "gzip",
        b"".join(gzip.compress(t, mtime=0) for t in (TEXT, b"", NOISE)),
        TEXT + NOISE,
    ),
    "deflate": ("deflate", zlib.compress(TEXT), TEXT),
    "bare deflate": ("deflate", bare(TEXT), TEXT),
}


def run(encoding: str, data: bytes, size: int) -> bytes:
    unpacker = Unpacker(encoding)
    made = [piece for at in range(0, len(data), size) for piece in unpacker.feed(data[at : at + size])]
    made += unpacker.close()
    assert all(len(piece) <= PIECE for piece in made)
    return b"".join(made)


@pytest.mark.parametrize("size", [1, 100, 65_536, 1 << 30])
@pytest.mark.parametrize("name", STREAMS)
def test_streams_in_pieces_of_any_size(name: str, size: int) -> None:
    encoding, packed, plain = STREAMS[name]
    assert run(encoding, packed, size) == plain


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_is_cut_is_never_whole(name: str) -> None:
    encoding, packed, _ = STREAMS[name]
    cuts = {*range(min(40, len(packed))), *range(max(0, len(packed) - 40), len(packed))}
    for cut in sorted(cuts):
        with pytest.raises(BadRequest) as refused:
            run(encoding, packed[:cut], 1 << 20)
        assert refused.value.code == "bad-encoding", cut
        assert "ends before" in refused.value.message, cut


@pytest.mark.parametrize("size", [1000, 1 << 30])
@pytest.mark.parametrize("behind", [b"x", b"\0" * 8, b"more of it" * 100], ids=["a byte", "zeros", "text"])
@pytest.mark.parametrize("name", STREAMS)
def test_what_stands_behind_a_stream_is_refused(name: str, behind: bytes, size: int) -> None:
    encoding, packed, _ = STREAMS[name]
    with pytest.raises(BadRequest, match=r"behind the end|ends before") as refused:
        run(encoding, packed + behind, size)
    assert refused.value.code == "bad-encoding"


@pytest.mark.parametrize(("encoding", "data"), [
    ("gzip", b'[{"id":"x"}]'), ("gzip", zlib.compress(TEXT)), ("deflate", b"\xff" * 20),
    ("gzip", gzip.compress(TEXT)[:-8] + b"\0" * 8),
], ids=["JSON", "deflate", "no deflate", "another checksum"])  # fmt: skip
def test_what_is_no_such_stream(encoding: str, data: bytes) -> None:
    with pytest.raises(BadRequest, match="says that it is compressed and is no") as refused:
        run(encoding, data, 1 << 20)
    assert refused.value.details == encoding


def test_no_step_makes_more_than_a_piece() -> None:
    bomb = zlib.compress(b"\0" * (64 << 20))
    unpacker = Unpacker("deflate")
    total = 0
    for piece in unpacker.feed(bomb):
        assert len(piece) <= PIECE
        total += len(piece)
    assert total + sum(map(len, unpacker.close())) == 64 << 20
