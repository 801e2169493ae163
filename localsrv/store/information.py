"""What a client may ask about a database as a whole: counts and sizes."""

from __future__ import annotations

from dataclasses import dataclass

from localsrv.store import listing
from localsrv.store.open_file import OpenFile


@dataclass(frozen=True, slots=True)
class DatabaseInformation:
    """What CouchDB tells of a database; design documents count.

    Sizes in bytes: `size_file` is the app's whole file, the others are the bodies' (above 10,000 documents
    estimated from a sample).
    `number` never stands for another database of the file, not even for one of the same name later.
    """

    name: str
    number: int
    documents: int
    deleted: int
    last_seq: int
    size_file: int
    size_active: int
    size_external: int


async def information(file: OpenFile, name: str) -> DatabaseInformation:
    """Counts and sizes of one collection with its design documents. Raises NotFound."""
    state = file.collection(name)
    newest, active = await file.read(lambda c: listing.measures(c, state))
    return DatabaseInformation(
        name=name,
        number=state.number,
        documents=sum(part.documents for part in state.parts),
        deleted=sum(part.tombstones for part in state.parts),
        last_seq=min(newest, file.committed),  # nobody is told of a number before it is known
        size_file=file.size_bytes(),
        size_active=active,
        size_external=active,
    )
