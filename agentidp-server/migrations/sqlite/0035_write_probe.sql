-- The server overwrites this row every two seconds. It is ready only while the database takes that write.
CREATE TABLE write_probe (
    id integer PRIMARY KEY NOT NULL CHECK (id = 1),
    filler blob NOT NULL
) STRICT;
