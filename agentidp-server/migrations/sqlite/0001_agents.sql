-- The same tables as in migrations/postgres. Ids are hyphenated UUIDs, times `2026-03-28T09:00:00.000Z` (they sort as
-- text), lists and objects JSON.
CREATE TABLE agents (
    agent_id text PRIMARY KEY NOT NULL,
    email text NOT NULL UNIQUE,
    agent_type text NOT NULL CHECK (agent_type IN (
        'screener', 'classifier', 'orchestrator', 'extractor', 'summarizer', 'router', 'monitor', 'custom'
    )),
    version text NOT NULL,
    capabilities text NOT NULL,
    owner text NOT NULL,
    deployment_env text NOT NULL CHECK (deployment_env IN ('development', 'staging', 'production')),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'decommissioned')),
    created_at text NOT NULL,
    updated_at text NOT NULL
) STRICT;

CREATE INDEX idx_agents_status ON agents (status);
CREATE INDEX idx_agents_owner ON agents (owner);
CREATE INDEX idx_agents_agent_type ON agents (agent_type);
CREATE INDEX idx_agents_created_at ON agents (created_at DESC);
