-- The KV version that the row vouches for.
ALTER TABLE credentials ADD COLUMN vault_version integer CHECK (vault_version >= 1);
