-- Tokens name the epoch of their agent. A suspension moves it on, so a token from before stays refused after the agent is
-- reactivated. A trigger: a server of an older release and SQL by hand suspend agents, too.
ALTER TABLE agents ADD COLUMN token_epoch bigint NOT NULL DEFAULT 0;

CREATE FUNCTION agentidp_next_token_epoch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.token_epoch := OLD.token_epoch + 1;
    RETURN NEW;
END
$$;

CREATE TRIGGER agentidp_next_token_epoch BEFORE UPDATE OF status ON agents
    FOR EACH ROW
    WHEN (OLD.status = 'active' AND NEW.status <> 'active')
    EXECUTE FUNCTION agentidp_next_token_epoch();
ALTER TABLE agents ENABLE ALWAYS TRIGGER agentidp_next_token_epoch;
