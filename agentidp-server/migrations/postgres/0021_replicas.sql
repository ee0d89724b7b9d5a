-- The servers that keep rows in memory: a change is acknowledged when each of them has heard of it. is_off: it was silent when
-- it was asked; it is removed when it serves no rows any more.
CREATE TABLE agentidp_replicas (
    replica text PRIMARY KEY,
    is_off boolean NOT NULL DEFAULT false,
    since timestamptz NOT NULL DEFAULT now()
);
