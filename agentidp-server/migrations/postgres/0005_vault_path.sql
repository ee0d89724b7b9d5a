-- A credential's secret lives in its hash or in Vault at this path, never in both.
ALTER TABLE credentials ADD COLUMN IF NOT EXISTS vault_path text;
ALTER TABLE credentials ALTER COLUMN secret_hash DROP NOT NULL;
