"""One side of a replication: a database here (`LocalPeer`) or elsewhere (`outbound.CouchPeer`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from localsrv.model.checkpoints import Sequence_
from localsrv.model.exchange import HasAttachments, Information, Page, Revision, Wanted, Written


class Peer(HasAttachments, Protocol):
    """What a run needs of a side. Every method may raise LocalsrvError.

    `label` names it to people, `peer_id` in change feeds and marks; neither holds a secret. `moved` counts
    bytes of documents.
    """

    @property
    def label(self) -> str: ...
    @property
    def peer_id(self) -> str: ...
    @property
    def is_local(self) -> bool: ...
    @property
    def moved(self) -> int: ...

    async def information(self) -> Information:
        """Raises NotFound or `outbound.errors.PeerMissing` when there is no such database."""

    async def create(self) -> None:
        """Makes the database; that it exists already is fine."""

    async def checkpoint(self, name: str) -> dict[str, Any] | None:
        """A local document, or None."""

    async def record(self, name: str, document: Mapping[str, Any]) -> None:
        """Writes a local document over what is there."""

    def expect(self, missing: int, checked: int) -> None:
        """Told after each page how much of it the target lacked."""

    async def page(self, since: Sequence_, *, wait: bool) -> Page:
        """The changes after `since`. With `wait`, returns when there are some."""

    async def fetch(self, wanted: Sequence[Wanted]) -> list[Revision]:
        """Revisions with history and stubs; what is no longer there is left out."""

    async def missing(self, asked: Mapping[str, Sequence[str]]) -> dict[str, Wanted]:
        """Of these leaves, those that are not here."""

    async def write(self, revisions: Sequence[Revision], source: Peer) -> Written:
        """Stores revisions under the ids they have."""

    async def mark(self, peer_id: str, revisions: Iterable[tuple[str, str]]) -> None:
        """Remembers `(id, rev)` that the other side surely has."""

    async def close(self) -> None: ...
