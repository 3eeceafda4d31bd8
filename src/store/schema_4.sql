-- Version 4. docs/formats.md says what each column means.

ALTER TABLE samples ADD COLUMN folder TEXT;
ALTER TABLE samples ADD COLUMN in_doubt INTEGER NOT NULL DEFAULT 0 CHECK (in_doubt IN (0, 1));
ALTER TABLE state ADD COLUMN class_folders TEXT;
ALTER TABLE files ADD COLUMN ctime_ns INTEGER NOT NULL DEFAULT 0;

-- What a folder last said is the class by folder, as far as earlier versions kept it.
UPDATE samples SET folder = (SELECT label FROM label_history
                             WHERE label_history.image = samples.image AND source = 'folder'
                             ORDER BY label_history.number DESC LIMIT 1);

-- Earlier versions kept the rows of files that are gone: the watcher looks which are.
UPDATE samples SET in_doubt = 1
WHERE (SELECT count(*) FROM files WHERE files.image = samples.image) > 1;

ALTER TABLE state ADD COLUMN doubted TEXT;
ALTER TABLE state ADD COLUMN broker TEXT;
