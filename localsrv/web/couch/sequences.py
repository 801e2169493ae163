"""Sequence tokens of one database: `<number>-<epoch>-<collection>`.

Numbers are the app's file's, shared by all its collections. So that a token of another database, or of one
that was deleted and made again, is noticed, it names its collection. As CouchDB does with tokens of shards
that it does not have, such a token stands for the beginning: the client gets everything again and misses
nothing. The same holds for tokens from before a restore (another epoch), and for numbers that were never
given.
"""

from __future__ import annotations

from localsrv.base.errors import BadRequest
from localsrv.store.changes import EpochChanged
from localsrv.store.database import Database
from localsrv.web.couch.errors import CouchError


def token_of(db: Database, name: str, number: int) -> str:
    """The token that clients see."""
    return f"{db.encode_seq(number)}{ending_of(db, name)}"


def ending_of(db: Database, name: str) -> str:
    """What the tokens of a database have behind the number and the epoch."""
    return f"-{db.collection(name).number:x}"


def number_of(db: Database, name: str, token: str) -> int:
    """The number that a token stands for; 0, the beginning, when it is not one of this database.

    A bare number is taken as it is.

    Raises:
        CouchError: no token at all.
    """
    text = token.strip('"')
    if text in ("", "0"):
        return 0
    if text.isascii() and text.isdecimal() and len(text) <= 18:
        number = int(text)
    else:
        head, _, collection = text.rpartition("-")
        if head.count("-") != 1:
            head, collection = text, ""  # without a collection, as the app's own feed writes them
        elif collection != f"{db.collection(name).number:x}":
            return 0
        try:
            number = db.decode_seq(head)
        except EpochChanged:
            return 0
        except BadRequest:
            reason = "Malformed sequence supplied in 'since' parameter."
            raise CouchError(400, "bad_request", reason) from None
    return number if number <= db.last_seq else 0
