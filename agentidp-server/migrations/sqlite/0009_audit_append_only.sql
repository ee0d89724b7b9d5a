-- An event is never changed, and leaves by age only: retention first moves `keep_from` forward and then deletes what is
-- older. A DELETE by hand or by mistake reaches nothing that is still to be kept.
CREATE TABLE audit_retention (
    only_row integer PRIMARY KEY NOT NULL DEFAULT 1 CHECK (only_row = 1),
    keep_from text NOT NULL
) STRICT;

INSERT INTO audit_retention (keep_from) VALUES ('1970-01-01T00:00:00.000Z');

CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'audit_events is append-only');
END;

CREATE TRIGGER audit_events_no_early_delete BEFORE DELETE ON audit_events
WHEN OLD."timestamp" >= (SELECT keep_from FROM audit_retention)
BEGIN
    SELECT RAISE(ABORT, 'audit_events is append-only');
END;
