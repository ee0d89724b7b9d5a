CREATE TABLE token_revocations (
    jti text PRIMARY KEY NOT NULL,
    expires_at text NOT NULL,
    revoked_at text NOT NULL
) STRICT;

CREATE INDEX idx_token_revocations_expires_at ON token_revocations (expires_at);
