-- +goose Up
-- What time brings to documents: when each is to be looked at next, and what was done about it before. Those that have
-- no plan yet are due; ended ones are looked at never.
ALTER TABLE documents ADD COLUMN next_at TEXT DEFAULT '1970-01-01T00:00:00.000000Z';
ALTER TABLE documents ADD COLUMN reminded_days INTEGER NOT NULL DEFAULT 0;
ALTER TABLE documents ADD COLUMN renews INTEGER NOT NULL DEFAULT 0 CHECK (renews IN (0, 1));
ALTER TABLE documents ADD COLUMN data_digest TEXT NOT NULL DEFAULT '';
ALTER TABLE documents ADD COLUMN renewal_tried_at TEXT;
ALTER TABLE documents ADD COLUMN renewal_refused TEXT NOT NULL DEFAULT '';
UPDATE documents SET next_at = NULL WHERE state NOT IN ('prepared', 'active', 'disabled');
CREATE INDEX documents_next_at ON documents (next_at, id) WHERE next_at IS NOT NULL;

-- Changes of rules or groups, after which many documents are to be looked at again, some at a time in the order of their ids.
CREATE TABLE document_rechecks (
  id TEXT PRIMARY KEY,
  profile_id TEXT NOT NULL,
  group_id TEXT NOT NULL,
  reached TEXT NOT NULL
) STRICT;
