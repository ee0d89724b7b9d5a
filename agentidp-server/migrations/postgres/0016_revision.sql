-- Names one state of a credential's secret. Every write of the secret's columns compares it and sets a fresh one.
-- Null: not written since this migration.
ALTER TABLE credentials ADD COLUMN revision uuid;
ALTER TABLE credentials ALTER COLUMN revision SET DEFAULT gen_random_uuid();

-- A server of an older release, or SQL by hand, knows no revision: its write gets a fresh one all the same.
CREATE FUNCTION agentidp_fresh_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.revision := gen_random_uuid();
    RETURN NEW;
END
$$;

CREATE TRIGGER agentidp_fresh_revision BEFORE UPDATE OF secret_hash, vault_path, vault_version ON credentials
    FOR EACH ROW
    WHEN (
        (NEW.secret_hash, NEW.vault_path, NEW.vault_version)
            IS DISTINCT FROM (OLD.secret_hash, OLD.vault_path, OLD.vault_version)
        AND NEW.revision IS NOT DISTINCT FROM OLD.revision
    )
    EXECUTE FUNCTION agentidp_fresh_revision();
ALTER TABLE credentials ENABLE ALWAYS TRIGGER agentidp_fresh_revision;
