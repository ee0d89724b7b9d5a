-- The provider's own tables. A client is an agent, and ids are numbers; the credentials are in tables of the adapter's.
CREATE TABLE agents (
    agent_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL
);

CREATE SEQUENCE credential_ids;

CREATE TABLE audit (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    agent_id text NOT NULL,
    credential_id text,
    event text NOT NULL
);
