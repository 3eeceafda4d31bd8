-- Version 3. docs/formats.md says what each column means.

ALTER TABLE state ADD COLUMN twin TEXT;
