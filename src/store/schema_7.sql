-- Version 7. docs/formats.md says what each column means.
--
-- Pictures have tables of their own, so that whoever goes through samples does not step over their bytes.

-- In small, of every sample that was embedded since.
CREATE TABLE thumbnails (
    sample          INTEGER NOT NULL PRIMARY KEY REFERENCES samples (number),
    jpeg            BLOB NOT NULL
) STRICT;

-- The bytes of frames, which have no file.
CREATE TABLE pictures (
    sample          INTEGER NOT NULL PRIMARY KEY REFERENCES samples (number),
    bytes           BLOB NOT NULL
) STRICT;
