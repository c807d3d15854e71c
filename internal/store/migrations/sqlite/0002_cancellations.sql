-- +goose Up
CREATE TABLE cancellations (
  id TEXT PRIMARY KEY,
  document_id TEXT NOT NULL REFERENCES documents (id),
  person_id TEXT NOT NULL REFERENCES persons (id),
  requested_by TEXT NOT NULL,
  reason TEXT NOT NULL,
  notes TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('received', 'awaiting_approval', 'approved', 'rejected', 'withdrawn', 'expired')),
  deadline TEXT,
  decided_by TEXT NOT NULL,
  decided_at TEXT,
  decision_reason TEXT NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX cancellations_open ON cancellations (document_id) WHERE state IN ('received', 'awaiting_approval');
CREATE INDEX cancellations_document ON cancellations (document_id, id);
CREATE INDEX cancellations_person ON cancellations (person_id, id);
CREATE INDEX cancellations_state ON cancellations (state, id);

CREATE TABLE cancellation_acts (
  id TEXT PRIMARY KEY,
  cancellation_id TEXT NOT NULL REFERENCES cancellations (id),
  kind TEXT NOT NULL CHECK (kind IN ('approve', 'reject', 'withdraw')),
  account_id TEXT NOT NULL,
  reason TEXT NOT NULL,
  applied INTEGER NOT NULL CHECK (applied IN (0, 1)),
  created_at TEXT NOT NULL
) STRICT;
CREATE INDEX cancellation_acts_cancellation ON cancellation_acts (cancellation_id, id);
