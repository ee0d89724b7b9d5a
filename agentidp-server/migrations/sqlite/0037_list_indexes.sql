-- Lists of agents read newest first, with the id as tie-break. The index of 0001 is the beginning of this one.
CREATE INDEX idx_agents_list ON agents (created_at DESC, agent_id DESC);
DROP INDEX IF EXISTS idx_agents_created_at;

-- The trail of one credential, and of one actor. Events without either cost these indexes nothing.
CREATE INDEX idx_audit_events_list_of_credential ON audit_events ((metadata ->> 'credentialId'), "timestamp" DESC, event_id DESC)
    WHERE (metadata ->> 'credentialId') IS NOT NULL;
CREATE INDEX idx_audit_events_list_of_actor ON audit_events ((metadata ->> 'actor'), "timestamp" DESC, event_id DESC)
    WHERE (metadata ->> 'actor') IS NOT NULL;
