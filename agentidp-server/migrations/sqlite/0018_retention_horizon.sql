-- What is older than the horizon may be deleted by its age. Servers move the horizon forward by at most twice the time for
-- which they ran, so a wrong clock deletes nothing that is still to be kept. It is null until the first rows exist.
CREATE TABLE retention_horizon (
    only_row integer PRIMARY KEY NOT NULL DEFAULT 1 CHECK (only_row = 1),
    horizon text
) STRICT;

INSERT INTO retention_horizon DEFAULT VALUES;
