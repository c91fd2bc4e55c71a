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
