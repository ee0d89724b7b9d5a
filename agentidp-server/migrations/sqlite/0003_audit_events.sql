CREATE TABLE audit_events (
    event_id text PRIMARY KEY NOT NULL,
    agent_id text,
    action text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('success', 'failure')),
    ip_address text NOT NULL,
    user_agent text NOT NULL,
    metadata text NOT NULL DEFAULT '{}',
    "timestamp" text NOT NULL
) STRICT;
