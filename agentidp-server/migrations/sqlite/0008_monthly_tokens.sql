-- How many tokens a client got in a month, `2026-03`; only counted where a monthly limit is set.
CREATE TABLE monthly_tokens (
    client_id text NOT NULL,
    month text NOT NULL,
    issued integer NOT NULL,
    PRIMARY KEY (client_id, month)
) STRICT;
