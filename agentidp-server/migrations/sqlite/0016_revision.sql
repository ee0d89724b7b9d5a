-- Names one state of a credential's secret. Every write of the secret's columns compares it and sets a fresh one.
-- Null: not written since this migration.
ALTER TABLE credentials ADD COLUMN revision text;

-- A server of an older release, or SQL by hand, knows no revision: its write gets a fresh one all the same.
CREATE TRIGGER credentials_fresh_revision AFTER UPDATE OF secret_hash, vault_path, vault_version ON credentials
    FOR EACH ROW
    WHEN (
        new.secret_hash IS NOT old.secret_hash
        OR new.vault_path IS NOT old.vault_path
        OR new.vault_version IS NOT old.vault_version
    ) AND new.revision IS old.revision
    BEGIN
        UPDATE credentials SET revision = lower(
            hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(2)) || '-'
            || hex(randomblob(2)) || '-' || hex(randomblob(6))
        ) WHERE credential_id = new.credential_id;
    END;
