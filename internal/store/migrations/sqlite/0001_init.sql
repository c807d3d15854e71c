-- +goose Up
CREATE TABLE persons (
  id TEXT PRIMARY KEY,
  external_id TEXT NOT NULL,
  logon_name TEXT NOT NULL,
  given_name TEXT NOT NULL,
  family_name TEXT NOT NULL,
  email TEXT NOT NULL,
  mobile TEXT NOT NULL,
  birth_date TEXT NOT NULL,
  group_path TEXT NOT NULL,
  language TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('active', 'inactive')),
  max_expiry TEXT NOT NULL,
  external_mobile_id TEXT NOT NULL,
  attributes TEXT NOT NULL,
  version INTEGER NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX persons_external_id ON persons (external_id) WHERE external_id <> '';
CREATE INDEX persons_family_name ON persons (family_name, id);
CREATE INDEX persons_email ON persons (email, id);

CREATE TABLE person_images (
  person_id TEXT NOT NULL REFERENCES persons (id) ON DELETE CASCADE,
  kind TEXT NOT NULL CHECK (kind IN ('portrait', 'signature')),
  media_type TEXT NOT NULL,
  bytes BLOB NOT NULL,
  captured_at TEXT,
  PRIMARY KEY (person_id, kind)
) STRICT;

CREATE TABLE accounts (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  person_id TEXT REFERENCES persons (id),
  email TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),
  failures INTEGER NOT NULL,
  locked_until TEXT,
  created_at TEXT NOT NULL
) STRICT;

CREATE TABLE api_keys (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
  label TEXT NOT NULL,
  secret_hash TEXT NOT NULL,
  expires_at TEXT,
  revoked INTEGER NOT NULL CHECK (revoked IN (0, 1)),
  created_at TEXT NOT NULL
) STRICT;
CREATE INDEX api_keys_account ON api_keys (account_id);

CREATE TABLE roles (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  permissions TEXT NOT NULL
) STRICT;

CREATE TABLE role_assignments (
  account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
  role_id TEXT NOT NULL REFERENCES roles (id),
  scope TEXT NOT NULL,
  PRIMARY KEY (account_id, role_id)
) STRICT;

CREATE TABLE profiles (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  version INTEGER NOT NULL
) STRICT;

CREATE TABLE profile_versions (
  profile_id TEXT NOT NULL REFERENCES profiles (id),
  version INTEGER NOT NULL,
  options TEXT NOT NULL,
  comment TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (profile_id, version)
) STRICT;

CREATE TABLE requests (
  id TEXT PRIMARY KEY,
  person_id TEXT NOT NULL REFERENCES persons (id),
  profile_id TEXT NOT NULL REFERENCES profiles (id),
  channel TEXT NOT NULL,
  requested_by TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('received', 'awaiting_approval', 'awaiting_collection', 'issued', 'rejected', 'canceled', 'expired',
    'failed', 'locked')),
  expiry_date TEXT NOT NULL,
  generation INTEGER NOT NULL,
  code_digits INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  redeemed INTEGER NOT NULL CHECK (redeemed IN (0, 1)),
  code_expires_at TEXT,
  approval_deadline TEXT,
  collection_deadline TEXT,
  decided_by TEXT NOT NULL,
  decided_at TEXT,
  decision_reason TEXT NOT NULL,
  failure_code TEXT NOT NULL,
  document_id TEXT NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX requests_person ON requests (person_id, id);
CREATE INDEX requests_state ON requests (state, id);

CREATE TABLE request_acts (
  id TEXT PRIMARY KEY,
  request_id TEXT NOT NULL REFERENCES requests (id),
  kind TEXT NOT NULL CHECK (kind IN ('approve', 'reject', 'cancel', 'resend', 'collect')),
  account_id TEXT NOT NULL,
  reason TEXT NOT NULL,
  params TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  applied INTEGER NOT NULL CHECK (applied IN (0, 1)),
  created_at TEXT NOT NULL
) STRICT;
CREATE INDEX request_acts_request ON request_acts (request_id, id);

CREATE TABLE messages (
  id TEXT PRIMARY KEY,
  request_id TEXT NOT NULL REFERENCES requests (id),
  generation INTEGER NOT NULL,
  channel TEXT NOT NULL CHECK (channel IN ('email', 'sms')),
  kind TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'failed', 'replaced')),
  account_id TEXT NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX messages_request ON messages (request_id, id);
CREATE INDEX messages_pending ON messages (updated_at) WHERE state = 'pending';

CREATE TABLE message_attempts (
  id TEXT PRIMARY KEY,
  message_id TEXT NOT NULL REFERENCES messages (id),
  outcome TEXT NOT NULL CHECK (outcome IN ('sent', 'temporary', 'refused')),
  answer TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;
CREATE INDEX message_attempts_message ON message_attempts (message_id, id);

CREATE TABLE documents (
  id TEXT PRIMARY KEY,
  serial TEXT NOT NULL UNIQUE,
  request_id TEXT NOT NULL UNIQUE REFERENCES requests (id),
  act_id TEXT NOT NULL REFERENCES request_acts (id),
  person_id TEXT NOT NULL REFERENCES persons (id),
  profile_id TEXT NOT NULL REFERENCES profiles (id),
  profile_version INTEGER NOT NULL,
  format_id TEXT NOT NULL,
  format_version INTEGER NOT NULL,
  doc_type TEXT NOT NULL,
  platform TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('prepared', 'active', 'disabled', 'canceled', 'expired', 'superseded')),
  credential_group TEXT NOT NULL,
  signer_id TEXT NOT NULL,
  signed_at TEXT NOT NULL,
  valid_from TEXT NOT NULL,
  valid_until TEXT NOT NULL,
  copies INTEGER NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX documents_person ON documents (person_id, id);
CREATE INDEX documents_state ON documents (state, id);

CREATE TABLE document_copies (
  document_id TEXT NOT NULL REFERENCES documents (id),
  n INTEGER NOT NULL,
  key_thumbprint TEXT NOT NULL UNIQUE,
  public_key BLOB NOT NULL,
  seed BLOB,
  list_id TEXT NOT NULL,
  status_index INTEGER NOT NULL,
  issuer_signed BLOB,
  PRIMARY KEY (document_id, n)
) STRICT;

CREATE INDEX document_copies_kept ON document_copies (document_id) WHERE issuer_signed IS NOT NULL;

CREATE TABLE status_lists (
  id TEXT PRIMARY KEY,
  bits INTEGER NOT NULL CHECK (bits IN (1, 2)),
  capacity INTEGER NOT NULL,
  used INTEGER NOT NULL,
  created_at TEXT NOT NULL
) STRICT;

CREATE TABLE status_entries (
  list_id TEXT NOT NULL REFERENCES status_lists (id),
  idx INTEGER NOT NULL,
  document_id TEXT NOT NULL,
  value INTEGER NOT NULL CHECK (value BETWEEN 0 AND 3),
  PRIMARY KEY (list_id, idx)
) STRICT;
CREATE INDEX status_entries_document ON status_entries (document_id);
CREATE INDEX status_entries_set ON status_entries (list_id, idx) WHERE value <> 0;

CREATE TABLE certificates (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('iaca', 'document_signer', 'status_signer')),
  key_id TEXT NOT NULL,
  der BLOB NOT NULL,
  not_before TEXT NOT NULL,
  not_after TEXT NOT NULL,
  revoked_at TEXT,
  created_at TEXT NOT NULL
) STRICT;
CREATE INDEX certificates_kind ON certificates (kind, not_after);

CREATE TABLE crls (
  number INTEGER PRIMARY KEY,
  der BLOB NOT NULL,
  this_update TEXT NOT NULL,
  next_update TEXT NOT NULL
) STRICT;

CREATE TABLE settings (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL,
  updated_by TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;

CREATE TABLE idempotency_keys (
  account_id TEXT NOT NULL,
  key TEXT NOT NULL,
  act TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  resource_id TEXT NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (account_id, key)
) STRICT;

CREATE TABLE audit_head (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  seq INTEGER NOT NULL,
  hash TEXT NOT NULL
) STRICT;
INSERT INTO audit_head (one, seq, hash) VALUES (1, 0, '');

CREATE TABLE audit_entries (
  seq INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  person_id TEXT NOT NULL,
  request_id TEXT NOT NULL,
  document_id TEXT NOT NULL,
  channel TEXT NOT NULL,
  reason TEXT NOT NULL,
  notes TEXT NOT NULL,
  changes TEXT NOT NULL,
  hash TEXT NOT NULL
) STRICT;
CREATE INDEX audit_entries_request ON audit_entries (request_id, seq) WHERE request_id <> '';
CREATE INDEX audit_entries_document ON audit_entries (document_id, seq) WHERE document_id <> '';
CREATE INDEX audit_entries_person ON audit_entries (person_id, seq) WHERE person_id <> '';

-- +goose StatementBegin
CREATE TRIGGER audit_entries_no_update BEFORE UPDATE ON audit_entries
BEGIN
  SELECT RAISE(ABORT, 'audit entries are append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_entries_no_delete BEFORE DELETE ON audit_entries
BEGIN
  SELECT RAISE(ABORT, 'audit entries are append-only');
END;
-- +goose StatementEnd
