-- Version 8. docs/formats.md says what each column means.
--
-- What was published stays for who asks later, whether the broker has it or not.

CREATE TABLE trainings (
    task            TEXT NOT NULL REFERENCES tasks (task),
    training        INTEGER NOT NULL,
    report          BLOB NOT NULL,
    answers         BLOB,
    PRIMARY KEY (task, training)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    seq             INTEGER PRIMARY KEY CHECK (seq >= 0),
    task            TEXT,
    report          BLOB NOT NULL
) STRICT;

-- A sample may be excluded from what a task learns. That is a line of the same history as its labels, told from them by
-- this column: NULL in a line that gives a label or takes it away.

ALTER TABLE task_samples ADD COLUMN excluded INTEGER NOT NULL DEFAULT 0 CHECK (excluded IN (0, 1));
ALTER TABLE label_history ADD COLUMN excluded INTEGER CHECK (excluded IN (0, 1));
