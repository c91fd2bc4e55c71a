CREATE TABLE exportqueue (
    id serial PRIMARY KEY,
    filename text NOT NULL,
    path text,
    destination text NOT NULL,
    header_fields text,
    md5_before_header text,
    md5_after_header text,
    reject_new boolean,
    inprogress boolean,
    failed boolean,
    sortkey text,
    added timestamp without time zone,
    lastfailed timestamp without time zone,
    after timestamp without time zone,
    CONSTRAINT exportqueue_filename_inprogress_failed_destination_key UNIQUE (filename, inprogress, failed, destination)
);
CREATE INDEX ix_exportqueue_filename ON exportqueue (filename);
CREATE INDEX ix_exportqueue_destination ON exportqueue (destination);
CREATE INDEX ix_exportqueue_inprogress ON exportqueue (inprogress);
CREATE INDEX ix_exportqueue_sortkey ON exportqueue (sortkey);
