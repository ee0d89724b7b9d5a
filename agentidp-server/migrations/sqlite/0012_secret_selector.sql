-- A short keyed fingerprint of the secret, `key id:16 hexadecimal digits`: it picks the one record worth checking, and
-- decides nothing. Absent until a secret is issued, rotated or proved under MAC_KEYS.
ALTER TABLE credentials ADD COLUMN secret_selector text;

-- A selector of another secret would rule the right one out. So whoever changes the record and knows nothing of selectors
-- (the documented system, an operator's UPDATE) clears it; the next proof brings it back.
CREATE TRIGGER credentials_clear_selector AFTER UPDATE OF secret_hash, vault_path, vault_version ON credentials
    FOR EACH ROW
    WHEN (
        new.secret_hash IS NOT old.secret_hash
        OR new.vault_path IS NOT old.vault_path
        OR new.vault_version IS NOT old.vault_version
    ) AND new.secret_selector IS old.secret_selector
    BEGIN
        UPDATE credentials SET secret_selector = NULL WHERE credential_id = new.credential_id;
    END;
