-- Version 2. docs/formats.md says what each column means.
--
-- SQLite changes no constraint in place: a table whose constraints change is made anew under another name, filled,
-- and put in the former one's place (https://sqlite.org/lang_altertable.html#otheralter). Foreign keys are off
-- meanwhile and checked before the commit.

CREATE TABLE new_samples (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    image           BLOB NOT NULL UNIQUE CHECK (length(image) = 32),
    path            BLOB NOT NULL,
    bytes           INTEGER NOT NULL CHECK (bytes >= 0),
    arrived_at      INTEGER NOT NULL,
    burst           BLOB NOT NULL CHECK (length(burst) = 32),
    predicted       TEXT,
    probability     REAL CHECK (probability BETWEEN 0 AND 1),
    predicted_head  INTEGER,
    label           TEXT,
    label_source    TEXT CHECK (label_source IN ('folder', 'mqtt', 'import', 'undo')),
    labelled_at     INTEGER,
    CHECK ((predicted IS NULL) = (probability IS NULL)),
    CHECK (predicted IS NOT NULL OR predicted_head IS NULL),
    CHECK ((label IS NULL) = (label_source IS NULL) AND (label IS NULL) = (labelled_at IS NULL))
) STRICT;
INSERT INTO new_samples
    (number, image, path, bytes, arrived_at, burst, predicted, probability, label, label_source, labelled_at)
SELECT number, image, path, bytes, arrived_at, burst, predicted, probability, label, label_source, labelled_at
FROM samples;

CREATE TABLE new_label_history (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    image           BLOB NOT NULL REFERENCES samples (image),
    label           TEXT,
    source          TEXT NOT NULL CHECK (source IN ('folder', 'mqtt', 'import', 'undo')),
    at              INTEGER NOT NULL,
    undone          INTEGER NOT NULL DEFAULT 0 CHECK (undone IN (0, 1))
) STRICT;
INSERT INTO new_label_history (number, image, label, source, at)
SELECT number, image, label, source, at FROM label_history;

CREATE TABLE new_awaited_labels (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    prefix          TEXT NOT NULL UNIQUE CHECK (length(prefix) BETWEEN 8 AND 64 AND prefix NOT GLOB '*[^0-9a-f]*'),
    label           TEXT NOT NULL,
    source          TEXT NOT NULL CHECK (source IN ('folder', 'mqtt', 'import', 'undo')),
    at              INTEGER NOT NULL
) STRICT;
INSERT INTO new_awaited_labels (number, prefix, label, source, at)
SELECT number, prefix, label, source, at FROM awaited_labels;

CREATE TABLE new_files (
    path            BLOB PRIMARY KEY,
    size            INTEGER NOT NULL CHECK (size >= 0),
    mtime_ns        INTEGER NOT NULL,
    image           BLOB REFERENCES samples (image) DEFERRABLE INITIALLY DEFERRED,
    reason          TEXT,
    evicted         INTEGER NOT NULL DEFAULT 0 CHECK (evicted IN (0, 1)),
    CHECK ((image IS NOT NULL) + (reason IS NOT NULL) + evicted = 1)
) STRICT, WITHOUT ROWID;
INSERT INTO new_files (path, size, mtime_ns, image, reason)
SELECT path, size, mtime_ns, image, reason FROM files;

-- Numbers go on behind the highest one ever given, not behind the highest one that is left.
DELETE FROM sqlite_sequence WHERE name LIKE 'new_%';
INSERT INTO sqlite_sequence (name, seq)
SELECT 'new_' || name, seq FROM sqlite_sequence WHERE name IN ('samples', 'label_history', 'awaited_labels');

DROP TABLE samples;
DROP TABLE label_history;
DROP TABLE awaited_labels;
DROP TABLE files;
ALTER TABLE new_samples RENAME TO samples;
ALTER TABLE new_label_history RENAME TO label_history;
ALTER TABLE new_awaited_labels RENAME TO awaited_labels;
ALTER TABLE new_files RENAME TO files;

CREATE INDEX label_history_image ON label_history (image);
CREATE INDEX files_image ON files (image) WHERE image IS NOT NULL;

CREATE TABLE statistics (
    space           INTEGER PRIMARY KEY REFERENCES spaces (number),
    file            BLOB NOT NULL
) STRICT;

ALTER TABLE state ADD COLUMN live TEXT;
