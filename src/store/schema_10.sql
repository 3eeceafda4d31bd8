-- Version 10. docs/formats.md says what each column means.
--
-- How many recorded files have no sample: counting them goes through all files, so they are counted along, whoever changes them.

CREATE TABLE bare_files (
    one             INTEGER PRIMARY KEY CHECK (one = 1),
    count           INTEGER NOT NULL CHECK (count >= 0)
) STRICT;
INSERT INTO bare_files SELECT 1, count(*) - count(image) FROM files;

CREATE TRIGGER files_insert AFTER INSERT ON files WHEN NEW.image IS NULL
BEGIN
    UPDATE bare_files SET count = count + 1;
END;
CREATE TRIGGER files_delete AFTER DELETE ON files WHEN OLD.image IS NULL
BEGIN
    UPDATE bare_files SET count = count - 1;
END;
CREATE TRIGGER files_update AFTER UPDATE OF image ON files WHEN (OLD.image IS NULL) <> (NEW.image IS NULL)
BEGIN
    UPDATE bare_files SET count = count + iif(NEW.image IS NULL, 1, -1);
END;
