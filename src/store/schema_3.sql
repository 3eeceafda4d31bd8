-- Version 3. docs/formats.md says what each column means.

CREATE TABLE updates (
    kind            TEXT PRIMARY KEY CHECK (kind IN ('head', 'backbone')),
    memory          TEXT NOT NULL
) STRICT;

-- Chunks of the update under way; none when there is none.
CREATE TABLE chunks (
    kind            TEXT NOT NULL CHECK (kind IN ('head', 'backbone')),
    n               INTEGER NOT NULL CHECK (n >= 0),
    bytes           BLOB NOT NULL,
    UNIQUE (kind, n)
) STRICT;

ALTER TABLE state ADD COLUMN twin TEXT;
ALTER TABLE state ADD COLUMN backbone TEXT;
