-- When the secrets of a credential were last proved, in milliseconds since 1970. since: when the current secret was committed by a
-- rotation.
CREATE TABLE agentidp_usage (
    client_id text NOT NULL,
    credential_id text NOT NULL,
    last_used_at integer,
    previous_last_used_at integer,
    since integer,
    PRIMARY KEY (client_id, credential_id)
) WITHOUT ROWID, STRICT;
