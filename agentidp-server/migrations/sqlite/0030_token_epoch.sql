-- Tokens name the epoch of their agent. A suspension moves it on, so a token from before stays refused after the agent is
-- reactivated. A trigger: SQL by hand suspends agents, too.
ALTER TABLE agents ADD COLUMN token_epoch integer NOT NULL DEFAULT 0;

CREATE TRIGGER agents_next_token_epoch AFTER UPDATE OF status ON agents
    FOR EACH ROW
    WHEN old.status = 'active' AND new.status <> 'active'
    BEGIN
        UPDATE agents SET token_epoch = token_epoch + 1 WHERE agent_id = new.agent_id;
    END;
