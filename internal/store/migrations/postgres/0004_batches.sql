-- +goose Up
CREATE TABLE batches (
  id TEXT PRIMARY KEY,
  operation TEXT NOT NULL,
  profile_id TEXT REFERENCES profiles (id),
  expiry_date TEXT NOT NULL,
  reason TEXT NOT NULL,
  notes TEXT NOT NULL,
  created_by TEXT NOT NULL,
  machine BOOLEAN NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('received', 'running', 'completed')),
  total INTEGER NOT NULL,
  begun INTEGER NOT NULL,
  completed INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL,
  ended_at TIMESTAMPTZ,
  CHECK (completed + failed <= begun AND begun <= total)
);
CREATE INDEX batches_created_by ON batches (created_by, id);
CREATE INDEX batches_open ON batches (id) WHERE state <> 'completed';

CREATE TABLE batch_items (
  batch_id TEXT NOT NULL REFERENCES batches (id),
  n INTEGER NOT NULL,
  subject_id TEXT NOT NULL,
  person_id TEXT NOT NULL,
  request_id TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('pending', 'completed', 'failed')),
  code TEXT NOT NULL,
  message TEXT NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (batch_id, n)
);
CREATE INDEX batch_items_failed ON batch_items (batch_id, n) WHERE state = 'failed';
CREATE INDEX batch_items_person ON batch_items (person_id, batch_id);
