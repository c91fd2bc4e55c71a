#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fits_queue_info
short_description: Tell why files wait in the queues of FITS Storage
version_added: 1.0.0
description:
  - Reads the queues of a FITS Storage or Gemini Archive database and tells, row by row, whether it waits, backs off, is being
    worked on, was orphaned by a worker that died, has failed, is starved by such an orphan, or can never be popped.
  - Finds out by looking which generation of FITS Storage the schema is of. A is that of December 2020, which the runbook
    describes, B that of January 2023, and C the rewrite that followed.
  - A row in progress does not say who works on it. This module gathers processes, lock files, logs and other sessions of the
    database; what cannot be known is named in RV(evidence) and counts as "may be live".
  - Needs the right to read the tables, nothing more, and runs a constant number of statements however long the queues are.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.record
  - fieldops.runbooks.postgres
  - fieldops.runbooks.fits_workers
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  queues:
    description: Queues to read. All that the schema has may be named.
    type: list
    elements: str
    choices: [ingest, export, preview, calcache, fileops, reduce]
    default: [ingest, export]
  filename:
    description:
      - Only rows of these files. They are found with and without C(.bz2), and listed whatever their state is.
    type: list
    elements: str
    default: []
  watch:
    description: Watch for up to this many seconds whether rows move, and stop as soon as they do.
    type: float
    default: 0.0
  max_entries:
    description: Rows to list in RV(queues) for each queue, worst first. V(0) lists all. The counts are always complete.
    type: int
    default: 1000
  max_errors:
    description: Entries of C(queue_error) to return for each listed row (generations A and B).
    type: int
    default: 5
notes:
  - In FITS Storage a row is called failed by a flag in A and B, and by a time in C, where
    C(9999-12-31 23:59:59.999999) means "has not failed".
  - Generation A's export keeps a row in progress after an ordinary failure and retries it by itself; such a row counts as
    deferred, not as orphaned.
seealso:
  - module: fieldops.runbooks.fits_queue_reset
  - module: fieldops.runbooks.fits_enqueue
"""

EXAMPLES = r"""
- name: Why are files not ingested or exported?
  fieldops.runbooks.fits_queue_info:
  register: fits

- name: What happened to these two files?
  fieldops.runbooks.fits_queue_info:
    filename:
      - N20200804S0091.fits
      - N20201023A0021.fits

- name: Does the export queue move, on a database that is reached over TLS with a read-only role
  fieldops.runbooks.fits_queue_info:
    login_host: db.example.org
    login_user: fits_ro
    login_password: "{{ vault_fits_ro_password }}"
    ssl_mode: verify-full
    ca_cert: /etc/ssl/certs/ca-certificates.crt
    queues: [export]
    watch: 10
"""

RETURN = r"""
schema_generation:
  description: V(A), V(B) or V(C); V(mixed) when ingest and export queue are of different generations.
  returned: always
  type: str
  sample: C
database:
  description: Name of the database that was read.
  returned: always
  type: str
  sample: fitsdata
queues:
  description: What was found, by the name of the queue.
  returned: always
  type: dict
  contains:
    pending:
      description: Rows that wait and would be popped.
      type: int
      sample: 40
    deferred:
      description: Rows that wait for their time, or back off after a failure that is retried by itself.
      type: int
      sample: 2
    in_progress:
      description: Rows that a worker is, or may be, working on.
      type: int
      sample: 1
    orphaned:
      description: Rows in progress that no worker can be on.
      type: int
      sample: 1
    failed:
      description: Rows that failed.
      type: int
      sample: 3
    stale:
      description: Failed rows of files that were ingested after the failure.
      type: int
      sample: 1
    starved:
      description: Waiting rows that an orphan of the same file keeps from being popped.
      type: int
      sample: 1
    unpoppable:
      description: Rows that no worker will ever pop, because of NULL or infinity.
      type: int
      sample: 0
    total:
      description: All rows.
      type: int
      sample: 49
    table:
      description: Name of the table.
      type: str
      sample: ingestqueue
    generation:
      description: Generation of this table.
      type: str
      sample: C
    oldest_age:
      description: Seconds since the oldest row was queued; null when the queue is empty.
      type: float
      sample: 86400.5
    moves:
      description: Whether the queue moves; null when nothing waits, or when it cannot be told without O(watch).
      type: bool
      sample: false
    moves_reason:
      description: How that is known.
      type: str
      sample: rows wait and no worker is running
    workers_live:
      description: Live workers of this queue on this node.
      type: int
      sample: 0
    may_be_live:
      description: Rows in progress that a worker is, or may be, on.
      type: int
      sample: 1
    must_stop_workers:
      description: Whether the workers must be stopped before the rows in progress can be told apart and mended.
      type: bool
      sample: false
    entries:
      description: Every row that is not plainly waiting, worst first, with what is known of it.
      type: list
      elements: dict
      sample:
        - id: 12
          filename: N20200804S0091.fits
          path: ""
          destination:
          condition: orphaned
          age: 86400.5
          added: "2026-01-30T08:00:00"
          after: "2026-01-30T08:00:00"
          failed_at:
          error:
          queue_errors: []
          may_be_live: false
          twin_of:
          note: ""
    entries_omitted:
      description: Rows that O(max_entries) left out.
      type: int
      sample: 0
findings:
  description: What is so, worst or not; after a fix, what is so now.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: fits.ingest.orphaned
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: critical
    subject:
      description: What it is about.
      type: str
      sample: ingest queue
    summary:
      description: One sentence for a person.
      type: str
      sample: "1 ingest queue row in progress although no worker can be on it: N20200804S0091.fits; it will never be finished"
    detail:
      description: The same for a program.
      type: dict
      sample: {"count": 1, "ids": [12]}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": "fieldops.runbooks.fits_ingest_queue", "vars": {"fits_repair": true}, "text": "repair the queue"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "fits.rst", "heading": "General Considerations"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"timezone": "Pacific/Honolulu"}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.041
record:
  description: What was read, without secrets, for O(replay).
  returned: when O(record)
  type: dict
  sample: {"version": 1, "check": "fits_queue_info", "state": {}, "judged_by": {}}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.postgres import PostgresError
from ..module_utils.fits.argspec import POSTGRES, WORKERS
from ..module_utils.fits.errors import FitsError
from ..module_utils.fits.queue_info import QueueInfo
from ..module_utils.fits.tables import QUEUES
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

OPTIONS = ArgumentSpec(
    {
        "queues": {"type": "list", "elements": "str", "default": ["ingest", "export"], "choices": list(QUEUES)},
        "filename": {"type": "list", "elements": "str", "default": []},
        "watch": {"type": "float", "default": 0.0},
        "max_entries": {"type": "int", "default": 1000},
        "max_errors": {"type": "int", "default": 5},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(POSTGRES, WORKERS).recordable().to_kwargs())
    run_info(module, QueueInfo, (PostgresError, FitsError))


if __name__ == "__main__":
    main()
