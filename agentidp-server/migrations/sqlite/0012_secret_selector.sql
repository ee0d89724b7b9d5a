-- A short keyed fingerprint of the secret, `key id:16 hexadecimal digits`: it picks the one record worth checking, and
-- decides nothing. Absent until a secret is issued, rotated or proved under MAC_KEYS.
ALTER TABLE credentials ADD COLUMN secret_selector text;
