-- A grant is who may do what; a token proves it. A paired program has several tokens, which are renewed; a key
-- has one. So tokens get a table of their own, and keys that exist go on working with the token they have.

CREATE TABLE grants_new (
    id           TEXT    NOT NULL PRIMARY KEY,
    kind         TEXT    NOT NULL CHECK (kind IN ('key', 'page', 'paired', 'publishable')),
    name         TEXT    NOT NULL,
    program      TEXT,                          -- what a paired program calls itself; nothing proves it
    app          TEXT    NOT NULL,              -- an app's id, or * for all
    scopes       TEXT    NOT NULL,              -- JSON array, sorted
    origin       TEXT,                          -- the web origin that alone may use it; null: any
    public_key   TEXT,                          -- a publishable key itself, which is no secret; null for others
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,                       -- written lazily: may lag by some minutes
    expires_at   INTEGER                        -- null: never
) STRICT;

-- One row per token that was given out. The token itself is not stored, only its SHA-256: a copy of this
-- file opens nothing. Times are seconds since 1970.
CREATE TABLE tokens (
    sha256     BLOB    NOT NULL PRIMARY KEY CHECK (length(sha256) = 32),
    grant_id   TEXT    NOT NULL REFERENCES grants_new (id) ON DELETE CASCADE,
    use        TEXT    NOT NULL CHECK (use IN ('access', 'refresh')),
    generation INTEGER NOT NULL DEFAULT 0,      -- how often the grant was refreshed before; see services/tokens.py
    scopes     TEXT,                            -- JSON array, where a token may do less than its grant
    created_at INTEGER NOT NULL,
    expires_at INTEGER,                         -- null: with its grant
    spent_at   INTEGER                          -- of a refresh token: since when it counts as stolen
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_of ON tokens (grant_id, generation);

-- What a page got for a code was named after its origin; everything else is a key that the owner made.
INSERT INTO grants_new (id, kind, name, app, scopes, origin, created_at, last_used_at, expires_at)
    SELECT id,
           CASE WHEN name = 'page ' || substr(origin, instr(origin, '://') + 3) THEN 'page' ELSE 'key' END,
           name, app, scopes, origin, created_at, last_used_at, expires_at
    FROM grants;

INSERT INTO tokens (sha256, grant_id, use, created_at)
    SELECT token_sha256, id, 'access', created_at FROM grants;

DROP TABLE grants;
ALTER TABLE grants_new RENAME TO grants;
