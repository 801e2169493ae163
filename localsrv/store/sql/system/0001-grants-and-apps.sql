-- The server's own file: who may ask (grants) and which apps there are. Documents are never in it.

-- One row per token that was given out. The token itself is not stored, only its SHA-256: a copy of this
-- file opens nothing. Times are seconds since 1970.
CREATE TABLE grants (
    id           TEXT    NOT NULL PRIMARY KEY,
    token_sha256 BLOB    NOT NULL UNIQUE CHECK (length(token_sha256) = 32),
    name         TEXT    NOT NULL,
    app          TEXT    NOT NULL,              -- an app's id, or * for all
    scopes       TEXT    NOT NULL,              -- JSON array, sorted
    origin       TEXT,                          -- the web origin that alone may use it; null: any
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,                       -- written lazily: may lag by some minutes
    expires_at   INTEGER                        -- null: never
) STRICT;

-- One row per app. The manifest itself lies in the app's folder; this says that it is installed.
CREATE TABLE apps (
    id         TEXT    NOT NULL PRIMARY KEY,
    title      TEXT,
    version    TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
