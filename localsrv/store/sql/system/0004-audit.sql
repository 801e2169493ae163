-- What happened around trust: sign-ins, requests for access, grants, secrets. The owner reads it
-- (`localsrv audit`); no column ever holds a token or a secret, only names and ids.

-- The same thing within a minute is one row with a count, so that who knocks a thousand times a second fills
-- nothing. Times are seconds since 1970. The oldest rows go when there are too many.
CREATE TABLE audit (
    number   INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,               -- the first time
    until    INTEGER NOT NULL,               -- the last time
    count    INTEGER NOT NULL,
    event    TEXT    NOT NULL,               -- `sign-in`, `request-approved`, … (services/audit.py)
    grant_id TEXT,                           -- whose grant; `owner` for the owner's token
    who      TEXT,                           -- its name then
    app      TEXT,                           -- null: the server as a whole
    origin   TEXT,                           -- the web origin that asked
    subject  TEXT,                           -- what it was about: a grant, a secret's name, an integration
    details  TEXT    NOT NULL DEFAULT '{}'   -- JSON object of texts and numbers
) STRICT;
