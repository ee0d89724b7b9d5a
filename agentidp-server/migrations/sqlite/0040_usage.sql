-- When the secrets of a credential were last proved, in milliseconds since 1970. A table of its own: servers keep credentials in
-- memory, and a use is no change that they have to hear of. since: when the current secret was committed by a rotation.
CREATE TABLE credential_usage (
    credential_id text PRIMARY KEY NOT NULL,
    last_used_at integer,
    previous_last_used_at integer,
    since integer
) WITHOUT ROWID, STRICT;
