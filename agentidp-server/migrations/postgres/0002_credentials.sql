CREATE TABLE IF NOT EXISTS credentials (
    credential_id uuid PRIMARY KEY,
    client_id uuid NOT NULL REFERENCES agents (agent_id) ON DELETE CASCADE,
    secret_hash varchar(255) NOT NULL,
    status varchar(16) NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'revoked')),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);

CREATE INDEX IF NOT EXISTS idx_credentials_client_id ON credentials (client_id);
