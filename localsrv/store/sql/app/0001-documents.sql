-- The system tables of an app's file. Beside them every collection has a table of its own, named after
-- it, with one row per live document (the winner of its revision tree):
--
--   _row   INTEGER PRIMARY KEY   stable number of the row; the full-text index refers to it
--   _id    TEXT UNIQUE           the document's id
--   _rev   TEXT                  the winning revision
--   _seq   INTEGER               the change that made it
--   _body  TEXT                  the document as JSON text, without _id, _rev and attachments
--   …                            an ordinary column for each declared field, written from the winner
--
-- A document with a single revision is that row and nothing else, so creating one writes one row.

-- Facts about the file: `epoch` (changed by restore and recovery, part of every sequence token) and
-- `seq_floor` (no sequence at or below it is given again, even when what it stood for was dropped).
CREATE TABLE localsrv_meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What each collection declares (JSON, the form of the admin API). `number` stands for it elsewhere.
CREATE TABLE localsrv_collections (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL UNIQUE,
    definition TEXT NOT NULL
) STRICT;

-- Undeclared fields that were ever seen in a collection; naming any other is an unknown-column error.
CREATE TABLE localsrv_fields (
    collection INTEGER NOT NULL,
    name       TEXT NOT NULL,
    PRIMARY KEY (collection, name)
) STRICT, WITHOUT ROWID;

-- Documents whose winner deletes them. They left the collection's table but not the change feed.
CREATE TABLE localsrv_tombstones (
    collection INTEGER NOT NULL,
    id         TEXT NOT NULL,
    rev        TEXT NOT NULL,
    seq        INTEGER NOT NULL,
    PRIMARY KEY (collection, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX localsrv_tombstones_seq ON localsrv_tombstones (collection, seq);

-- The revision trees of all documents that have more than one revision, or that are deleted.
CREATE TABLE localsrv_revisions (
    collection INTEGER NOT NULL,
    id         TEXT NOT NULL,
    generation INTEGER NOT NULL,
    digest     TEXT NOT NULL,
    parent     TEXT,                -- whole revision id; NULL when first or forgotten
    deleted    INTEGER NOT NULL,
    state      INTEGER NOT NULL,    -- 0 superseded, 1 winner, 2 another leaf (a conflict)
    body       TEXT,                -- NULL: compacted away, never received, or in the collection's table
    superseded INTEGER,             -- the change after which it was no longer a leaf
    PRIMARY KEY (collection, id, generation, digest)
) STRICT, WITHOUT ROWID;

-- Nearly always empty: lists a document's conflicts without reading its tree.
CREATE INDEX localsrv_conflicts ON localsrv_revisions (collection, id) WHERE state = 2;

-- Old bodies in the order in which their retention ends.
CREATE INDEX localsrv_superseded ON localsrv_revisions (superseded) WHERE state = 0 AND body IS NOT NULL;

-- Which attachments each revision has. The bytes are in localsrv_blobs, once per content.
CREATE TABLE localsrv_attachments (
    collection   INTEGER NOT NULL,
    id           TEXT NOT NULL,
    rev          TEXT NOT NULL,
    name         TEXT NOT NULL,
    content_type TEXT NOT NULL,
    sha256       BLOB NOT NULL,
    revpos       INTEGER NOT NULL,  -- generation in which these bytes came (CouchDB's term)
    PRIMARY KEY (collection, id, rev, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX localsrv_attachments_sha256 ON localsrv_attachments (sha256);

-- Contents by the SHA-256 of their identity bytes. `data` is NULL when they lie in a file beside.
CREATE TABLE localsrv_blobs (
    sha256 BLOB NOT NULL PRIMARY KEY,
    md5    BLOB NOT NULL,
    length INTEGER NOT NULL,
    data   BLOB
) STRICT;

-- Where a change came from, for those that are not an ordinary local write.
CREATE TABLE localsrv_sources (
    seq    INTEGER PRIMARY KEY,
    source TEXT NOT NULL,           -- `import`, `peer:<id>`, `service:<name>`
    cause  TEXT
) STRICT;

-- When changes happened: a row says that the changes from `seq` on were made at `at` (Unix
-- milliseconds) or less than a second later.
CREATE TABLE localsrv_times (
    seq INTEGER PRIMARY KEY,
    at  INTEGER NOT NULL
) STRICT;

-- The newest revision of each document that a peer is known to have: the ancestor of the next merge, which
-- compaction therefore keeps.
CREATE TABLE localsrv_synced (
    collection INTEGER NOT NULL,
    id         TEXT NOT NULL,
    peer       TEXT NOT NULL,
    generation INTEGER NOT NULL,
    digest     TEXT NOT NULL,
    PRIMARY KEY (collection, id, peer)
) STRICT, WITHOUT ROWID;
