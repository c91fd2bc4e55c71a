CREATE TABLE previewqueue (
    id serial PRIMARY KEY,
    diskfile_id integer NOT NULL REFERENCES diskfile (id),
    inprogress boolean,
    failed boolean,
    force boolean,
    sortkey text
);
CREATE UNIQUE INDEX ix_previewqueue_diskfile_id ON previewqueue (diskfile_id);
CREATE INDEX ix_previewqueue_inprogress ON previewqueue (inprogress);
CREATE INDEX ix_previewqueue_sortkey ON previewqueue (sortkey);

CREATE TABLE calcachequeue (
    id serial PRIMARY KEY,
    obs_hid integer NOT NULL REFERENCES header (id),
    inprogress boolean,
    failed boolean,
    ut_datetime timestamp without time zone,
    sortkey timestamp without time zone,
    filename text
);
CREATE INDEX ix_calcachequeue_obs_hid ON calcachequeue (obs_hid);
CREATE INDEX ix_calcachequeue_inprogress ON calcachequeue (inprogress);
CREATE INDEX ix_calcachequeue_sortkey ON calcachequeue (sortkey);

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
