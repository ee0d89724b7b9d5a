CREATE TABLE IF NOT EXISTS audit_events (
    event_id uuid PRIMARY KEY,
    agent_id uuid,
    action varchar(64) NOT NULL,
    outcome varchar(16) NOT NULL CHECK (outcome IN ('success', 'failure')),
    ip_address varchar(64) NOT NULL,
    user_agent text NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    "timestamp" timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX IF NOT EXISTS idx_audit_events_agent_id ON audit_events (agent_id);
CREATE INDEX IF NOT EXISTS idx_audit_events_timestamp ON audit_events ("timestamp" DESC);
