-- Every server overwrites this row every two seconds. It is ready only while the database takes that write.
CREATE TABLE write_probe (
    id integer PRIMARY KEY CHECK (id = 1),
    filler bytea NOT NULL
);
