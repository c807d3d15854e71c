-- +goose Up
-- The signed forms of each status list, for all processes to serve, and which process makes the next ones.
CREATE TABLE status_tokens (
  list_id TEXT PRIMARY KEY REFERENCES status_lists (id),
  revision INTEGER NOT NULL,
  cwt BLOB,
  jwt BLOB,
  built_at TEXT,
  expires_at TEXT,
  claim TEXT NOT NULL,
  claimed_until TEXT NOT NULL
) STRICT;
