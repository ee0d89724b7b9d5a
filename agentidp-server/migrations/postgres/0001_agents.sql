-- 0001 to 0005 are the documented tables. They take no offence at tables that are already there, so that this server
-- can be pointed at a database of the documented system.
CREATE TABLE IF NOT EXISTS agents (
    agent_id uuid PRIMARY KEY,
    email varchar(255) NOT NULL UNIQUE,
    agent_type varchar(32) NOT NULL CHECK (agent_type IN (
        'screener', 'classifier', 'orchestrator', 'extractor', 'summarizer', 'router', 'monitor', 'custom'
    )),
    version varchar(64) NOT NULL,
    capabilities text[] NOT NULL,
    owner varchar(128) NOT NULL,
    deployment_env varchar(16) NOT NULL CHECK (deployment_env IN ('development', 'staging', 'production')),
    status varchar(24) NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'decommissioned')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX IF NOT EXISTS idx_agents_email ON agents (email);
CREATE INDEX IF NOT EXISTS idx_agents_status ON agents (status);
CREATE INDEX IF NOT EXISTS idx_agents_owner ON agents (owner);
CREATE INDEX IF NOT EXISTS idx_agents_agent_type ON agents (agent_type);
CREATE INDEX IF NOT EXISTS idx_agents_created_at ON agents (created_at DESC);
