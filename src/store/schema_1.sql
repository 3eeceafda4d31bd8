-- Version 1. docs/formats.md says what each column means.

CREATE TABLE spaces (
    number          INTEGER PRIMARY KEY,
    backbone        BLOB NOT NULL CHECK (length(backbone) = 32),
    preprocessing   BLOB NOT NULL CHECK (length(preprocessing) = 32),
    dim             INTEGER NOT NULL CHECK (dim > 0),
    name            TEXT NOT NULL,
    UNIQUE (backbone, preprocessing, dim)
) STRICT;

-- Keyed by image and space alone: a cached embedding is not yet a sample.
CREATE TABLE embeddings (
    image           BLOB NOT NULL CHECK (length(image) = 32),
    space           INTEGER NOT NULL REFERENCES spaces (number),
    vector          BLOB NOT NULL,
    UNIQUE (image, space)
) STRICT;

CREATE TABLE samples (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    image           BLOB NOT NULL UNIQUE CHECK (length(image) = 32),
    path            BLOB NOT NULL,
    bytes           INTEGER NOT NULL CHECK (bytes >= 0),
    arrived_at      INTEGER NOT NULL,
    burst           BLOB NOT NULL CHECK (length(burst) = 32),
    predicted       TEXT,
    probability     REAL CHECK (probability BETWEEN 0 AND 1),
    label           TEXT,
    label_source    TEXT CHECK (label_source IN ('folder', 'mqtt')),
    labelled_at     INTEGER,
    CHECK ((predicted IS NULL) = (probability IS NULL)),
    CHECK ((label IS NULL) = (label_source IS NULL) AND (label IS NULL) = (labelled_at IS NULL))
) STRICT;

CREATE TABLE label_history (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    image           BLOB NOT NULL REFERENCES samples (image),
    label           TEXT,
    source          TEXT NOT NULL CHECK (source IN ('folder', 'mqtt')),
    at              INTEGER NOT NULL
) STRICT;
CREATE INDEX label_history_image ON label_history (image);

CREATE TABLE awaited_labels (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    prefix          TEXT NOT NULL UNIQUE CHECK (length(prefix) BETWEEN 8 AND 64 AND prefix NOT GLOB '*[^0-9a-f]*'),
    label           TEXT NOT NULL,
    source          TEXT NOT NULL CHECK (source IN ('folder', 'mqtt')),
    at              INTEGER NOT NULL
) STRICT;

CREATE TABLE files (
    path            BLOB PRIMARY KEY,
    size            INTEGER NOT NULL CHECK (size >= 0),
    mtime_ns        INTEGER NOT NULL,
    image           BLOB REFERENCES samples (image) DEFERRABLE INITIALLY DEFERRED,
    reason          TEXT,
    CHECK ((image IS NULL) <> (reason IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX files_image ON files (image) WHERE image IS NOT NULL;

CREATE TABLE heads (
    version         INTEGER PRIMARY KEY CHECK (version > 0),
    id              TEXT NOT NULL,
    created         INTEGER NOT NULL,
    space           INTEGER NOT NULL REFERENCES spaces (number),
    backbone        TEXT NOT NULL,
    classes         TEXT NOT NULL,
    accuracy        REAL CHECK (accuracy BETWEEN 0 AND 1),
    status          TEXT NOT NULL CHECK (status IN ('champion', 'kept', 'rejected')),
    reason          TEXT NOT NULL,
    promoted_at     INTEGER,
    file            BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX heads_one_champion ON heads (status) WHERE status = 'champion';

CREATE TABLE outbox (
    seq             INTEGER PRIMARY KEY CHECK (seq >= 0),
    topic           TEXT NOT NULL,
    payload         BLOB NOT NULL,
    made_at         INTEGER NOT NULL
) STRICT;

CREATE TABLE ledger (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    "transaction"   TEXT NOT NULL UNIQUE,
    name            TEXT NOT NULL,
    answer          BLOB NOT NULL,
    at              INTEGER NOT NULL
) STRICT;

-- One row.
CREATE TABLE state (
    one             INTEGER PRIMARY KEY CHECK (one = 1),
    seq             INTEGER NOT NULL CHECK (seq >= 0),
    training        TEXT
) STRICT;
INSERT INTO state (one, seq) VALUES (1, 0);
