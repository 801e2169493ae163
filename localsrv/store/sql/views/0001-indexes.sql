-- The view indexes of one app, in a file of their own: derived from the app's file, thrown away and built
-- again when damaged, when the app's file has another epoch, or when a newer localsrv wants another form.
--
-- Each index has a table `rows_<number>` with the rows that its map functions emitted:
--
--   view   INTEGER   which function of the index
--   key    BLOB      the key as bytes that order like CouchDB's keys (localsrv.model.collation)
--   id     TEXT      the document that emitted the row
--   n      INTEGER   tells a document's rows of one key apart, in the order emitted
--   shown  TEXT      the key as JSON
--   value            a number as it is, null as NULL, anything else as JSON text

-- `epoch` of the app's file.
CREATE TABLE facts (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Indexes by what their functions are (`signature`), not by the design documents that hold them: two that say
-- the same share one. `seq` is the change of the app's file up to which they are built; `totals` a JSON array
-- of the number of rows of each function.
CREATE TABLE indexes (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL,
    signature  TEXT NOT NULL,
    seq        INTEGER NOT NULL,
    totals     TEXT NOT NULL,
    UNIQUE (collection, signature)
) STRICT;
