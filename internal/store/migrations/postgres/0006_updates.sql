-- +goose Up
-- Updates: a request may be for a newer version of a document. A document has at most one open update and is replaced once.
ALTER TABLE requests ADD COLUMN replaces TEXT REFERENCES documents (id);
CREATE UNIQUE INDEX requests_updating ON requests (replaces)
  WHERE replaces IS NOT NULL AND state IN ('received', 'awaiting_approval', 'awaiting_collection', 'locked', 'issued');
CREATE INDEX requests_replaces ON requests (replaces) WHERE replaces IS NOT NULL;

-- Refresh tokens: the number and the mark of the last one that was used, and whether an old one came back.
ALTER TABLE requests ADD COLUMN refresh_used BIGINT NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN refresh_mark TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN refresh_ended BOOLEAN NOT NULL DEFAULT FALSE;
