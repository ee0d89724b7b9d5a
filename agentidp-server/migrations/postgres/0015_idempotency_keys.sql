-- What became of requests that carried an Idempotency-Key, for a day. No secret: of the record that a request made there is
-- a SHA-256 only, to tell whether the row still has it. No foreign keys: an answer may outlive its credential.
CREATE TABLE idempotency_keys (
    caller varchar(64) NOT NULL,
    idempotency_key varchar(255) NOT NULL,
    -- Of method, path and body.
    fingerprint char(64) NOT NULL,
    -- Who is at it, and until when that counts.
    claim uuid NOT NULL,
    claimed_until timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    -- Set by the transaction that makes the secret count.
    client_id uuid,
    credential_id uuid,
    record_sha256 char(64),
    PRIMARY KEY (caller, idempotency_key)
);

CREATE INDEX idx_idempotency_keys_expires_at ON idempotency_keys (expires_at);

-- A secret that can be shown only once, was made under an Idempotency-Key, and has not been used yet: as long as this is
-- so, a retried request may replace it. The first login clears it.
ALTER TABLE credentials ADD COLUMN awaits_use boolean NOT NULL DEFAULT false;
