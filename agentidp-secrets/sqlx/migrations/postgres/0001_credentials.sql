-- A client, and whether it may authenticate.
CREATE TABLE agentidp_clients (
    client_id text COLLATE "C" PRIMARY KEY,
    active boolean NOT NULL DEFAULT true
);

-- A credential of a client: its records, and what the protocol has noted of it. Times are milliseconds since 1970.
CREATE TABLE agentidp_credentials (
    client_id text COLLATE "C" NOT NULL,
    credential_id text COLLATE "C" NOT NULL,
    -- reserved: there is a note, and no credential yet. ended: never again, and its id is not used again.
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('reserved', 'active', 'ended')),
    record text,
    selector text,
    previous_record text,
    previous_selector text,
    previous_until bigint,
    -- Each write of the records sets a fresh one. Null: the row was imported.
    revision text,
    expires_at bigint,
    -- Nobody has used the secret yet: the retry of a request may still replace it.
    is_unused boolean NOT NULL DEFAULT false,
    -- A write that is under way, and what backends still have to forget. Null for most rows.
    note text,
    note_due bigint,
    PRIMARY KEY (client_id, credential_id)
);

-- A login reads the active credentials of a client, however many have ended.
CREATE INDEX agentidp_credentials_active ON agentidp_credentials (client_id, credential_id) WHERE state = 'active';

CREATE INDEX agentidp_credentials_note_due ON agentidp_credentials (note_due) WHERE note_due IS NOT NULL;
