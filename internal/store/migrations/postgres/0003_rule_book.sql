-- +goose Up
CREATE TABLE groups (
  id TEXT PRIMARY KEY,
  parent_id TEXT REFERENCES groups (id),
  name TEXT NOT NULL,
  path TEXT COLLATE "C" NOT NULL UNIQUE,
  version BIGINT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX groups_parent ON groups (parent_id, id);

-- Every path of people so far, and every path above it, becomes a group.
INSERT INTO groups (id, parent_id, name, path, version, created_at, updated_at)
WITH RECURSIVE paths (path) AS (
  SELECT DISTINCT group_path FROM persons WHERE group_path <> ''
  UNION
  SELECT regexp_replace(path, '/[^/]*$', '') FROM paths WHERE path LIKE '%/%'
)
SELECT CAST(gen_random_uuid() AS TEXT), NULL, regexp_replace(path, '^.*/', ''), path, 1, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP
FROM paths WHERE path <> '' ORDER BY path;
UPDATE groups SET parent_id = p.id FROM groups p WHERE groups.path LIKE '%/%' AND p.path = regexp_replace(groups.path, '/[^/]*$', '');

ALTER TABLE persons ADD COLUMN group_id TEXT REFERENCES groups (id);
UPDATE persons SET group_id = g.id FROM groups g WHERE g.path = persons.group_path;
ALTER TABLE persons DROP COLUMN group_path;

ALTER TABLE persons ADD COLUMN given_key TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE persons ADD COLUMN family_key TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE persons ADD COLUMN email_key TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE persons ADD COLUMN logon_key TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE persons SET given_key = lower(given_name), family_key = lower(family_name), email_key = lower(email), logon_key = lower(logon_name);
ALTER TABLE persons ALTER COLUMN external_id TYPE TEXT COLLATE "C";
ALTER TABLE persons ALTER COLUMN mobile TYPE TEXT COLLATE "C";
ALTER TABLE persons ALTER COLUMN external_mobile_id TYPE TEXT COLLATE "C";
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
ALTER TABLE persons ADD COLUMN data_approved_at TIMESTAMPTZ;
ALTER TABLE persons ADD COLUMN data_vetted_on TEXT NOT NULL DEFAULT '';
ALTER TABLE persons ADD COLUMN erased_at TIMESTAMPTZ;

CREATE TABLE logon_codes (
  person_id TEXT PRIMARY KEY REFERENCES persons (id) ON DELETE CASCADE,
  seed BYTEA NOT NULL,
  rule TEXT NOT NULL,
  failures BIGINT NOT NULL,
  expires_at TIMESTAMPTZ,
  created_at TIMESTAMPTZ NOT NULL
);

ALTER TABLE requests ADD COLUMN block_group TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN blocking BOOLEAN NOT NULL DEFAULT FALSE;
CREATE UNIQUE INDEX requests_blocking ON requests (person_id, block_group)
  WHERE blocking AND state IN ('received', 'awaiting_approval', 'awaiting_collection', 'locked');

ALTER TABLE documents ADD COLUMN exclusive_group TEXT NOT NULL DEFAULT '';
ALTER TABLE documents ADD COLUMN disabled_by TEXT NOT NULL DEFAULT '' CHECK (disabled_by IN ('', 'operator', 'reissue', 'person'));
UPDATE documents SET disabled_by = 'operator' WHERE state = 'disabled';

-- Messages that belong to no request, and when the next try is due.
ALTER TABLE messages ALTER COLUMN request_id DROP NOT NULL;
ALTER TABLE messages ADD COLUMN person_id TEXT REFERENCES persons (id);
ALTER TABLE messages ADD COLUMN document_id TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN cause TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN due_at TIMESTAMPTZ;
UPDATE messages SET person_id = r.person_id FROM requests r WHERE r.id = messages.request_id;
ALTER TABLE messages ALTER COLUMN person_id SET NOT NULL;
CREATE INDEX messages_due ON messages (due_at) WHERE state = 'pending' AND due_at IS NOT NULL;
CREATE INDEX messages_person ON messages (person_id, id);
CREATE INDEX messages_state ON messages (state, id);
