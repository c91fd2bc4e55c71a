CREATE TABLE ingestqueue (
    id serial PRIMARY KEY,
    filename text NOT NULL,
    path text,
    inprogress boolean,
    failed boolean,
    added timestamp without time zone,
    force_md5 boolean,
    force boolean,
    after timestamp without time zone,
    sortkey text,
    CONSTRAINT ingestqueue_filename_inprogress_failed_key UNIQUE (filename, inprogress, failed),
    CONSTRAINT ingestqueue_filename_path_key UNIQUE (filename, path)
);
CREATE INDEX ix_ingestqueue_filename ON ingestqueue (filename);
CREATE INDEX ix_ingestqueue_inprogress ON ingestqueue (inprogress);
CREATE INDEX ix_ingestqueue_sortkey ON ingestqueue (sortkey);
