-- Which write vault_version is of: the version, a blank, and when it was written, as Vault says it. A number that means another
-- write, as after a restore of Vault, is told by it. Of another version it counts for nothing: an older release changes only that.
ALTER TABLE credentials ADD COLUMN vault_written varchar(64), ADD COLUMN previous_written varchar(64);
