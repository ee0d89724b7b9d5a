-- What the lifecycle keeps beside a record.
ALTER TABLE credentials
    ADD COLUMN selector text,
    ADD COLUMN previous_record text,
    ADD COLUMN previous_selector text,
    ADD COLUMN previous_until timestamptz,
    ADD COLUMN revision text;

-- What the protocol has noted of a credential, also before its row is there: no foreign key.
CREATE TABLE credential_notes (
    credential_id bigint PRIMARY KEY,
    agent_id bigint NOT NULL,
    note text NOT NULL,
    due timestamptz
);

CREATE INDEX ON credential_notes (due);
