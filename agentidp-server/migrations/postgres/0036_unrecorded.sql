-- Of unknown clients' failures only samples are recorded. Each of the others overwrites one of these rows, because a refusal that
-- waits for no commit would tell by its time that the client is unknown.
CREATE TABLE unrecorded (
    id smallint PRIMARY KEY CHECK (id BETWEEN 0 AND 255),
    filler bytea NOT NULL
);
