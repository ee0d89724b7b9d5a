-- The tables that were there before: a client is an agent, and ids are numbers.
CREATE TABLE agents (
    agent_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    suspended boolean NOT NULL DEFAULT false
);

CREATE SEQUENCE credential_ids;

CREATE TABLE credentials (
    credential_id bigint PRIMARY KEY,
    agent_id bigint NOT NULL REFERENCES agents,
    -- `$2b$…`, at first.
    record text NOT NULL,
    expires_at timestamptz,
    ended_at timestamptz
);

CREATE INDEX ON credentials (agent_id) WHERE ended_at IS NULL;

CREATE TABLE audit (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    agent_id bigint NOT NULL,
    credential_id bigint,
    event text NOT NULL
);
