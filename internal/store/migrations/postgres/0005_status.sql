-- +goose Up
-- The signed forms of each status list, for all processes to serve, and which process makes the next ones.
CREATE TABLE status_tokens (
  list_id TEXT PRIMARY KEY REFERENCES status_lists (id),
  revision BIGINT NOT NULL,
  cwt BYTEA,
  jwt BYTEA,
  built_at TIMESTAMPTZ,
  expires_at TIMESTAMPTZ,
  claim TEXT NOT NULL,
  claimed_until TIMESTAMPTZ NOT NULL
);
