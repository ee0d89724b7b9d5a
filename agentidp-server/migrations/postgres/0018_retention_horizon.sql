-- What is older than the horizon may be deleted by its age. Servers move the horizon forward by at most twice the time for
-- which they ran, so a wrong clock deletes nothing that is still to be kept. It is null until the first rows exist.
CREATE TABLE retention_horizon (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    horizon timestamptz
);

INSERT INTO retention_horizon DEFAULT VALUES;
