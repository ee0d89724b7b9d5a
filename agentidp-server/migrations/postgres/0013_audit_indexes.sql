-- Two indexes of 0003 find nothing that those of 0010 do not find, and each costs every event a place in it.
DROP INDEX IF EXISTS idx_audit_events_agent_id;
DROP INDEX IF EXISTS idx_audit_events_timestamp;
