-- When the secrets of a credential were last proved, in milliseconds since 1970. A table of its own: a use changes nothing that is
-- kept in memory, and nobody is told of it. since: when the current secret was committed by a rotation.
CREATE TABLE agentidp_usage (
    client_id text COLLATE "C" NOT NULL,
    credential_id text COLLATE "C" NOT NULL,
    last_used_at bigint,
    previous_last_used_at bigint,
    since bigint,
    PRIMARY KEY (client_id, credential_id)
) WITH (fillfactor = 70);
