#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: runbook_undo
short_description: Take back what a fix of this collection did
version_added: 1.0.0
description:
  - Replays the before images that a fix journaled on the node, all of them or the ones named.
  - Looks at every subject first. What is as the fix left it is put back, what already is as it was before needs nothing, and
    where anything was changed since, the undo is refused as a whole, naming what is in the way.
  - Works for runs that were killed half way as well. What they did is found by looking.
  - Is itself planned, guarded and journaled, so an undo can be undone.
  - A queue row that is in progress looks the same whether an undo put it there or a worker took it since. It is taken back only
    when no worker can be on it, with the evidence that M(fieldops.runbooks.fits_queue_info) gathers, where the run gathered it.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.postgres
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: full
options:
  undo_id:
    description: The RV(undo_id) that a fix returned, or that M(fieldops.runbooks.runbook_journal_info) lists.
    type: str
    required: true
  changes:
    description: Numbers of the changes to take back. Without it, all.
    type: list
    elements: int
    default: []
  jwt:
    description: Token for the API of a Sesam node, where the run was made with one. It is kept nowhere.
    type: str
  consul_token:
    description:
      - Token of Consul's access control, to take back a run of M(fieldops.runbooks.hare_state) where that is switched on. It is kept nowhere.
      - If it is not set, the environment variable E(CONSUL_HTTP_TOKEN) of the managed node is used.
    type: str
  login_db:
    default:
    description:
      - Name of the database. The default is the database that the run was made on; any other is refused.
notes:
  - The connection options are needed only for runs that changed a database, O(jwt) only for those that changed a Sesam node by its API, and
    O(consul_token) only for those that changed Consul.
seealso:
  - module: fieldops.runbooks.runbook_journal_info
"""

EXAMPLES = r"""
- name: What would be taken back?
  fieldops.runbooks.runbook_undo:
    undo_id: 20260131T235959-fits_queue_reset-0123abcd
  check_mode: true
  diff: true

- name: Take back two changes of a run
  fieldops.runbooks.runbook_undo:
    undo_id: 20260131T235959-fits_queue_reset-0123abcd
    changes: [0, 3]
"""

RETURN = r"""
undone:
  description: The run that is taken back.
  returned: always
  type: dict
  sample: {"undo_id": "20260131T235959-fits_queue_reset-0123abcd", "fix": "fits_queue_reset", "status": "ok"}
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

from ..module_utils.connect.docker import DockerError
from ..module_utils.connect.libvirt import LibvirtError
from ..module_utils.connect.mongo import MongoError
from ..module_utils.connect.postgres import OPTIONS as POSTGRES_OPTIONS
from ..module_utils.connect.postgres import PostgresError
from ..module_utils.connect.service import ServiceError
from ..module_utils.connect.sqlite import SqliteError
from ..module_utils.fits.errors import FitsError
from ..module_utils.fits.undo import STORES as FITS_STORES
from ..module_utils.jobrunner.debug import STORES as DEBUG_STORES
from ..module_utils.jobrunner.deploy_run import STORES as DEPLOY_STORES
from ..module_utils.jobrunner.errors import JobRunnerError
from ..module_utils.jobrunner.image import STORES as IMAGE_STORES
from ..module_utils.jobrunner.output_undo import STORES as OUTPUT_STORES
from ..module_utils.jobrunner.setting_run import STORES as SETTING_STORES
from ..module_utils.jobrunner.undo import STORES as JOB_STORES
from ..module_utils.libvirt.errors import VirtualError
from ..module_utils.libvirt.undo import STORES as LIBVIRT_STORES
from ..module_utils.mongodb.errors import MongodbError
from ..module_utils.mongodb.undo import STORES as MONGODB_STORES
from ..module_utils.motr.block_repair import STORES as BLOCK_STORES
from ..module_utils.motr.connection_reset import STORES as MOTR_RESET_STORES
from ..module_utils.motr.errors import MotrError
from ..module_utils.motr.hare.argspec import TOKEN
from ..module_utils.motr.hare.undo import STORES as HARE_STORES
from ..module_utils.motr.live.requests import STORES as MOTR_REQUESTS_STORES
from ..module_utils.motr.record import STORES as MOTR_RECORD_STORES
from ..module_utils.node.restart_undo import STORES as RESTART_STORES
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix
from ..module_utils.procedure.pause_run import STORES as PAUSE_STORES
from ..module_utils.procedure.undo import undo_factory
from ..module_utils.sesam.argspec import API
from ..module_utils.sesam.errors import SesamError
from ..module_utils.sesam.profile import STORES as PROFILE_STORES
from ..module_utils.sesam.profiler import STORES as PROFILER_STORES
from ..module_utils.sesam.restart_run import STORES as SESAM_RESTART_STORES
from ..module_utils.sesam.stacktrace_run import STORES as STACKTRACE_STORES
from ..module_utils.sesam.undo import STORES as SESAM_STORES
from ..module_utils.talus.errors import TalusError
from ..module_utils.talus.undo import STORES as TALUS_STORES

OPTIONS = ArgumentSpec(
    {
        "undo_id": {"type": "str", "required": True},
        "changes": {"type": "list", "elements": "int", "default": []},
        "jwt": API.options["jwt"],
        "consul_token": TOKEN.options["consul_token"],
    }
)
STORES = {
    **FITS_STORES,
    **RESTART_STORES,
    **OUTPUT_STORES,
    **IMAGE_STORES,
    **DEBUG_STORES,
    **SETTING_STORES,
    **DEPLOY_STORES,
    **JOB_STORES,
    **LIBVIRT_STORES,
    **MONGODB_STORES,
    **TALUS_STORES,
    **SESAM_STORES,
    **SESAM_RESTART_STORES,
    **STACKTRACE_STORES,
    **PROFILE_STORES,
    **PROFILER_STORES,
    **BLOCK_STORES,
    **HARE_STORES,
    **MOTR_RECORD_STORES,
    **MOTR_REQUESTS_STORES,
    **MOTR_RESET_STORES,
    **PAUSE_STORES,
}
ERRORS = (
    PostgresError,
    FitsError,
    ServiceError,
    JobRunnerError,
    SqliteError,
    DockerError,
    LibvirtError,
    VirtualError,
    MongoError,
    MongodbError,
    TalusError,
    SesamError,
    MotrError,
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(ArgumentSpec(dict(POSTGRES_OPTIONS)), GUARDS).to_kwargs())
    run_fix(module, undo_factory(STORES), ERRORS)


if __name__ == "__main__":
    main()
