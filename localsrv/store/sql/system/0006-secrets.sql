-- Which secrets there are, and in which vault; the secrets themselves are never in this file. Keyrings cannot list
-- what they hold, so this is the list: for `localsrv secrets list`, and for moving everything to the other vault.

-- A row is written before the vault is, so that a crash never leaves a secret that nobody knows of. Time is seconds
-- since 1970.
CREATE TABLE vault_entries (
    vault      TEXT    NOT NULL,                -- `os_keyring` or `sealed_file`
    name       TEXT    NOT NULL,                -- `secret:*:openai`, `replication:…`, `signing-key`
    is_gone    INTEGER NOT NULL,                -- 1: what that vault may hold under the name counts no longer
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (name, vault)
) STRICT, WITHOUT ROWID;
