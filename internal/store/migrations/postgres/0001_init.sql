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
  version BIGINT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX persons_external_id ON persons (external_id) WHERE external_id <> '';
CREATE INDEX persons_family_name ON persons (family_name, id);
CREATE INDEX persons_email ON persons (email, id);

CREATE TABLE person_images (
  person_id TEXT NOT NULL REFERENCES persons (id) ON DELETE CASCADE,
  kind TEXT NOT NULL CHECK (kind IN ('portrait', 'signature')),
  media_type TEXT NOT NULL,
  bytes BYTEA NOT NULL,
  captured_at TIMESTAMPTZ,
  PRIMARY KEY (person_id, kind)
);

CREATE TABLE accounts (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  person_id TEXT REFERENCES persons (id),
  email TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  disabled BOOLEAN NOT NULL,
  failures BIGINT NOT NULL,
  locked_until TIMESTAMPTZ,
  created_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE api_keys (
  id TEXT PRIMARY KEY,
  account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
  label TEXT NOT NULL,
  secret_hash TEXT NOT NULL,
  expires_at TIMESTAMPTZ,
  revoked BOOLEAN NOT NULL,
  created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX api_keys_account ON api_keys (account_id);

CREATE TABLE roles (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  permissions TEXT NOT NULL
);

CREATE TABLE role_assignments (
  account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
  role_id TEXT NOT NULL REFERENCES roles (id),
  scope TEXT NOT NULL,
  PRIMARY KEY (account_id, role_id)
);

CREATE TABLE profiles (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  version BIGINT NOT NULL
);

CREATE TABLE profile_versions (
  profile_id TEXT NOT NULL REFERENCES profiles (id),
  version BIGINT NOT NULL,
  options TEXT NOT NULL,
  comment TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (profile_id, version)
);

CREATE TABLE requests (
  id TEXT PRIMARY KEY,
  person_id TEXT NOT NULL REFERENCES persons (id),
  profile_id TEXT NOT NULL REFERENCES profiles (id),
  channel TEXT NOT NULL,
  requested_by TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('received', 'awaiting_approval', 'awaiting_collection', 'issued', 'rejected', 'canceled', 'expired',
    'failed', 'locked')),
  expiry_date TEXT NOT NULL,
  generation BIGINT NOT NULL,
  code_digits BIGINT NOT NULL,
  attempts BIGINT NOT NULL,
  redeemed BOOLEAN NOT NULL,
  code_expires_at TIMESTAMPTZ,
  approval_deadline TIMESTAMPTZ,
  collection_deadline TIMESTAMPTZ,
  decided_by TEXT NOT NULL,
  decided_at TIMESTAMPTZ,
  decision_reason TEXT NOT NULL,
  failure_code TEXT NOT NULL,
  document_id TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL
);
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
  applied BOOLEAN NOT NULL,
  created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX request_acts_request ON request_acts (request_id, id);

CREATE TABLE messages (
  id TEXT PRIMARY KEY,
  request_id TEXT NOT NULL REFERENCES requests (id),
  generation BIGINT NOT NULL,
  channel TEXT NOT NULL CHECK (channel IN ('email', 'sms')),
  kind TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'failed', 'replaced')),
  account_id TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX messages_request ON messages (request_id, id);
CREATE INDEX messages_pending ON messages (updated_at) WHERE state = 'pending';

CREATE TABLE message_attempts (
  id TEXT PRIMARY KEY,
  message_id TEXT NOT NULL REFERENCES messages (id),
  outcome TEXT NOT NULL CHECK (outcome IN ('sent', 'temporary', 'refused')),
  answer TEXT NOT NULL,
  at TIMESTAMPTZ NOT NULL
);
CREATE INDEX message_attempts_message ON message_attempts (message_id, id);

CREATE TABLE documents (
  id TEXT PRIMARY KEY,
  serial TEXT NOT NULL UNIQUE,
  request_id TEXT NOT NULL UNIQUE REFERENCES requests (id),
  act_id TEXT NOT NULL REFERENCES request_acts (id),
  person_id TEXT NOT NULL REFERENCES persons (id),
  profile_id TEXT NOT NULL REFERENCES profiles (id),
  profile_version BIGINT NOT NULL,
  format_id TEXT NOT NULL,
  format_version BIGINT NOT NULL,
  doc_type TEXT NOT NULL,
  platform TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('prepared', 'active', 'disabled', 'canceled', 'expired', 'superseded')),
  credential_group TEXT NOT NULL,
  signer_id TEXT NOT NULL,
  signed_at TIMESTAMPTZ NOT NULL,
  valid_from TIMESTAMPTZ NOT NULL,
  valid_until TIMESTAMPTZ NOT NULL,
  copies BIGINT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX documents_person ON documents (person_id, id);
CREATE INDEX documents_state ON documents (state, id);

CREATE TABLE document_copies (
  document_id TEXT NOT NULL REFERENCES documents (id),
  n BIGINT NOT NULL,
  key_thumbprint TEXT NOT NULL UNIQUE,
  public_key BYTEA NOT NULL,
  seed BYTEA,
  list_id TEXT NOT NULL,
  status_index BIGINT NOT NULL,
  issuer_signed BYTEA,
  PRIMARY KEY (document_id, n)
);

CREATE INDEX document_copies_kept ON document_copies (document_id) WHERE issuer_signed IS NOT NULL;

CREATE TABLE status_lists (
  id TEXT PRIMARY KEY,
  bits BIGINT NOT NULL CHECK (bits IN (1, 2)),
  capacity BIGINT NOT NULL,
  used BIGINT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE status_entries (
  list_id TEXT NOT NULL REFERENCES status_lists (id),
  idx BIGINT NOT NULL,
  document_id TEXT NOT NULL,
  value BIGINT NOT NULL CHECK (value BETWEEN 0 AND 3),
  PRIMARY KEY (list_id, idx)
);
CREATE INDEX status_entries_document ON status_entries (document_id);
CREATE INDEX status_entries_set ON status_entries (list_id, idx) WHERE value <> 0;

CREATE TABLE certificates (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('iaca', 'document_signer', 'status_signer')),
  key_id TEXT NOT NULL,
  der BYTEA NOT NULL,
  not_before TIMESTAMPTZ NOT NULL,
  not_after TIMESTAMPTZ NOT NULL,
  revoked_at TIMESTAMPTZ,
  created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX certificates_kind ON certificates (kind, not_after);

CREATE TABLE crls (
  number BIGINT PRIMARY KEY,
  der BYTEA NOT NULL,
  this_update TIMESTAMPTZ NOT NULL,
  next_update TIMESTAMPTZ NOT NULL
);

CREATE TABLE settings (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL,
  updated_by TEXT NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE idempotency_keys (
  account_id TEXT NOT NULL,
  key TEXT NOT NULL,
  act TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  resource_id TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (account_id, key)
);

CREATE TABLE audit_head (
  one BIGINT PRIMARY KEY CHECK (one = 1),
  seq BIGINT NOT NULL,
  hash TEXT NOT NULL
);
INSERT INTO audit_head (one, seq, hash) VALUES (1, 0, '');

CREATE TABLE audit_entries (
  seq BIGINT PRIMARY KEY,
  at TIMESTAMPTZ NOT NULL,
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
);
CREATE INDEX audit_entries_request ON audit_entries (request_id, seq) WHERE request_id <> '';
CREATE INDEX audit_entries_document ON audit_entries (document_id, seq) WHERE document_id <> '';
CREATE INDEX audit_entries_person ON audit_entries (person_id, seq) WHERE person_id <> '';

-- +goose StatementBegin
CREATE FUNCTION audit_entries_append_only() RETURNS trigger AS $$
BEGIN
  RAISE EXCEPTION 'audit entries are append-only';
END;
$$ LANGUAGE plpgsql;
-- +goose StatementEnd
CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE ON audit_entries
  FOR EACH ROW EXECUTE FUNCTION audit_entries_append_only();
