-- When the secrets of a credential were last proved. A table of its own: a use is no change of the credential.
CREATE TABLE credential_usage (
    credential_id bigint PRIMARY KEY,
    last_used_at timestamptz,
    previous_last_used_at timestamptz,
    since timestamptz
);
