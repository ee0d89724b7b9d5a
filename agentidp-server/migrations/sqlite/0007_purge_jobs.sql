-- Vault paths that have to be forgotten. No foreign keys: a job is scheduled before its credential is inserted, and
-- has to outlive it.
CREATE TABLE purge_jobs (
    credential_id text PRIMARY KEY NOT NULL,
    client_id text NOT NULL,
    vault_path text NOT NULL,
    due_at text NOT NULL,
    attempts integer NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX idx_purge_jobs_due_at ON purge_jobs (due_at);
