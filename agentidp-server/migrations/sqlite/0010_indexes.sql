-- Authentication reads a client's active credentials; lists read newest first, with the id as tie-break.
CREATE INDEX idx_credentials_active ON credentials (client_id) WHERE status = 'active';
CREATE INDEX idx_credentials_list ON credentials (client_id, created_at DESC, credential_id DESC);
CREATE INDEX idx_audit_events_list ON audit_events ("timestamp" DESC, event_id DESC);
CREATE INDEX idx_audit_events_list_of_agent ON audit_events (agent_id, "timestamp" DESC, event_id DESC);
