-- SQLite cannot drop a NOT NULL: the table is built anew.
CREATE TABLE credentials_with_vault_path (
    credential_id text PRIMARY KEY NOT NULL,
    client_id text NOT NULL REFERENCES agents (agent_id) ON DELETE CASCADE,
    secret_hash text,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'revoked')),
    created_at text NOT NULL,
    expires_at text,
    revoked_at text,
    vault_path text
) STRICT;

INSERT INTO credentials_with_vault_path
    (credential_id, client_id, secret_hash, status, created_at, expires_at, revoked_at)
SELECT credential_id, client_id, secret_hash, status, created_at, expires_at, revoked_at FROM credentials;

DROP TABLE credentials;
ALTER TABLE credentials_with_vault_path RENAME TO credentials;

CREATE INDEX idx_credentials_client_id ON credentials (client_id);
