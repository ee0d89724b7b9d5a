-- What became of requests that carried an Idempotency-Key, for a day. No secret: of the record that a request made there is
-- a SHA-256 only, to tell whether the row still has it. No foreign keys: an answer may outlive its credential.
CREATE TABLE idempotency_keys (
    caller text NOT NULL,
    idempotency_key text NOT NULL,
    -- Of method, path and body.
    fingerprint text NOT NULL,
    -- Who is at it, and until when that counts.
    claim text NOT NULL,
    claimed_until text NOT NULL,
    expires_at text NOT NULL,
    -- Set by the transaction that makes the secret count.
    client_id text,
    credential_id text,
    record_sha256 text,
    PRIMARY KEY (caller, idempotency_key)
) STRICT;

CREATE INDEX idx_idempotency_keys_expires_at ON idempotency_keys (expires_at);

-- A secret that can be shown only once, was made under an Idempotency-Key, and has not been used yet: as long as this is
-- so, a retried request may replace it. The first login clears it.
ALTER TABLE credentials ADD COLUMN awaits_use integer NOT NULL DEFAULT 0;
