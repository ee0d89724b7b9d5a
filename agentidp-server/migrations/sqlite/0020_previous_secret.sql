-- The secret before the present one, which works until previous_expires_at. It counts only for the revision that it was
-- written with: a server of an older release, or SQL by hand, changes the present secret and leaves these columns as they are.
ALTER TABLE credentials ADD COLUMN previous_hash text;
ALTER TABLE credentials ADD COLUMN previous_path text;
ALTER TABLE credentials ADD COLUMN previous_version integer;
ALTER TABLE credentials ADD COLUMN previous_selector text;
ALTER TABLE credentials ADD COLUMN previous_expires_at text;
ALTER TABLE credentials ADD COLUMN previous_of text;
