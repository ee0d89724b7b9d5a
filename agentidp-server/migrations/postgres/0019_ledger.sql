-- Who this database is to the folders in Vault where its secrets are. Each folder has an entry with the same counter and
-- mark; a copy of this database, or an older state of either side, is told by them. A row each folder, so that a change of
-- VAULT_PREFIX claims the new folder and forgets nothing of the old one.
CREATE TABLE ledger (
    -- Namespace, mount and prefix.
    folder text PRIMARY KEY,
    identity uuid NOT NULL,
    -- What the entry is known to hold; 0 until this database has claimed the folder.
    counter bigint NOT NULL,
    -- Absent at 0, and while an operator's command admits this database again.
    mark uuid,
    -- The mark of counter + 1, noted before the entry is written and absent once it is known to be.
    next_mark uuid
);
