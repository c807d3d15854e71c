-- +goose Up
-- The orders in which reports and the audit are read page by page.
CREATE INDEX documents_signed_at ON documents (signed_at, id);
CREATE INDEX documents_valid_until ON documents (valid_until, id);
CREATE INDEX audit_entries_actor ON audit_entries (actor, seq);
CREATE INDEX audit_entries_at ON audit_entries (at);
