CREATE TABLE exportqueue (
    id serial PRIMARY KEY,
    filename text NOT NULL,
    path text,
    destination text NOT NULL,
    inprogress boolean,
    fail_dt timestamp without time zone,
    sortkey text,
    added timestamp without time zone,
    after timestamp without time zone,
    error text,
    md5_before_header_update text,
    md5_after_header_update text,
    header_update text,
    CONSTRAINT exportqueue_filename_inprogress_fail_dt_destination_key UNIQUE (filename, inprogress, fail_dt, destination)
);
CREATE INDEX ix_exportqueue_filename ON exportqueue (filename);
CREATE INDEX ix_exportqueue_destination ON exportqueue (destination);
CREATE INDEX ix_exportqueue_inprogress ON exportqueue (inprogress);
CREATE INDEX ix_exportqueue_fail_dt ON exportqueue (fail_dt);
CREATE INDEX ix_exportqueue_sortkey ON exportqueue (sortkey);
