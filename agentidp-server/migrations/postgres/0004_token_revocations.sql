CREATE TABLE IF NOT EXISTS token_revocations (
    jti uuid PRIMARY KEY,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX IF NOT EXISTS idx_token_revocations_expires_at ON token_revocations (expires_at);
