-- What the sync face adds: local documents, settings of a database, sources that span many changes.
--
-- Design documents are no rows of their collection. They lie in a hidden collection named
-- `localsrv_design_<number of the collection>`, made with the first of them, of the same form as any other.

-- Documents that are never replicated and have no history; replicators keep their checkpoints in them.
CREATE TABLE localsrv_local (
    collection INTEGER NOT NULL,
    id         TEXT NOT NULL,       -- without `_local/`
    rev        INTEGER NOT NULL,    -- clients see `0-<rev>`
    body       TEXT NOT NULL,
    PRIMARY KEY (collection, id)
) STRICT, WITHOUT ROWID;

-- Settings of one database, such as `security` and `revs_limit`, as JSON.
CREATE TABLE localsrv_settings (
    collection INTEGER NOT NULL,
    key        TEXT NOT NULL,
    value      TEXT NOT NULL,
    PRIMARY KEY (collection, key)
) STRICT, WITHOUT ROWID;

-- A replicated batch is thousands of changes with one source: one row for all of them.
ALTER TABLE localsrv_sources ADD COLUMN last INTEGER NOT NULL DEFAULT 0;  -- the last of its changes
UPDATE localsrv_sources SET last = seq;
