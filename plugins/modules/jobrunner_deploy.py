#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: jobrunner_deploy
short_description: Deploy job-runner's code and dependencies, migrate its database, restart it and prove that it stays up
version_added: 1.0.0
description:
  - Does what upstream's C(update-jobrunner.sh) is meant to do. The checkout of the dependencies is updated, then that of the code, then
    the database is migrated if the code asks for that, then the service is restarted if anything was changed, and watched.
  - Says beforehand which commits come and which go, whether the database will be migrated and to what, which variables of the
    configuration the new code reads and nothing sets, and that the service will be restarted. Check mode asks the remotes as well, and leaves
    the checkouts untouched, down to what they know of their remotes.
  - Local changes are told from files that only look changed because their owner or time is another, which every update of
    the backend causes. The former are refused, the latter do not matter. A detached HEAD is no fault either. Files that a killed deploy has
    brought already are no local changes. Files that git does not know are not overwritten, and those that git was told not to look at
    (C(git update-index --assume-unchanged)) are looked at.
  - git is run as the owner of the checkout, without hooks and without prompts. Secrets in the address of a remote are not shown.
    The remote that O(ref) is of must answer, C(origin) for a tag or a commit. Another one that does not is a finding.
  - Before a migration a copy of the database is kept in C(evidence) below O(journal_dir). A migration is not taken back. Code that needs a
    later layout of the database than this collection knows is refused, and so is code that would not start with the present one.
  - Before the restart the new code is loaded once, with the service's environment. If that fails, the service goes on with
    the old code, which it has in memory.
  - The service counts as up when one process has stayed up for O(settle) seconds, without a restart by systemd. That it is active is no proof,
    because it is started again a minute after each failure.
  - Jobs that run go on during a restart.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.jobrunner
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: partial
    details:
      - With O(restart=always) the service is restarted at every call.
options:
  ref:
    description:
      - What to deploy of the code, as a branch of the remote, a tag, or a whole commit id.
      - A branch that only the checkout has is refused, because nothing updates it.
    type: str
    default: origin/main
  lib_ref:
    description: The same for the dependencies.
    type: str
    default: origin/main
  code_dir:
    description: Checkout of the code.
    type: path
    default: /home/opensafely/jobrunner/code
  lib_dir:
    description: Checkout of the dependencies.
    type: path
    default: /home/opensafely/jobrunner/lib
  service:
    description: Unit of job-runner.
    type: str
    default: jobrunner
  restart:
    description:
      - V(auto) restarts the service if anything was changed, if it runs other commits than are checked out, or if it has failed. A
        service that was stopped stays so.
      - V(always) restarts or starts it in any case, for example to let it read its configuration again.
      - V(never) leaves it alone, and it runs what it was started with.
    type: str
    choices: [auto, always, never]
    default: auto
  settle:
    description: Seconds that the service must stay up after a restart.
    type: float
    default: 15.0
  timeout:
    description: Seconds that one command may take, such as a fetch or the migration.
    type: float
    default: 300.0
  python:
    description: Interpreter of the service, which runs the migration.
    type: path
    default: /usr/bin/python3
requirements:
  - git >= 2.25 on the managed node
notes:
  - Without root, the service is restarted by C(sudo systemctl restart jobrunner), which is the very command that upstream's sudoers file allows.
  - When a deploy is taken back, both checkouts go back to their commits and the service is restarted. Where the database was migrated, that
    change is irreversible, and code that expects the earlier layout is not put back.
seealso:
  - module: fieldops.runbooks.jobrunner_setting
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: What would a deploy bring?
  fieldops.runbooks.jobrunner_deploy:
  become: true
  check_mode: true

- name: Deploy a given commit of the code
  fieldops.runbooks.jobrunner_deploy:
    ref: ef11eac4d2f1a1b8ff4a3a77f1f8f0a2f6d0c001
  become: true

- name: Let the service read its configuration again, and deploy nothing
  fieldops.runbooks.jobrunner_deploy:
    ref: "{{ deployed.checkouts | selectattr('part', 'eq', 'code') | map(attribute='head') | first }}"
    lib_ref: "{{ deployed.checkouts | selectattr('part', 'eq', 'lib') | map(attribute='head') | first }}"
    restart: always
  become: true
"""

RETURN = r"""
checkouts:
  description: The checkout of the dependencies and that of the code, as they are now.
  returned: always
  type: list
  elements: dict
  contains:
    part:
      description: V(lib) or V(code).
      type: str
      sample: code
    path:
      description: Where it is.
      type: str
      sample: /home/opensafely/jobrunner/code
    owner:
      description: Whose it is, and who git is run as.
      type: str
      sample: opensafely
    remote:
      description: Address of the remote C(origin), without secrets.
      type: str
      sample: https://github-proxy.opensafely.org/opensafely-core/job-runner
    ref:
      description: What was asked for.
      type: str
      sample: origin/main
    branch:
      description: The branch that is checked out. Null when HEAD is detached.
      type: str
      sample: main
    head:
      description: The commit that is checked out.
      type: str
      sample: af5b785a0f1c7ab2ed1d2f0d6f2c52f5bb1d3f4e
    target:
      description: The commit that was asked for.
      type: str
      sample: ef11eac4d2f1a1b8ff4a3a77f1f8f0a2f6d0c001
    incoming:
      description: Number of commits that a deploy would bring.
      type: int
      sample: 12
    outgoing:
      description: Number of commits that a deploy would take away.
      type: int
      sample: 0
    commits:
      description: The newest of those that would come, at most 20.
      type: list
      elements: str
      sample: ["ef11eac Add requires_db"]
    dirty:
      description: Files with local changes that a deploy would destroy, at most 20.
      type: list
      elements: str
      sample: []
migration:
  description: The database's layout, and the one that the code of O(ref) asks for.
  returned: always
  type: dict
  sample: {"database": "/home/opensafely/jobrunner/workdir/db.sqlite", "present": 2, "wanted": 3, "pending": true}
service:
  description: The unit as it is now, with the commits that its process was started with.
  returned: always
  type: dict
  sample: {"unit": "jobrunner.service", "active": "active", "sub": "running", "main_pid": 4711, "running": {"lib": "3f29f08", "code": "af5b785a"}}
changed:
  description: Whether anything was changed; in check mode, whether anything would be.
  returned: always
  type: bool
  sample: true
changes:
  description: The plan, and what became of it, in this order.
  returned: always
  type: list
  elements: dict
  contains:
    n:
      description: Number of the change within the run, as M(fieldops.runbooks.runbook_undo) takes it.
      type: int
      sample: 0
    action:
      description: What is done, one of V(update), V(migrate), V(restart), V(start).
      type: str
      sample: update
    subject:
      description: What is changed.
      type: str
      sample: code in /home/opensafely/jobrunner/code
    before:
      description: The subject as it was.
      type: dict
      sample: {"path": "/home/opensafely/jobrunner/code", "commit": "af5b785a0f1c7ab2ed1d2f0d6f2c52f5bb1d3f4e"}
    after:
      description: The subject as it will be.
      type: dict
      sample: {"path": "/home/opensafely/jobrunner/code", "commit": "ef11eac4d2f1a1b8ff4a3a77f1f8f0a2f6d0c001"}
    reason:
      description: Why, in one sentence.
      type: str
      sample: "origin/main has 12 commits that it has not; newest: ef11eac Add requires_db"
    reversible:
      description: Whether the change can be undone. A migration cannot.
      type: bool
      sample: true
    data_loss:
      description: What would be lost, if anything.
      type: str
      sample: the place of 1 commits of /home/opensafely/jobrunner/code that no remote has, newest 0123abc try (they stay in its reflog alone)
    done:
      description: Whether it was done. Always false in check mode.
      type: bool
      sample: true
    note:
      description: How it went, or why it was not done.
      type: str
      sample: from af5b785a0f to ef11eac4d2
changes_total:
  description: Number of changes in the plan.
  returned: always
  type: int
  sample: 4
plan_sha256:
  description: Hash of the plan. The same plan has the same hash in check mode and in the real run.
  returned: always
  type: str
  sample: 6b1f0c3f5f6d2d3a7f7c8f0d4f3c2a1b0e9d8c7b6a5948372615f4e3d2c1b0a9
undo_id:
  description: Takes this run back, with M(fieldops.runbooks.runbook_undo). Null when nothing was changed.
  returned: always
  type: str
  sample: 20260131T235959-jobrunner_deploy-0123abcd
refusals:
  description: Every guard that refused, why, and what would allow the plan. Nothing was changed.
  returned: when a guard refused
  type: list
  elements: dict
  sample: [{"guard": "dirty", "reason": "the code has local changes, in jobrunner/run.py.", "allow": "keep them elsewhere and take them back"}]
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
      sample: jobrunner.deploy.behind
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: info
    subject:
      description: What it is about.
      type: str
      sample: code in /home/opensafely/jobrunner/code
    summary:
      description: One sentence for a person.
      type: str
      sample: code in /home/opensafely/jobrunner/code is 12 commits behind origin/main
    detail:
      description: The same for a program.
      type: dict
      sample: {"incoming": 12, "outgoing": 0}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": "fieldops.runbooks.jobrunner_deploy", "vars": {}, "text": "deploy it"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "opensafely-jobrunner.md", "heading": "Deploy job-runner"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"remotes": {"code": "https://github-proxy.opensafely.org/opensafely-core/job-runner"}, "workdir": "/home/opensafely/jobrunner/workdir"}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 17.2
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.jobrunner.argspec import WORKDIR
from ..module_utils.jobrunner.deploy_run import ERRORS, Deploy
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix

OPTIONS = ArgumentSpec(
    {
        "ref": {"type": "str", "default": "origin/main"},
        "lib_ref": {"type": "str", "default": "origin/main"},
        "code_dir": {"type": "path", "default": "/home/opensafely/jobrunner/code"},
        "lib_dir": {"type": "path", "default": "/home/opensafely/jobrunner/lib"},
        "service": {"type": "str", "default": "jobrunner"},
        "restart": {"type": "str", "choices": ["auto", "always", "never"], "default": "auto"},
        "settle": {"type": "float", "default": 15.0},
        "timeout": {"type": "float", "default": 300.0},
        "python": {"type": "path", "default": "/usr/bin/python3"},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(WORKDIR, GUARDS).to_kwargs())
    run_fix(module, Deploy, ERRORS)


if __name__ == "__main__":
    main()
