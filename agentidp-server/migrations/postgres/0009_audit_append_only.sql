-- An event is never changed, and leaves by age only: retention first moves `keep_from` forward and then deletes what is
-- older. A DELETE by hand or by mistake reaches nothing that is still to be kept.
CREATE TABLE audit_retention (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    keep_from timestamptz NOT NULL
);

INSERT INTO audit_retention (keep_from) VALUES ('1970-01-01T00:00:00Z');

CREATE FUNCTION audit_events_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD."timestamp" < (SELECT keep_from FROM audit_retention) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'audit_events is append-only';
END
$$;

CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION audit_events_append_only();

CREATE TRIGGER audit_events_no_truncate BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION audit_events_append_only();

-- The events of unknown clients have no agent; a table of the documented system may still demand one.
ALTER TABLE audit_events ALTER COLUMN agent_id DROP NOT NULL;
