"""Bodies of answers, spliced from the JSON texts that the store keeps.

A stored body is the text of a JSON object without the fields that begin with `_`; CouchDB's own fields are
put in front of it, or behind, as text. Nothing is parsed on the way.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from aiohttp import hdrs, web
from multidict import CIMultiDict

from localsrv.store.reading import AttachmentInfo, Document
from localsrv.web.couch.errors import JSON


def text_of(value: Any) -> str:
    """A value as JSON text."""
    return orjson.dumps(value).decode()


def document_text(
    document: Document,
    *,
    attachments: str | None = None,
    fields: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: str | None = None,
) -> str:
    """A revision as CouchDB shows it.

    `attachments` is the JSON text of `_attachments`, stubs of all unless given; `fields` are further fields
    that begin with `_` (`_revisions`, `_conflicts`, …) with their JSON texts; `body` stands in for the
    document's own. A forgotten body is shown as an empty one.
    """
    text = (document.body if body is None else body) or "{}"
    head = f'{{"_id":{text_of(document.id)},"_rev":"{document.rev}"'
    if document.deleted:
        head += ',"_deleted":true'
    if attachments is None and document.attachments:
        attachments = attachments_text(document.attachments)
    tail = ""
    if attachments is not None:
        tail += f',"_attachments":{attachments}'
    for name, value in fields.items() if isinstance(fields, Mapping) else fields:
        tail += f',"{name}":{value}'
    if len(text) > 2:  # "{}" is what an empty body is stored as
        return f"{head},{text[1:-1]}{tail}}}"
    return f"{head}{tail}}}"


def attachments_text(infos: Iterable[AttachmentInfo]) -> str:
    """`_attachments` of stubs."""
    return "{" + ",".join(f"{text_of(info.name)}:{stub_text(info)}" for info in infos) + "}"


def stub_text(info: AttachmentInfo) -> str:
    """One attachment without its content."""
    return (
        f'{{"content_type":{text_of(info.content_type)},"revpos":{info.revpos},'
        f'"digest":"{digest_of(info)}","length":{info.length},"stub":true}}'
    )


def digest_of(info: AttachmentInfo) -> str:
    """`md5-…` as CouchDB writes it: base64 of the MD5 of the identity bytes."""
    return "md5-" + base64.b64encode(info.md5).decode()


def etag_of(revision: str) -> str:
    return f'"{revision}"'


def json_answer(
    body: bytes | str | Mapping[str, Any] | list[Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """An answer of JSON; a text or bytes are JSON already."""
    if isinstance(body, str):
        body = body.encode()
    elif not isinstance(body, bytes):
        body = orjson.dumps(body)
    fields: CIMultiDict[str] = CIMultiDict(headers or ())
    fields[hdrs.CONTENT_TYPE] = JSON
    fields.setdefault(hdrs.CACHE_CONTROL, "must-revalidate")
    return web.Response(status=status, body=body + b"\n", headers=fields)
