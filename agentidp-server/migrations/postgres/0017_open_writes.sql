-- A write to Vault that is about to happen, or whose commit never came: at most one a credential. No foreign keys: the write
-- of a new credential is recorded before its row.
CREATE TABLE open_writes (
    credential_id uuid PRIMARY KEY,
    client_id uuid NOT NULL,
    kind varchar(16) NOT NULL CHECK (kind IN ('create', 'move', 'rotate', 'repair', 'pin', 'blank')),
    vault_path text NOT NULL,
    -- The version that the row pins; 0 where it pins none.
    base bigint NOT NULL,
    -- Whose it is. The commit sets it as the row's revision.
    attempt uuid NOT NULL,
    -- Of secrets that were generated for this base, `salt:sha256` in hexadecimal digits, separated by blanks. Never of a
    -- secret that a client has presented, but for the current one in a repair, after `current:`: it is pinned, never shown.
    digests text NOT NULL,
    -- Until then others wait.
    lease_until timestamptz NOT NULL
);

CREATE INDEX idx_open_writes_lease_until ON open_writes (lease_until);

-- What Vault still has to forget, one row a place. `delete`: the credential has ended, or was never committed. `blank`: the
-- credential has moved away, and may come back. `rest`: something may lie there; nothing to do before the credential ends.
-- purge_jobs stays for servers of the release before: new servers take over what is due there.
CREATE TABLE purge_debts (
    credential_id uuid NOT NULL,
    client_id uuid NOT NULL,
    vault_path text NOT NULL,
    kind varchar(16) NOT NULL CHECK (kind IN ('delete', 'blank', 'rest')),
    due_at timestamptz NOT NULL,
    -- How often it failed since it last succeeded.
    attempts bigint NOT NULL DEFAULT 0,
    -- How often Vault has deleted the place: it is asked again, for a write that arrives late.
    deletions bigint NOT NULL DEFAULT 0,
    claimed_until timestamptz,
    PRIMARY KEY (credential_id, vault_path)
);

CREATE INDEX idx_purge_debts_due_at ON purge_debts (due_at);
