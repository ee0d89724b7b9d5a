-- The KV version that the row vouches for. Rows of the documented system have none: they read the latest.
ALTER TABLE credentials ADD COLUMN IF NOT EXISTS vault_version bigint CHECK (vault_version >= 1);
