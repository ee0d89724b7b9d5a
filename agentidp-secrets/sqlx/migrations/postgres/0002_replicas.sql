-- The processes that keep rows in memory: a change is acknowledged when each of them has heard of it. is_off: it was silent when
-- it was asked; it is removed when it serves no rows any more.
CREATE TABLE agentidp_replicas (
    replica text PRIMARY KEY,
    is_off boolean NOT NULL DEFAULT false,
    since timestamptz NOT NULL DEFAULT now()
);

-- Each change of what authentication reads is told when it commits, by triggers, so that a change by plain SQL counts as well.
-- ALWAYS: also one made by replication or by a restore in replica role. An equals sign, and the client's id.
CREATE FUNCTION agentidp_rows_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('agentidp_rows', '=' || OLD.client_id);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('agentidp_rows', '=' || NEW.client_id);
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION agentidp_rows_emptied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('agentidp_rows', '');
    RETURN NULL;
END
$$;

-- Not when a client is inserted: what is not there is not kept.
CREATE TRIGGER agentidp_client_changed AFTER UPDATE OR DELETE ON agentidp_clients
    FOR EACH ROW EXECUTE FUNCTION agentidp_rows_changed();
CREATE TRIGGER agentidp_clients_emptied AFTER TRUNCATE ON agentidp_clients
    FOR EACH STATEMENT EXECUTE FUNCTION agentidp_rows_emptied();
-- Not when only a note changes.
CREATE TRIGGER agentidp_credential_changed AFTER INSERT OR DELETE OR UPDATE OF client_id, credential_id, state, record,
    selector, previous_record, previous_selector, previous_until, revision, expires_at, is_unused ON agentidp_credentials
    FOR EACH ROW EXECUTE FUNCTION agentidp_rows_changed();
CREATE TRIGGER agentidp_credentials_emptied AFTER TRUNCATE ON agentidp_credentials
    FOR EACH STATEMENT EXECUTE FUNCTION agentidp_rows_emptied();

ALTER TABLE agentidp_clients ENABLE ALWAYS TRIGGER agentidp_client_changed;
ALTER TABLE agentidp_clients ENABLE ALWAYS TRIGGER agentidp_clients_emptied;
ALTER TABLE agentidp_credentials ENABLE ALWAYS TRIGGER agentidp_credential_changed;
ALTER TABLE agentidp_credentials ENABLE ALWAYS TRIGGER agentidp_credentials_emptied;
