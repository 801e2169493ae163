"""Sequence tokens of one database: `<number>-<epoch>-<collection>`.

Numbers are the app's file's, shared by all its collections; a token counts from the one at which its database
was made, since clients take what stands before the dash for a count of changes (PouchDB's progress does).

So that a token of another database, or of one that was deleted and made again, is noticed, it names its
collection. As CouchDB does with tokens of shards that it does not have, such a token stands for the start:
the client gets everything again and misses nothing. The same holds for tokens from before a restore (another
epoch), and for numbers that were never given.
"""

from __future__ import annotations

from localsrv.store.catalog import BEGIN, newest_change
from localsrv.store.database import Database
from localsrv.web.couch.errors import CouchError


def token_of(db: Database, name: str, number: int) -> str:
    """The token that clients see."""
    return f"{count_of(db, name, number)}-{db.epoch}{ending_of(db.collection(name).number)}"


def count_of(db: Database, name: str, number: int) -> int:
    """What a token shows of a number: how many there were since the database was made."""
    return max(0, number - begin_of(db, name))


def begin_of(db: Database, name: str) -> int:
    """The number at which the database was made; 0 for one that was made with its app."""
    begin: int = db.setting(name, BEGIN, 0)
    return begin


def ending_of(collection: int) -> str:
    """What the tokens of a database have behind the number and the epoch."""
    return f"-{collection:x}"


def number_of(db: Database, name: str, token: str) -> int:
    """The number that a token stands for; 0, the beginning, when it is not one of this database.

    A bare number is taken as what a token would show.

    Raises:
        CouchError: no token at all.
    """
    text = token.strip('"')
    if not text:
        return 0
    digits, dash, rest = text.partition("-")
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 18:
        raise CouchError(400, "bad_request", "Malformed sequence supplied in 'since' parameter.")
    epoch, _, collection = rest.partition("-")
    # The app's own feed, and the replicator inside, write tokens without a collection.
    if dash and (epoch != db.epoch or collection not in ("", f"{db.collection(name).number:x}")):
        return 0
    number = int(digits)
    if number and (collection or not dash):
        number += begin_of(db, name)
    return number if number <= db.last_seq else 0


async def newest_seq(db: Database, name: str) -> int:
    """The number of a collection's latest change that `db.last_seq` knows, its design documents' included."""
    state = db.collection(name)
    found = await db.read(lambda connection: max(newest_change(connection, part) for part in state.parts))
    return min(found, db.last_seq)
