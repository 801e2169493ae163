"""Messages between the server and its JavaScript child: a length, a kind, and text.

Requests are `operation\\noptions\\nbody`: what to do, a JSON object on one line, and whatever the operation
takes. Answers are of three kinds: `PART` (results so far, a JSON array; more follow), `LAST` (the answer, a
JSON object) and `BROKEN` (the engine itself failed; the child ends after it).
"""

from __future__ import annotations

import struct

HEADER = struct.Struct(">IB")

REQUEST, PART, LAST, BROKEN = range(4)

START_OVER = "start"
"""The operation that throws the context away: a fresh one knows nothing of whoever was there before."""

MAX_FRAME = 64 << 20
"""Bytes. What claims to be longer comes from a child that is not to be trusted any further."""


def frame(kind: int, body: bytes) -> bytes:
    return HEADER.pack(len(body), kind) + body
