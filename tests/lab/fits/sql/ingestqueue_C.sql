CREATE TABLE ingestqueue (
    id serial PRIMARY KEY,
    filename text NOT NULL,
    path text NOT NULL,
    inprogress boolean,
    fail_dt timestamp without time zone,
    added timestamp without time zone,
    force_md5 boolean,
    force boolean,
    after timestamp without time zone,
    no_defer boolean,
    batch text,
    sortkey text,
    error text,
    md5_before_header_update text,
    md5_after_header_update text,
    header_update text,
    CONSTRAINT ingestqueue_filename_path_inprogress_fail_dt_key UNIQUE (filename, path, inprogress, fail_dt)
);
CREATE INDEX ix_ingestqueue_filename ON ingestqueue (filename);
CREATE INDEX ix_ingestqueue_inprogress ON ingestqueue (inprogress);
CREATE INDEX ix_ingestqueue_fail_dt ON ingestqueue (fail_dt);
CREATE INDEX ix_ingestqueue_sortkey ON ingestqueue (sortkey);
