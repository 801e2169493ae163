-- How replications fare. What they are is told by the documents of each app's `_replicator` database, and
-- nowhere else; the secrets they need are in the keyring. A row here says that there may be such a document,
-- so that a start need not open the files of apps that replicate nothing.

-- Times are seconds since 1970.
CREATE TABLE replications (
    app         TEXT    NOT NULL,
    document    TEXT    NOT NULL,               -- its id in `_replicator`
    revision    TEXT,                           -- the one that `state` is about
    state       TEXT    NOT NULL,               -- CouchDB's words, as `_scheduler/docs` tells them
    is_paused   INTEGER NOT NULL DEFAULT 0,     -- by the person; CouchDB has no word for it
    errors      INTEGER NOT NULL DEFAULT 0,     -- in a row
    info        TEXT    NOT NULL DEFAULT '{}',  -- JSON: the counts, or `{"error": …}`
    started_at  INTEGER,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (app, document)
) STRICT, WITHOUT ROWID;

-- What happened, the newest of each replication: `localsrv sync log`.
CREATE TABLE replication_log (
    number   INTEGER PRIMARY KEY,
    app      TEXT    NOT NULL,
    document TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    kind     TEXT    NOT NULL,                  -- `started`, `crashed`, `completed`, `refused`, …
    text     TEXT    NOT NULL
) STRICT;

CREATE INDEX replication_log_of ON replication_log (app, document, number);
