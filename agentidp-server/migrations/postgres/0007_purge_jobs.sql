-- Vault paths that have to be forgotten. No foreign keys: a job is scheduled before its credential is inserted, and
-- has to outlive it.
CREATE TABLE purge_jobs (
    credential_id uuid PRIMARY KEY,
    client_id uuid NOT NULL,
    vault_path text NOT NULL,
    due_at timestamptz NOT NULL,
    attempts bigint NOT NULL DEFAULT 0
);

CREATE INDEX idx_purge_jobs_due_at ON purge_jobs (due_at);
