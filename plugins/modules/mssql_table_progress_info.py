#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mssql_table_progress_info
short_description: Tell how many rows a table of SQL Server has, and whether it grows
version_added: 1.0.0
description:
  - For a query of a job that runs for hours. Looks twice, O(interval) seconds apart, at the table which the query fills, and tells how many rows it
    has, how many came in between, and with O(expected_rows) when it will be done.
  - Sees tables of a database, and temporary tables, whose names begin with C(#). Such a table belongs to one session and nobody else may read it, but
    the row count that the server keeps can be looked at.
  - Row counts are estimates taken from the catalogue, which cost next to nothing and are up to date while an C(INSERT) runs, though it is not
    committed. O(count) counts instead.
  - Only the heap or the clustered index of a table is looked at (C(index_id) 0 or 1). A query that leaves this out counts the rows of a table once
    more for each further index.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
  - fieldops.runbooks.mssql
options:
  table:
    description:
      - Name of the table, without database and schema.
      - A name that begins with V(#) is that of a temporary table, and is looked for in C(tempdb). Sessions that use the same name have a table each;
        all of them are returned.
      - Every character stands for itself, V(%) and V(_) included.
    type: str
    required: true
  match:
    description:
      - V(exact) takes tables of exactly this name. C(tempdb) pads the names of temporary tables with underscores, so a name and the same name with an
        underscore behind it cannot be told apart.
      - V(prefix) takes all whose names begin with it.
    type: str
    choices: [exact, prefix]
    default: exact
  database:
    description:
      - Database of the table; not for temporary tables.
      - Without it, E(TEMP_DATABASE_NAME) of O(config_files), else V(OpenCORONATempTables).
    type: str
  schema:
    description: Schema of the table; not for temporary tables. Without it, tables of all schemas are looked at.
    type: str
  interval:
    description: Seconds between the two looks, at most 3600. With V(0) there is only one, which tells the rows but not whether they grow.
    type: float
    default: 10.0
  expected_rows:
    description: Rows that the table will have in the end, as far as anybody knows.
    type: int
  count:
    description:
      - Whether to count the rows, with C(SELECT COUNT_BIG(*) ... WITH (NOLOCK)), which reads the whole table.
      - Only one table is counted, and only within O(timeout). When it cannot be, or may not be read, the estimate is returned, and a finding tells why.
    type: bool
    default: false
  config_files:
    description:
      - Environment files of job-runner on the node, in the order in which the service reads them. The last file that sets a variable wins.
      - Read for E(TEMP_DATABASE_NAME), and for the server where neither O(login_host) nor O(database_url) is given. The password then never leaves the
        node.
    type: list
    elements: path
    default:
      - /home/opensafely/config/01_defaults.env
      - /home/opensafely/config/02_secrets.env
      - /home/opensafely/config/03_backend.env
      - /home/opensafely/config/04_local.env
  database_url_from:
    description: Variable of O(config_files) that holds the URL of the database which jobs use.
    type: str
    default: DEFAULT_DATABASE_URL
notes:
  - This module has never been run against a real SQL Server. It is tested with the real driver against a stand-in that speaks the protocol (TDS 7.4) and
    has the few catalogue views that are needed, and which refuses every statement that is not a C(SELECT) or a C(SET).
  - Sends nothing but C(SET) and C(SELECT), outside of a transaction, at isolation level C(READ UNCOMMITTED) and with low deadlock priority.
  - It does not ask for a read-only replica (C(ApplicationIntent=ReadOnly)). That would be another server, with another C(tempdb).
  - A row count that does not move is not proof that a query is stuck. A query may sort and join for long before it inserts its first row.
  - Runs on any host that reaches the SQL Server, for example the backend.
seealso:
  - name: Assessing query progress in mssql
    description: The section of the OpenSAFELY backend's playbook.
    link: https://github.com/opensafely-core/backend-server/blob/ca53c866/playbook.md
"""

EXAMPLES = r"""
- name: Does the temporary table of a job still grow? The server is the one that the backend's own configuration names
  fieldops.runbooks.mssql_table_progress_info:
    table: "#tmp_patients"
  become: true

- name: When will this table be done?
  fieldops.runbooks.mssql_table_progress_info:
    table: cohort_2024_01
    expected_rows: 24000000
    interval: 60
  become: true

- name: Count the rows of a table once, on a server that is named here
  fieldops.runbooks.mssql_table_progress_info:
    login_host: sql.example.org
    login_user: reader
    login_password: "{{ vaulted_password }}"
    encryption: require
    table: cohort_2024_01
    count: true
    interval: 0
    timeout: 600
"""

RETURN = r"""
tables:
  description: The tables that match, the biggest first, at most 200.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the table as the server has it.
      type: str
      sample: cohort_2024_01
    short_name:
      description: The same without what C(tempdb) adds to the name of a temporary table.
      type: str
      sample: cohort_2024_01
    schema:
      description: Its schema; empty where this user may not see it.
      type: str
      sample: dbo
    database:
      description: Its database.
      type: str
      sample: OpenCORONATempTables
    object_id:
      description: Its id. A table that was dropped and made again has another one.
      type: int
      sample: 1013578649
    age:
      description: Seconds since it was made, by the server's clock.
      type: int
      sample: 5400
    status:
      description: >-
        V(progressing) rows came between the looks. V(not_moving) none did. V(shrinking) there were fewer rows. V(complete) there are as many as
        expected. V(new) or V(gone) only the second or the first look saw it. V(seen) nothing can be said but its rows. V(no_estimate) the server keeps no
        row count for it.
      type: str
      sample: progressing
    rows:
      description: Rows at the last look that saw it; null where the server keeps no count.
      type: int
      sample: 1200000
    rows_before:
      description: Rows at the first look; null where there was none, or only one.
      type: int
      sample: 1100000
    source:
      description: Where the number comes from, V(sys.partitions), V(sys.dm_db_partition_stats), or V(count).
      type: str
      sample: sys.partitions
    seconds:
      description: Seconds between the two numbers; null where there are not two of one source.
      type: float
      sample: 10.012
    rows_per_second:
      description: Rows that came each second in between; null where that is not known.
      type: float
      sample: 9988.014
    percent:
      description: Share of O(expected_rows); null without it.
      type: float
      sample: 5.0
    eta_seconds:
      description: Seconds until there will be O(expected_rows) at this rate; null where that cannot be said.
      type: int
      sample: 2283
    eta:
      description: The time of that (UTC).
      type: str
      sample: "2026-01-30T08:38:03Z"
matched:
  description: Tables that match.
  returned: always
  type: int
  sample: 1
findings:
  description: What is so. One for each table, at most 50, and what else is to be known.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: >-
        Stable name of the condition, C(jobrunner.table_progress.) and a status of a table, or V(missing), V(several), V(count_unavailable) or
        V(interrupted).
      type: str
      sample: jobrunner.table_progress.not_moving
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: warning
    subject:
      description: The table.
      type: str
      sample: OpenCORONATempTables.dbo.cohort_2024_01
    summary:
      description: One sentence for a person.
      type: str
      sample: "OpenCORONATempTables.dbo.cohort_2024_01 did not get a row in 10.0 s: it has about 1200000 rows"
    detail:
      description: The same for a program.
      type: dict
      sample: {"rows": 1200000, "rows_before": 1200000, "status": "not_moving"}
    remedy:
      description: What to do next, in words.
      type: dict
      sample: {"playbook": null, "vars": {}, "text": "find out what the query waits for before anything is killed"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "opensafely-jobrunner.md", "heading": "Assessing query progress in mssql"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample:
    server: sql.example.org:1433
    version: 15.0.4210.1
    login_user: reader
    database: OpenCORONATempTables
    sources: [sys.partitions]
    looks: 2
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 10.124
"""

from typing import Any, Mapping

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..module_utils.connect.mssql import IMPORT_ERROR, OPTIONS, MssqlError
from ..module_utils.jobrunner.argspec import CONFIG
from ..module_utils.jobrunner.errors import JobRunnerError
from ..module_utils.jobrunner.progress import TableProgress
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

SERVER = ArgumentSpec(
    dict(OPTIONS, database_url_from={"type": "str", "default": "DEFAULT_DATABASE_URL"}),
    mutually_exclusive=[("database_url", "login_host"), ("database_url", "login_user"), ("database_url", "login_password"), ("database_url", "login_db")],
    required_by={"login_host": ("login_user", "login_password"), "login_user": ("login_host",), "login_password": ("login_host",), "login_db": ("login_host",)},
)
TABLE = ArgumentSpec(
    {
        "table": {"type": "str", "required": True},
        "match": {"type": "str", "choices": ["exact", "prefix"], "default": "exact"},
        "database": {"type": "str"},
        "schema": {"type": "str"},
        "interval": {"type": "float", "default": 10.0},
        "expected_rows": {"type": "int"},
        "count": {"type": "bool", "default": False},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **TABLE.merge(SERVER, CONFIG).to_kwargs())
    if IMPORT_ERROR is not None:
        module.fail_json(msg=missing_required_lib("pymssql", url="https://pypi.org/project/pymssql/"), exception=IMPORT_ERROR)

    def look(params: Mapping[str, Any]) -> TableProgress:
        check = TableProgress(params)
        module.no_log_values.update(check.secrets)
        return check

    run_info(module, look, (JobRunnerError, MssqlError))


if __name__ == "__main__":
    main()
