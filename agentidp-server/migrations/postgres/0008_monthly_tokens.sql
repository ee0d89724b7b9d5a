-- How many tokens a client got in a month, `2026-03`; only counted where a monthly limit is set.
CREATE TABLE monthly_tokens (
    client_id uuid NOT NULL,
    month varchar(7) NOT NULL,
    issued bigint NOT NULL,
    PRIMARY KEY (client_id, month)
);
