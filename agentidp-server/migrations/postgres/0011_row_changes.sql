-- Servers keep what authentication reads in memory. Each change of it is told to all of them when it commits, by triggers,
-- so that a change by plain SQL counts as well. ALWAYS: also one made by replication or by a restore in replica role.
CREATE FUNCTION agentidp_agent_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('agentidp_clients', OLD.agent_id::text);
    RETURN NULL;
END
$$;

CREATE FUNCTION agentidp_credential_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('agentidp_clients', OLD.client_id::text);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('agentidp_clients', NEW.client_id::text);
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION agentidp_all_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('agentidp_clients', 'all');
    RETURN NULL;
END
$$;

-- Not when one is inserted: what is not there is not kept.
CREATE TRIGGER agentidp_agent_changed AFTER UPDATE OR DELETE ON agents
    FOR EACH ROW EXECUTE FUNCTION agentidp_agent_changed();
CREATE TRIGGER agentidp_agents_emptied AFTER TRUNCATE ON agents
    FOR EACH STATEMENT EXECUTE FUNCTION agentidp_all_changed();
CREATE TRIGGER agentidp_credential_changed AFTER INSERT OR UPDATE OR DELETE ON credentials
    FOR EACH ROW EXECUTE FUNCTION agentidp_credential_changed();
CREATE TRIGGER agentidp_credentials_emptied AFTER TRUNCATE ON credentials
    FOR EACH STATEMENT EXECUTE FUNCTION agentidp_all_changed();

ALTER TABLE agents ENABLE ALWAYS TRIGGER agentidp_agent_changed;
ALTER TABLE agents ENABLE ALWAYS TRIGGER agentidp_agents_emptied;
ALTER TABLE credentials ENABLE ALWAYS TRIGGER agentidp_credential_changed;
ALTER TABLE credentials ENABLE ALWAYS TRIGGER agentidp_credentials_emptied;
