"""What a document's `_attachments` say: each is a stub, follows in a multipart body, or is there in base64.

Source: CouchDB's `couch_att.erl`, `from_json`. A digest is that of the bytes as they travel: where `encoding`
is gzip, of the compressed ones. CouchDB shows such an attachment inline uncompressed, with the digest of the
compressed bytes beside it; that digest proves nothing about what is there, and is passed over.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from localsrv.web.couch.errors import CouchError

DEFAULT_TYPE = "application/octet-stream"
GZIP_MAGIC = b"\x1f\x8b"

_WHITE = re.compile(r"\s+")
_COMPRESSIBLE = re.compile(r"text/|application/(?:javascript|json|xml)\b", re.IGNORECASE)
"""What CouchDB compresses unless told otherwise (its setting `compressible_types`)."""


class Kind(Enum):
    """How an attachment's bytes come."""

    STUB, FOLLOWS, INLINE = range(3)


@dataclass(frozen=True, slots=True)
class Enclosure:
    """One member of `_attachments`.

    `sent_length` and `digest` (an MD5) are of the bytes as they travel, `length` of the attachment itself;
    each is None when not given. `data` is base64.
    """

    name: str
    kind: Kind
    content_type: str = DEFAULT_TYPE
    revpos: int | None = None
    length: int | None = None
    sent_length: int | None = None
    digest: bytes | None = None
    is_gzip: bool = False
    data: str = ""

    def content(self, *, is_replicated: bool) -> tuple[bytes, bool]:
        """An inline attachment's bytes as they were sent, and whether they are compressed.

        `is_replicated` says that the revision was made elsewhere.

        Raises:
            CouchError: no base64, or bytes that its digest is not of.
        """
        raw = decoded(self.name, self.data)
        compressed = self.is_gzip and raw.startswith(GZIP_MAGIC)
        # `revpos` in an edit made here says that the member was fetched and its data changed since.
        is_left_over = self.revpos is not None and not is_replicated
        if self.digest is None or is_left_over or (self.is_gzip and not compressed):
            return raw, compressed
        if md5(raw) != self.digest and not (is_replicated and _COMPRESSIBLE.match(self.content_type)):
            # A replicated one may have come from a CouchDB that keeps it compressed, without saying so.
            raise mismatch()
        return raw, compressed


def enclosures(given: Mapping[str, Any]) -> list[Enclosure]:
    """The members of `_attachments`, in their order.

    Raises:
        CouchError: a name or a member that cannot be one.
    """
    return [_enclosure(name, member) for name, member in given.items()]


def check_name(name: str) -> str:
    """The name of an attachment. Raises CouchError for one that begins with `_`, or is empty."""
    if name.startswith("_"):
        reason = f"Attachment name '{name[:200]}' starts with prohibited character '_'"
        raise CouchError(400, "bad_request", reason)
    if not name or "\0" in name or len(name.encode("utf-8", "replace")) > 1000:
        reason = "Attachment name must have 1 to 1,000 bytes and no NUL"
        raise CouchError(400, "bad_request", reason)
    return name


def _enclosure(name: str, member: Any) -> Enclosure:
    check_name(name)
    if not isinstance(member, dict):
        raise CouchError(400, "bad_request", f"Attachment `{name[:200]}` must be a JSON object")
    content_type = member.get("content_type", DEFAULT_TYPE)
    if not isinstance(content_type, str) or not is_header_text(content_type):
        raise CouchError(400, "bad_request", f"Invalid content_type of attachment `{name[:200]}`")
    revpos, length = _count(name, member, "revpos"), _count(name, member, "length")
    encoding = member.get("encoding")
    if encoding not in (None, "gzip", "identity"):
        raise CouchError(415, "bad_content_type", "Only gzip and identity content-encodings are supported")
    is_gzip = encoding == "gzip"
    encoded = _count(name, member, "encoded_length") if is_gzip else None
    data = member.get("data")
    kind, text = Kind.INLINE, data if isinstance(data, str) else ""
    if member.get("stub") is True:
        kind = Kind.STUB
    elif member.get("follows") is True:
        kind = Kind.FOLLOWS
    elif not isinstance(data, str):
        raise _bad_data(name)
    return Enclosure(
        name,
        kind,
        content_type or DEFAULT_TYPE,
        revpos,
        length,
        encoded if encoded is not None else None if is_gzip else length,
        # A stub's digest may be that of a form in which another server keeps it.
        None if kind is Kind.STUB else digest_in(member.get("digest")),
        is_gzip,
        text if kind is Kind.INLINE else "",
    )


def is_header_text(text: str) -> bool:
    """Whether a text can be sent as a header again."""
    return len(text) <= 1000 and text.isprintable()


def _count(name: str, member: Mapping[str, Any], key: str) -> int | None:
    value = member.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise CouchError(400, "bad_request", f"Invalid {key} of attachment `{name[:200]}`")
    return value


def digest_in(value: Any) -> bytes | None:
    """The MD5 in `md5-<base64>`; None when there is none, or one of another kind.

    Raises:
        CouchError: it says md5 and is none.
    """
    if not isinstance(value, str) or not value.startswith("md5-"):
        return None
    return md5_in(value[4:])


def md5_in(text: str) -> bytes:
    """An MD5 in base64. Raises CouchError."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 16:
        raise CouchError(400, "bad_request", "Invalid MD5 digest")
    return raw


def decoded(name: str, data: str) -> bytes:
    """Base64 as CouchDB reads it, white space passed over. Raises CouchError."""
    for text in (data, _WHITE.sub("", data)):
        try:
            if len(text) % 4 == 0:  # what is behind the filling is passed over otherwise
                return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
        except (binascii.Error, ValueError):
            continue
    raise _bad_data(name)


def md5(data: bytes) -> bytes:
    """The MD5 of bytes at hand."""
    return hashlib.md5(data, usedforsecurity=False).digest()


def _bad_data(name: str) -> CouchError:
    return CouchError(400, "bad_request", f"Invalid attachment data for {name[:200]}")


def mismatch() -> CouchError:
    """The error of bytes that are not those whose digest was given."""
    return CouchError(400, "content_md5_mismatch", "Possible message corruption.")
