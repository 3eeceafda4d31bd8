-- Version 5. docs/formats.md says what each column means.

ALTER TABLE label_history ADD COLUMN change INTEGER;
ALTER TABLE awaited_labels ADD COLUMN change INTEGER;
ALTER TABLE awaited_labels ADD COLUMN former TEXT;
ALTER TABLE awaited_labels ADD COLUMN former_change INTEGER;
ALTER TABLE state ADD COLUMN changes INTEGER NOT NULL DEFAULT 0 CHECK (changes >= 0);

-- Earlier versions took labels of a person with the same time and source for one change.
UPDATE label_history SET change = together.first
FROM (SELECT at, source, min(number) AS first FROM label_history
      WHERE source IN ('mqtt', 'import') GROUP BY at, source) AS together
WHERE label_history.at = together.at AND label_history.source = together.source;

UPDATE state SET changes = (SELECT coalesce(max(change), 0) FROM label_history);

CREATE INDEX label_history_change ON label_history (change) WHERE change IS NOT NULL;
