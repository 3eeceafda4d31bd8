-- Version 9. docs/formats.md says what each column means.
--
-- The generation of the redo log whose records the database does not have yet; 0 before there was one.

ALTER TABLE state ADD COLUMN redo INTEGER NOT NULL DEFAULT 0 CHECK (redo >= 0);
