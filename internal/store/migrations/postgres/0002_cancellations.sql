-- +goose Up
CREATE TABLE cancellations (
  id TEXT PRIMARY KEY,
  document_id TEXT NOT NULL REFERENCES documents (id),
  person_id TEXT NOT NULL REFERENCES persons (id),
  requested_by TEXT NOT NULL,
  reason TEXT NOT NULL,
  notes TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('received', 'awaiting_approval', 'approved', 'rejected', 'withdrawn', 'expired')),
  deadline TIMESTAMPTZ,
  decided_by TEXT NOT NULL,
  decided_at TIMESTAMPTZ,
  decision_reason TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL
);
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
  applied BOOLEAN NOT NULL,
  created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX cancellation_acts_cancellation ON cancellation_acts (cancellation_id, id);
