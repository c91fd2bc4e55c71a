-- Tables that all three generations have. The braces at the end of diskfile are for a column that only A and B have.
CREATE TABLE file (
    id serial PRIMARY KEY,
    name text NOT NULL
);
CREATE UNIQUE INDEX ix_file_name ON file (name);

CREATE TABLE diskfile (
    id serial PRIMARY KEY,
    file_id integer NOT NULL REFERENCES file (id),
    filename text,
    path text,
    present boolean,
    canonical boolean,
    file_md5 text,
    file_size bigint,
    lastmod timestamp with time zone,
    entrytime timestamp with time zone,
    compressed boolean,
    data_md5 text,
    data_size bigint,
    isfits boolean,
    fvwarnings integer,
    fverrors integer,
    mdready boolean{datafile_timestamp}
);
CREATE INDEX ix_diskfile_file_id ON diskfile (file_id);
CREATE INDEX ix_diskfile_filename ON diskfile (filename);
CREATE INDEX ix_diskfile_present ON diskfile (present);
CREATE INDEX ix_diskfile_canonical ON diskfile (canonical);
CREATE INDEX ix_diskfile_lastmod ON diskfile (lastmod);
CREATE INDEX ix_diskfile_entrytime ON diskfile (entrytime);

CREATE TYPE telescope AS ENUM ('Gemini-North', 'Gemini-South');
CREATE TYPE qa_state AS ENUM ('Fail', 'CHECK', 'Undefined', 'Usable', 'Pass');
CREATE TABLE header (
    id serial PRIMARY KEY,
    diskfile_id integer NOT NULL REFERENCES diskfile (id),
    program_id text,
    engineering boolean,
    science_verification boolean,
    calibration_program boolean,
    observation_id text,
    data_label text,
    telescope telescope,
    instrument text,
    ut_datetime timestamp without time zone,
    object text,
    exposure_time numeric(8, 4),
    qa_state qa_state,
    release date
);
CREATE INDEX ix_header_diskfile_id ON header (diskfile_id);
CREATE INDEX ix_header_program_id ON header (program_id);
CREATE INDEX ix_header_ut_datetime ON header (ut_datetime);
CREATE INDEX ix_header_qa_state ON header (qa_state);

CREATE TABLE notification (
    id serial PRIMARY KEY,
    label text,
    selection text,
    piemail text,
    ngoemail text,
    csemail text,
    internal boolean
);

-- The laboratory's own ledger: written by the stand-in services in the transaction that takes a row off its queue.
CREATE TABLE lab_processed (
    seq bigserial PRIMARY KEY,
    queue text NOT NULL,
    filename text NOT NULL,
    row_id integer NOT NULL,
    pid integer NOT NULL,
    at timestamp with time zone NOT NULL,
    path text,
    destination text,
    outcome text NOT NULL
);
