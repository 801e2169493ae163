-- A cache: everything in it can be had again, so the file may be deleted at any time.
CREATE TABLE entries (
    number     INTEGER PRIMARY KEY,
    space      TEXT    NOT NULL,               -- whose it is; nobody sees another's
    key        TEXT    NOT NULL,
    variant    TEXT    NOT NULL DEFAULT '',    -- several of one key, such as answers in several languages
    meta       TEXT    NOT NULL,               -- JSON
    body       BLOB    NOT NULL,
    size       INTEGER NOT NULL,               -- bytes, with the row's own
    expires_at REAL,                           -- seconds since 1970; null: never
    used       INTEGER NOT NULL,               -- counts up with every use: the lowest goes first
    UNIQUE (space, key, variant)
) STRICT;

CREATE INDEX entries_by_use ON entries (used);
CREATE INDEX entries_by_end ON entries (expires_at) WHERE expires_at IS NOT NULL;
