-- When a credential was made, in milliseconds since 1970. Null: before there was this column.
ALTER TABLE agentidp_credentials ADD COLUMN created_at integer;
