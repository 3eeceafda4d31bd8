-- Version 6. docs/formats.md says what each column means.
--
-- What belongs to a question about images gets the name of its task; all that was there belongs to the task 'default'.
-- Tables are made anew as in version 2.

CREATE TABLE tasks (
    task            TEXT NOT NULL PRIMARY KEY CHECK (length(task) BETWEEN 1 AND 32 AND task NOT GLOB '*[^a-z0-9_-]*'),
    training        TEXT,
    live            TEXT,
    state           TEXT
) STRICT, WITHOUT ROWID;
INSERT INTO tasks (task, training, live) SELECT 'default', training, live FROM state;
ALTER TABLE state DROP COLUMN training;
ALTER TABLE state DROP COLUMN live;

ALTER TABLE spaces ADD COLUMN region TEXT;

-- Clustered by sample, so that a sample goes without a search, and what is listed comes in the order of arrival.
CREATE TABLE task_samples (
    sample          INTEGER NOT NULL REFERENCES samples (number),
    task            TEXT NOT NULL REFERENCES tasks (task),
    space           INTEGER REFERENCES spaces (number),
    predicted       TEXT,
    probability     REAL CHECK (probability BETWEEN 0 AND 1),
    predicted_head  INTEGER,
    label           TEXT,
    label_source    TEXT CHECK (label_source IN ('folder', 'mqtt', 'import', 'undo')),
    labelled_at     INTEGER,
    folder          TEXT,
    in_doubt        INTEGER NOT NULL DEFAULT 0 CHECK (in_doubt IN (0, 1)),
    PRIMARY KEY (sample, task),
    CHECK ((predicted IS NULL) = (probability IS NULL)),
    CHECK (predicted IS NOT NULL OR predicted_head IS NULL),
    CHECK ((label IS NULL) = (label_source IS NULL) AND (label IS NULL) = (labelled_at IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE new_samples (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    image           BLOB NOT NULL UNIQUE CHECK (length(image) = 32),
    path            BLOB,
    source          TEXT,
    bytes           INTEGER NOT NULL CHECK (bytes >= 0),
    arrived_at      INTEGER NOT NULL,
    burst           BLOB NOT NULL CHECK (length(burst) = 32),
    CHECK ((path IS NULL) <> (source IS NULL))
) STRICT;
INSERT INTO new_samples (number, image, path, bytes, arrived_at, burst)
SELECT number, image, path, bytes, arrived_at, burst FROM samples ORDER BY number;

-- The space is the one that the champion reads, or else the newest: which was in use was not noted, and one takes the
-- other's place when the store is opened for it.
INSERT INTO task_samples
    (sample, task, space, predicted, probability, predicted_head, label, label_source, labelled_at, folder, in_doubt)
SELECT number, 'default',
       coalesce((SELECT space FROM heads WHERE status = 'champion'), (SELECT max(number) FROM spaces)),
       predicted, probability, predicted_head, label, label_source, labelled_at, folder, in_doubt
FROM samples ORDER BY number;

ALTER TABLE label_history ADD COLUMN task TEXT NOT NULL DEFAULT 'default';

CREATE TABLE new_awaited_labels (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    task            TEXT NOT NULL REFERENCES tasks (task),
    prefix          TEXT NOT NULL CHECK (length(prefix) BETWEEN 8 AND 64 AND prefix NOT GLOB '*[^0-9a-f]*'),
    label           TEXT NOT NULL,
    source          TEXT NOT NULL CHECK (source IN ('folder', 'mqtt', 'import', 'undo')),
    at              INTEGER NOT NULL,
    change          INTEGER,
    former          TEXT,
    former_change   INTEGER,
    UNIQUE (task, prefix)
) STRICT;
INSERT INTO new_awaited_labels (number, task, prefix, label, source, at, change, former, former_change)
SELECT number, 'default', prefix, label, source, at, change, former, former_change FROM awaited_labels;

CREATE TABLE new_heads (
    task            TEXT NOT NULL REFERENCES tasks (task),
    version         INTEGER NOT NULL CHECK (version > 0),
    id              TEXT NOT NULL,
    created         INTEGER NOT NULL,
    space           INTEGER NOT NULL REFERENCES spaces (number),
    backbone        TEXT NOT NULL,
    classes         TEXT NOT NULL,
    accuracy        REAL CHECK (accuracy BETWEEN 0 AND 1),
    status          TEXT NOT NULL CHECK (status IN ('champion', 'kept', 'rejected')),
    reason          TEXT NOT NULL,
    promoted_at     INTEGER,
    file            BLOB NOT NULL,
    PRIMARY KEY (task, version)
) STRICT;
INSERT INTO new_heads
    (task, version, id, created, space, backbone, classes, accuracy, status, reason, promoted_at, file)
SELECT 'default', version, id, created, space, backbone, classes, accuracy, status, reason, promoted_at, file
FROM heads;

CREATE TABLE new_statistics (
    task            TEXT NOT NULL REFERENCES tasks (task),
    space           INTEGER NOT NULL REFERENCES spaces (number),
    file            BLOB NOT NULL,
    PRIMARY KEY (task, space)
) STRICT;
INSERT INTO new_statistics (task, space, file) SELECT 'default', space, file FROM statistics;

-- Numbers go on behind the highest one ever given, not behind the highest one that is left.
DELETE FROM sqlite_sequence WHERE name LIKE 'new_%';
INSERT INTO sqlite_sequence (name, seq)
SELECT 'new_' || name, seq FROM sqlite_sequence WHERE name IN ('samples', 'awaited_labels');

DROP TABLE samples;
DROP TABLE awaited_labels;
DROP TABLE heads;
DROP TABLE statistics;
ALTER TABLE new_samples RENAME TO samples;
ALTER TABLE new_awaited_labels RENAME TO awaited_labels;
ALTER TABLE new_heads RENAME TO heads;
ALTER TABLE new_statistics RENAME TO statistics;

CREATE UNIQUE INDEX heads_one_champion ON heads (task) WHERE status = 'champion';
