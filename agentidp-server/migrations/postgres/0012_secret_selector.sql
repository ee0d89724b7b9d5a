-- A short keyed fingerprint of the secret, `key id:16 hexadecimal digits`: it picks the one record worth checking, and
-- decides nothing. Absent until a secret is issued, rotated or proved under MAC_KEYS.
ALTER TABLE credentials ADD COLUMN secret_selector varchar(40);

-- A selector of another secret would rule the right one out. So whoever changes the record and knows nothing of selectors
-- (the documented system, an operator's UPDATE) clears it; the next proof brings it back.
CREATE FUNCTION credentials_clear_selector() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.secret_selector := NULL;
    RETURN NEW;
END
$$;

CREATE TRIGGER credentials_clear_selector BEFORE UPDATE OF secret_hash, vault_path, vault_version ON credentials
    FOR EACH ROW
    WHEN (
        (NEW.secret_hash, NEW.vault_path, NEW.vault_version) IS DISTINCT FROM (OLD.secret_hash, OLD.vault_path, OLD.vault_version)
        AND NEW.secret_selector IS NOT DISTINCT FROM OLD.secret_selector
    )
    EXECUTE FUNCTION credentials_clear_selector();
