-- What the owner set for integrations: outside services that apps may call without seeing a secret. What an
-- app asks for is in its manifest; secrets are in the vault and nowhere else.
CREATE TABLE integrations (
    app        TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    settings   TEXT    NOT NULL,               -- JSON, as the admin API shows it
    created_at INTEGER NOT NULL,               -- seconds since 1970
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (app, name)
) STRICT, WITHOUT ROWID;
