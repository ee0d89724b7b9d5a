CREATE TABLE credentials (
    credential_id text PRIMARY KEY NOT NULL,
    client_id text NOT NULL REFERENCES agents (agent_id) ON DELETE CASCADE,
    secret_hash text NOT NULL,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'revoked')),
    created_at text NOT NULL,
    expires_at text,
    revoked_at text
) STRICT;

CREATE INDEX idx_credentials_client_id ON credentials (client_id);
