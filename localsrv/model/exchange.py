"""What two stores hand each other when they replicate: rows of a change feed, revisions, refusals.

A revision's body is kept as it came, JSON text or parsed, and made into the other only when somebody needs
it: a pull needs the fields, a push the text, and a hundred thousand documents should not pay for both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from localsrv.model.checkpoints import Sequence_
from localsrv.model.revisions import parse_revision, revisions_path

PAGE_BYTES = 4 << 20
"""What one page of a feed, or one write, should take."""

LEAST_ROWS, FIRST_ROWS, MOST_ROWS = 10, 200, 2000


@dataclass(slots=True)
class Stub:
    """An attachment without its bytes. `md5` is as the peer tells it, base64: of the identity bytes, or of
    the compressed ones where CouchDB keeps those. `is_exact`: surely of the identity bytes."""

    name: str
    content_type: str
    length: int
    md5: str
    revpos: int
    is_exact: bool = False


class Revision:
    """One revision of a document. `path` is itself and its ancestors, newest first.

    `since` is the newest generation of them that the target has: attachments that old need not be sent.
    `known_text` is the body as JSON if it came so, or was made already.
    """

    __slots__ = ("_fields", "attachments", "deleted", "id", "known_text", "path", "since")

    def __init__(
        self,
        document_id: str,
        path: Sequence[str],
        *,
        deleted: bool = False,
        text: str | None = None,
        fields: dict[str, Any] | None = None,
        attachments: tuple[Stub, ...] = (),
    ) -> None:
        """Either `text` (a JSON object) or `fields`, without members that begin with `_`."""
        self.id = document_id
        self.path = path
        self.deleted = deleted
        self.attachments = attachments
        self.since = 0
        self.known_text = text
        self._fields = fields

    @property
    def rev(self) -> str:
        return self.path[0]

    @property
    def fields(self) -> dict[str, Any]:
        if self._fields is None:
            parsed = orjson.loads(self.known_text or "{}")
            assert isinstance(parsed, dict)
            self._fields = parsed
        return self._fields

    @property
    def is_json(self) -> bool:
        """Whether it can be told on: not with an `InexactNumber` in it, or nested beyond reading."""
        if self.known_text is None:
            try:
                self.known_text = orjson.dumps(self._fields).decode()
            except orjson.JSONEncodeError:
                return False
        return True

    @property
    def text(self) -> str:
        if self.known_text is None:
            self.known_text = orjson.dumps(self._fields).decode()
        return self.known_text

    def full_text(self, attachments: str = "") -> str:
        """The document as `_bulk_docs` takes it with `new_edits=false`. `attachments` is its `_attachments`
        as JSON text."""
        start = parse_revision(self.path[0])[0]
        ids = ",".join(_quoted(rev.partition("-")[2]) for rev in self.path)
        history = f'{{"start":{start},"ids":[{ids}]}}'
        head = f'{{"_id":{_quoted(self.id)},"_rev":{_quoted(self.rev)},"_revisions":{history}'
        head += ',"_deleted":true' * self.deleted
        if attachments:
            head += f',"_attachments":{attachments}'
        rest = self.text.lstrip()[1:]
        return head + ("}" if rest.lstrip().startswith("}") else "," + rest)


@dataclass(slots=True)
class Row:
    """One row of a change feed: the leaves, winner first. `revision` when it is the only leaf and came whole.

    `source` says where a change here came from; None for what another peer tells.
    """

    id: str
    revs: tuple[str, ...]
    deleted: bool
    revision: Revision | None = None
    source: str | None = None


@dataclass(slots=True)
class Page:
    """Rows of a feed in its order. `last_seq` is where to go on, `pending` how many follow if that is known.

    `is_end`: the feed had no more at that time. `read` gives the `count` rows, once: to make them of what a
    peer sent takes a while, and the peer can be at the next page meanwhile.
    """

    count: int
    read: Callable[[], list[Row]]
    last_seq: Sequence_
    pending: int | None
    is_end: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """Leaves to fetch. `ancestors`: revisions that the target has already."""

    id: str
    revs: tuple[str, ...]
    ancestors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A document that a target does not take, now or later. `error` and `reason` are its words."""

    id: str
    rev: str
    error: str
    reason: str


@dataclass(frozen=True, slots=True)
class Information:
    """What a database tells of itself. `is_empty`: it never held a document, or surely holds none now."""

    update_seq: Sequence_
    is_empty: bool


@dataclass(slots=True)
class Written:
    """How a write went. `gone`: revisions whose attachments the source no longer has."""

    refused: list[Refusal] = field(default_factory=list)
    gone: list[Revision] = field(default_factory=list)

    def add(self, other: Written) -> None:
        self.refused += other.refused
        self.gone += other.gone


class HasAttachments(Protocol):
    """Who opens the bytes of a revision's attachments."""

    def attachment(
        self, revision: Revision, stub: Stub
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]: ...


class PageSize:
    """How many rows to ask for, so that a page takes about `PAGE_BYTES`."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows = FIRST_ROWS

    def saw(self, rows: int, size: int) -> None:
        """Learns from a page. Grows fourfold at most: the next documents may be larger ones."""
        if rows:
            fitting = PAGE_BYTES * rows // max(size, 1)
            self.rows = max(LEAST_ROWS, min(fitting, self.rows * 4, MOST_ROWS))


def parsed_revision(document: dict[str, Any]) -> Revision:
    """A document as a peer tells it, with `_revisions` or of the first generation.

    It is taken apart: what is left of it are the revision's fields.

    Raises:
        ValueError, KeyError, TypeError, AttributeError, InvalidValue: it is none.
    """
    document_id, rev = document.pop("_id"), document.pop("_rev")
    if not isinstance(document_id, str) or not document_id:
        raise TypeError("_id")
    generation, _ = parse_revision(rev)
    history = document.pop("_revisions", None)
    path: Sequence[str] = (rev,)
    if history is not None:
        path = revisions_path(int(history["start"]), history["ids"])
        if not path or path[0] != rev or len(path) > generation:
            raise ValueError("_revisions")
    attached = document.pop("_attachments", None)
    stubs = tuple(_stubs(attached, generation)) if attached else ()
    deleted = document.pop("_deleted", False) is True
    if "_" in "".join(document):  # a quick look before the exact one
        for name in [name for name in document if name[:1] == "_"]:
            del document[name]
    return Revision(document_id, path, deleted=deleted, fields=document, attachments=stubs)


def _stubs(told: Mapping[str, Any], generation: int) -> Iterator[Stub]:
    for name, one in told.items():
        yield Stub(
            name=name,
            content_type=str(one.get("content_type", "application/octet-stream")),
            length=int(one["length"]),
            md5=str(one.get("digest", "")).removeprefix("md5-"),
            revpos=int(one.get("revpos", generation)),
        )


def has_whole_history(document: dict[str, Any], revs: Sequence[str]) -> bool:
    """Whether a feed's document is the only leaf, with every ancestor, and without attachments."""
    rev = document.get("_rev")
    return (
        len(revs) == 1
        and rev == revs[0]
        and (rev.startswith("1-") or "_revisions" in document)
        and not document.get("_attachments")
    )


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()
