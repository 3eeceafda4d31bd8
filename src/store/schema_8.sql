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
