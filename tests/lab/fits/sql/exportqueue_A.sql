CREATE TABLE exportqueue (
    id serial PRIMARY KEY,
    filename text NOT NULL,
    path text,
    destination text NOT NULL,
    inprogress boolean,
    failed boolean,
    added timestamp without time zone,
    lastfailed timestamp without time zone,
    CONSTRAINT exportqueue_filename_inprogress_failed_key UNIQUE (filename, inprogress, failed),
    CONSTRAINT exportqueue_filename_path_destination_key UNIQUE (filename, path, destination)
);
CREATE INDEX ix_exportqueue_filename ON exportqueue (filename);
CREATE INDEX ix_exportqueue_destination ON exportqueue (destination);
CREATE INDEX ix_exportqueue_inprogress ON exportqueue (inprogress);
