#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fits_enqueue
short_description: Put files on the ingest or the export queue of FITS Storage
version_added: 1.0.0
description:
  - Runs upstream's own C(add_to_ingest_queue.py) or C(add_to_export_queue.py), as its user and in its environment, and judges
    it by the rows that appear. The script itself exits 0 whatever happens.
  - Says beforehand what the script would silently not do, and refuses it. A file that does not exist, cannot be read, or would
    be skipped for its name, a row that stands and would make it forget O(force), a failed row that would make it ignore the
    file, an orphan that would keep the new row from ever being popped.
  - A file whose row waits already needs nothing.
  - Rows that nobody has touched are removed again by M(fieldops.runbooks.runbook_undo), also those of a run that was killed.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.postgres
  - fieldops.runbooks.fits_workers
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: partial
    details:
      - As long as the row waits, nothing more is done. A file whose row has been served is queued again.
      - Generation C takes a second row while the first is in progress, because the file may have changed meanwhile.
options:
  queue:
    description: The queue.
    type: str
    choices: [ingest, export]
    default: ingest
  filename:
    description:
      - Names of files, without directory.
      - For V(ingest), exactly as they are in the directory. For V(export), with or without C(.bz2); the row gets the name that
        is present in the database.
      - Control characters and outer blanks are refused, because upstream would change them.
    type: list
    elements: str
  file_re:
    description:
      - All files of the directory whose name this Python regular expression finds anywhere, as upstream's option does. For
        V(ingest) only.
      - The files found are passed to upstream by name, so a file that comes up later is not queued unseen.
      - Upstream's words V(today), V(twoday), V(fourday), V(tenday) and V(twentyday) are refused. They mean different numbers of
        days in different generations.
    type: str
  path:
    description:
      - Directory of the files, relative to O(storage_root). Directories below it are not looked into.
      - For V(export) it is only checked, since upstream's script finds files by name.
    type: str
    default: ""
  force:
    description: Ingest the files even if they have not changed. For V(ingest) only.
    type: bool
    default: false
  destination:
    description: Servers to export to, as they are in upstream's configuration. Needed for V(export), and only there.
    type: list
    elements: str
  storage_root:
    description: Directory below which FITS Storage keeps its files.
    type: path
    default: /sci/dataflow
  scripts_dir:
    description:
      - Directory of FITS Storage's scripts on this node. Without it, the scripts are looked for in
        V(/opt/FitsStorage/fits_storage/scripts).
      - When given, only processes that run a script of this directory count as workers. Without it, any process that runs a
        script of the service's name does.
    type: path
  run_as:
    description: User as whom upstream's script runs. The module must run as this user, or as root.
    type: str
    default: fitsdata
  python:
    description: Interpreter that runs upstream's script.
    type: path
    default: /usr/bin/python3
  pythonpath:
    description: What the script gets as E(PYTHONPATH).
    type: list
    elements: path
    default: [/opt/FitsStorage, /opt/DRAGONS]
  environment:
    description:
      - More variables for the script, for example E(FITS_DB_NAME) or E(FITS_STORAGE_DB_URL). It gets none of the module's own,
        apart from E(TZ), and O(timezone) goes before that.
      - The values are taken out of every result, wherever they appear, unless they are shorter than four characters.
    type: dict
    default: {}
  timeout:
    description: Seconds for one run of the script; then it is killed with all its children. Must be less than O(lock_expiry).
    type: float
    default: 300.0
notes:
  - Files in S3 are not supported; a file must be below O(storage_root) on this node.
  - An ingest is one run of the script, however many files there are. An export is one run for each file and destination,
    because upstream selects by one name.
  - Generation A's C(add_to_export_queue.py) ends in a traceback, whatever the file, until upstream's change of May 2021. The
    module then fails and shows it.
seealso:
  - module: fieldops.runbooks.fits_queue_info
  - module: fieldops.runbooks.fits_queue_reset
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: Ingest a file again, although it has not changed
  fieldops.runbooks.fits_enqueue:
    filename: N20200804S0091.fits
    force: true
  become: true
  become_user: fitsdata

- name: What of one night would be queued?
  fieldops.runbooks.fits_enqueue:
    file_re: ^N20200804S
  become: true
  check_mode: true
  diff: true

- name: Export a file
  fieldops.runbooks.fits_enqueue:
    queue: export
    filename: N20200804S0091.fits
    destination: https://archive.example.org
  become: true
"""

RETURN = r"""
schema_generation:
  description: As returned by M(fieldops.runbooks.fits_queue_info).
  returned: always
  type: str
  sample: C
skipped:
  description: Files that O(file_re) finds and upstream would pass over, and why. At most 1000.
  returned: always
  type: list
  elements: dict
  sample: [{"filename": "tmp_N20200804S0091.fits", "why": "its name holds tmp or tiled"}]
changed:
  description: Whether anything was changed; in check mode, whether anything would be.
  returned: always
  type: bool
  sample: true
changes:
  description: The plan, and what became of it. At most 1000 are shown; the journal has all.
  returned: always
  type: list
  elements: dict
  contains:
    n:
      description: Number of the change within the run, as M(fieldops.runbooks.runbook_undo) takes it.
      type: int
      sample: 0
    action:
      description: What is done to the subject.
      type: str
      sample: reset
    subject:
      description: What is changed.
      type: str
      sample: "ingest:N20200804S0091.fits"
    before:
      description: The subject as it was; null if it did not exist.
      type: dict
      sample: {"id": 12, "inprogress": true, "failed": false}
    after:
      description: The subject as it will be; null if it will not exist.
      type: dict
      sample: {"id": 12, "inprogress": false, "failed": false}
    reason:
      description: Why, in one sentence.
      type: str
      sample: in progress, and no worker can be on it
    reversible:
      description: Whether the change can be undone.
      type: bool
      sample: true
    data_loss:
      description: What would be lost, if anything.
      type: str
      sample: force of ingest row 12
    done:
      description: Whether it was done. Always false in check mode.
      type: bool
      sample: true
    note:
      description: Why it was not done, if the subject changed between plan and change.
      type: str
      sample: "the row was taken, changed or removed since it was read: left alone"
changes_total:
  description: Number of changes in the plan.
  returned: always
  type: int
  sample: 1
plan_sha256:
  description: Hash of the plan. The same plan has the same hash in check mode and in the real run.
  returned: always
  type: str
  sample: 6b1f0c3f5f6d2d3a7f7c8f0d4f3c2a1b0e9d8c7b6a5948372615f4e3d2c1b0a9
undo_id:
  description: Takes this run back, with M(fieldops.runbooks.runbook_undo). Null when nothing was changed.
  returned: always
  type: str
  sample: 20260131T235959-fits_queue_reset-0123abcd
refusals:
  description: Every guard that refused, why, and what would allow the plan. Nothing was changed.
  returned: when a guard refused
  type: list
  elements: dict
  sample: [{"guard": "max_changes", "reason": "50000 changes are planned, at most 1000 are allowed.", "allow": "read the plan, then pass max_changes: 50000"}]
guards:
  description: What each guard decided on the plan, those that let it pass as well. In the order in which they are told.
  returned: always
  type: list
  elements: dict
  contains:
    guard:
      description: Name of the guard; those that only this fix has are listed when they refuse.
      type: str
      sample: cooldown
    decision:
      description: V(pass), V(refuse), or V(off) where it was not asked.
      type: str
      sample: refuse
    why:
      description: Why, in words.
      type: str
      sample: "the same fix was run on 1 of these subjects 40 s ago (run 20260131T235959-fits_queue_reset-0123abcd), first ingest:a.fits: it does not hold."
    allow:
      description: What would allow the plan; empty unless it was refused.
      type: str
      sample: "find out why it came back; or wait 561 s, or pass cooldown: 0."
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
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.command import SHORTEST_SECRET, CommandError
from ..module_utils.connect.postgres import PostgresError
from ..module_utils.fits.argspec import POSTGRES, WORKERS
from ..module_utils.fits.enqueue_run import Enqueue
from ..module_utils.fits.errors import FitsError
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix

OPTIONS = ArgumentSpec(
    {
        "queue": {"type": "str", "default": "ingest", "choices": ["ingest", "export"]},
        "filename": {"type": "list", "elements": "str"},
        "file_re": {"type": "str"},
        "path": {"type": "str", "default": ""},
        "force": {"type": "bool", "default": False},
        "destination": {"type": "list", "elements": "str"},
        "storage_root": {"type": "path", "default": "/sci/dataflow"},
        "run_as": {"type": "str", "default": "fitsdata"},
        "python": {"type": "path", "default": "/usr/bin/python3"},
        "pythonpath": {"type": "list", "elements": "path", "default": ["/opt/FitsStorage", "/opt/DRAGONS"]},
        "environment": {"type": "dict", "default": {}, "no_log": True},
        "timeout": {"type": "float", "default": 300.0},
    },
    mutually_exclusive=[("filename", "file_re")],
    required_one_of=[("filename", "file_re")],
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(POSTGRES, WORKERS, GUARDS).to_kwargs())
    module.no_log_values = {value for value in module.no_log_values if len(value) >= SHORTEST_SECRET}
    run_fix(module, Enqueue, (PostgresError, FitsError, CommandError))


if __name__ == "__main__":
    main()
