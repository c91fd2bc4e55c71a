CREATE TABLE previewqueue (
    id serial PRIMARY KEY,
    diskfile_id integer NOT NULL REFERENCES diskfile (id),
    filename text,
    inprogress boolean,
    fail_dt timestamp without time zone,
    force boolean,
    scavengeonly boolean,
    sortkey text,
    error text,
    CONSTRAINT previewqueue_diskfile_id_inprogress_fail_dt_key UNIQUE (diskfile_id, inprogress, fail_dt)
);
CREATE UNIQUE INDEX ix_previewqueue_diskfile_id ON previewqueue (diskfile_id);
CREATE INDEX ix_previewqueue_inprogress ON previewqueue (inprogress);
CREATE INDEX ix_previewqueue_fail_dt ON previewqueue (fail_dt);
CREATE INDEX ix_previewqueue_sortkey ON previewqueue (sortkey);

CREATE TABLE calcachequeue (
    id serial PRIMARY KEY,
    obs_hid integer NOT NULL REFERENCES header (id),
    inprogress boolean,
    fail_dt timestamp without time zone,
    added timestamp without time zone,
    sortkey text,
    filename text,
    error text,
    CONSTRAINT calcachequeue_obs_hid_inprogress_fail_dt_key UNIQUE (obs_hid, inprogress, fail_dt)
);
CREATE INDEX ix_calcachequeue_obs_hid ON calcachequeue (obs_hid);
CREATE INDEX ix_calcachequeue_inprogress ON calcachequeue (inprogress);
CREATE INDEX ix_calcachequeue_fail_dt ON calcachequeue (fail_dt);
CREATE INDEX ix_calcachequeue_sortkey ON calcachequeue (sortkey);

CREATE TABLE fileopsqueue (
    id serial PRIMARY KEY,
    filename text,
    inprogress boolean,
    response_required boolean,
    fail_dt timestamp without time zone,
    added timestamp without time zone,
    after timestamp without time zone,
    sortkey timestamp without time zone,
    error text,
    request text NOT NULL,
    response text,
    batch text
);
CREATE INDEX ix_fileopsqueue_inprogress ON fileopsqueue (inprogress);
CREATE INDEX ix_fileopsqueue_fail_dt ON fileopsqueue (fail_dt);
CREATE INDEX ix_fileopsqueue_sortkey ON fileopsqueue (sortkey);

CREATE TYPE debundle_options AS ENUM ('INDIVIDUAL', 'ALL', 'GHOST', 'GHOST-SLIT', 'GHOST-REDBLUE', 'IGRINS-2');
CREATE TABLE reducequeue (
    id serial PRIMARY KEY,
    filenames text[],
    inprogress boolean,
    fail_dt timestamp without time zone,
    added timestamp without time zone,
    sortkey text,
    filename text,
    debundle debundle_options,
    recipe text,
    uparms text,
    capture_files boolean,
    capture_monitoring boolean,
    batch text,
    after_batch text,
    error text,
    mem_gb double precision,
    host text,
    designated_host text,
    intent text,
    initiatedby text,
    tag text,
    CONSTRAINT reducequeue_filenames_debundle_recipe_inprogress_fail_dt_key
        UNIQUE (filenames, debundle, recipe, inprogress, fail_dt)
);
CREATE INDEX ix_reducequeue_inprogress ON reducequeue (inprogress);
CREATE INDEX ix_reducequeue_fail_dt ON reducequeue (fail_dt);
CREATE INDEX ix_reducequeue_sortkey ON reducequeue (sortkey);
