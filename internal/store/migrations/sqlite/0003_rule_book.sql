-- +goose Up
CREATE TABLE groups (
  id TEXT PRIMARY KEY,
  parent_id TEXT REFERENCES groups (id),
  name TEXT NOT NULL,
  path TEXT NOT NULL UNIQUE,
  version INTEGER NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX groups_parent ON groups (parent_id, id);

-- Every path of people so far, and every path above it, becomes a group. rtrim(path, replace(path, '/', '')) cuts the last name off.
INSERT INTO groups (id, parent_id, name, path, version, created_at, updated_at)
WITH RECURSIVE paths (path) AS (
  SELECT DISTINCT group_path FROM persons WHERE group_path <> ''
  UNION
  SELECT rtrim(rtrim(path, replace(path, '/', '')), '/') FROM paths WHERE path LIKE '%/%'
), unsigned AS (
  SELECT path, lower(hex(randomblob(16))) AS h FROM paths WHERE path <> ''
)
SELECT substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-4' || substr(h, 14, 3) || '-8' || substr(h, 18, 3) || '-' || substr(h, 21, 12),
  NULL, substr(path, length(rtrim(path, replace(path, '/', ''))) + 1), path, 1,
  strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z', strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'
FROM unsigned ORDER BY path;
UPDATE groups SET parent_id = p.id FROM groups p WHERE groups.path LIKE '%/%'
  AND p.path = rtrim(rtrim(groups.path, replace(groups.path, '/', '')), '/');

ALTER TABLE persons ADD COLUMN group_id TEXT REFERENCES groups (id);
UPDATE persons SET group_id = g.id FROM groups g WHERE g.path = persons.group_path;
ALTER TABLE persons DROP COLUMN group_path;

ALTER TABLE persons ADD COLUMN given_key TEXT NOT NULL DEFAULT '';
ALTER TABLE persons ADD COLUMN family_key TEXT NOT NULL DEFAULT '';
ALTER TABLE persons ADD COLUMN email_key TEXT NOT NULL DEFAULT '';
ALTER TABLE persons ADD COLUMN logon_key TEXT NOT NULL DEFAULT '';
UPDATE persons SET given_key = lower(given_name), family_key = lower(family_name), email_key = lower(email), logon_key = lower(logon_name);
DROP INDEX persons_family_name;
DROP INDEX persons_email;
CREATE INDEX persons_family_key ON persons (family_key, id);
CREATE INDEX persons_given_key ON persons (given_key, id);
CREATE INDEX persons_email_key ON persons (email_key, id);
CREATE INDEX persons_mobile ON persons (mobile, id) WHERE mobile <> '';
CREATE INDEX persons_external_mobile_id ON persons (external_mobile_id, id) WHERE external_mobile_id <> '';
CREATE INDEX persons_birth_date ON persons (birth_date, id);
CREATE INDEX persons_group ON persons (group_id, id);
CREATE UNIQUE INDEX persons_logon_key ON persons (logon_key) WHERE logon_key <> '';

ALTER TABLE persons ADD COLUMN data_approved_by TEXT NOT NULL DEFAULT '';
ALTER TABLE persons ADD COLUMN data_approved_at TEXT;
ALTER TABLE persons ADD COLUMN data_vetted_on TEXT NOT NULL DEFAULT '';
ALTER TABLE persons ADD COLUMN erased_at TEXT;

CREATE TABLE logon_codes (
  person_id TEXT PRIMARY KEY REFERENCES persons (id) ON DELETE CASCADE,
  seed BLOB NOT NULL,
  rule TEXT NOT NULL,
  failures INTEGER NOT NULL,
  expires_at TEXT,
  created_at TEXT NOT NULL
) STRICT;

ALTER TABLE requests ADD COLUMN block_group TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN blocking INTEGER NOT NULL DEFAULT 0 CHECK (blocking IN (0, 1));
CREATE UNIQUE INDEX requests_blocking ON requests (person_id, block_group)
  WHERE blocking AND state IN ('received', 'awaiting_approval', 'awaiting_collection', 'locked');

ALTER TABLE documents ADD COLUMN exclusive_group TEXT NOT NULL DEFAULT '';
ALTER TABLE documents ADD COLUMN disabled_by TEXT NOT NULL DEFAULT '' CHECK (disabled_by IN ('', 'operator', 'reissue', 'person'));
UPDATE documents SET disabled_by = 'operator' WHERE state = 'disabled';

-- Messages that belong to no request, and when the next try is due. A column cannot be made nullable here, so both tables are made anew.
CREATE TABLE new_messages (
  id TEXT PRIMARY KEY,
  request_id TEXT REFERENCES requests (id),
  person_id TEXT NOT NULL REFERENCES persons (id),
  document_id TEXT NOT NULL,
  generation INTEGER NOT NULL,
  channel TEXT NOT NULL CHECK (channel IN ('email', 'sms')),
  kind TEXT NOT NULL,
  cause TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'failed', 'replaced')),
  account_id TEXT NOT NULL,
  tries INTEGER NOT NULL,
  due_at TEXT,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;
INSERT INTO new_messages (id, request_id, person_id, document_id, generation, channel, kind, cause, state, account_id, tries, due_at, created_at,
  updated_at)
SELECT m.id, m.request_id, r.person_id, '', m.generation, m.channel, m.kind, '', m.state, m.account_id, 0, NULL, m.created_at, m.updated_at
FROM messages m JOIN requests r ON r.id = m.request_id;
CREATE TABLE new_attempts (
  id TEXT PRIMARY KEY,
  message_id TEXT NOT NULL REFERENCES new_messages (id),
  outcome TEXT NOT NULL CHECK (outcome IN ('sent', 'temporary', 'refused')),
  answer TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;
INSERT INTO new_attempts (id, message_id, outcome, answer, at) SELECT id, message_id, outcome, answer, at FROM message_attempts;
DROP TABLE message_attempts;
DROP TABLE messages;
ALTER TABLE new_messages RENAME TO messages;
ALTER TABLE new_attempts RENAME TO message_attempts;
CREATE INDEX messages_request ON messages (request_id, id);
CREATE INDEX messages_pending ON messages (updated_at) WHERE state = 'pending';
CREATE INDEX messages_due ON messages (due_at) WHERE state = 'pending' AND due_at IS NOT NULL;
CREATE INDEX messages_person ON messages (person_id, id);
CREATE INDEX messages_state ON messages (state, id);
CREATE INDEX message_attempts_message ON message_attempts (message_id, id);
