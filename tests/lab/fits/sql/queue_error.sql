-- Gone from the code of C, but create_all never drops a table.
CREATE TYPE queue AS ENUM ('INGEST', 'PREVIEW', 'CALCACHE', 'EXPORT');
CREATE TABLE queue_error (
    id serial PRIMARY KEY,
    filename text NOT NULL,
    path text,
    added timestamp without time zone,
    queue queue,
    error text
);
CREATE INDEX ix_queue_error_filename ON queue_error (filename);
CREATE INDEX ix_queue_error_queue ON queue_error (queue);
