-- The secret before the present one, which works until previous_expires_at. It counts only for the revision that it was
-- written with: a server of an older release, or SQL by hand, changes the present secret and leaves these columns as they are.
ALTER TABLE credentials
    ADD COLUMN previous_hash varchar(512),
    ADD COLUMN previous_path text,
    ADD COLUMN previous_version bigint,
    ADD COLUMN previous_selector varchar(64),
    ADD COLUMN previous_expires_at timestamptz,
    ADD COLUMN previous_of uuid;
