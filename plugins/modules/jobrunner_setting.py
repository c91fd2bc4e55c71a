#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: jobrunner_setting
short_description: Set or remove one variable of job-runner's configuration
version_added: 1.0.0
description:
  - Writes one assignment into one of the environment files of the service, quoted so that systemd and a shell read the same, or takes
    it out. All else in the file stays as it is, byte for byte, and so do its owner, mode and access control list.
  - Says what the service will read and from which file, and whether it must be restarted for that. That is told by the environment
    of the running process or, where that cannot be read, by whether the file was written after its start. The module restarts nothing.
  - Refuses what would keep job-runner from starting, such as a word for a number, and files that an update of the backend overwrites.
  - A variable that a later file sets again, a name that job-runner does not read, and lines of the file that shells and the service
    read differently are findings.
  - Of a secret only a short, slow fingerprint is kept in the journal and the result, by which a weak one could be confirmed and none be read. A
    secret that replaces another one can therefore not be taken back, the plan says so, and it is refused without O(accept_data_loss).
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.jobrunner.config
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: full
options:
  name:
    description: Name of the variable, for example V(MAX_WORKERS).
    type: str
    required: true
  state:
    description: Whether the file is to set the variable, or not to mention it.
    type: str
    choices: [present, absent]
    default: present
  value:
    description:
      - What to set. One line of plain text. Nothing in it is expanded.
      - Quote numbers and booleans in YAML, so that they arrive as they are written.
      - A secret is refused here, because Ansible logs this option. Secrets are told by their name (C(TOKEN), C(DATABASE_URL) and the like),
        by their looks, and by O(file) being the file for secrets.
    type: str
  secret_value:
    description: The same for a secret. It is kept out of logs, journal and results.
        Values so short that hiding them would garble the result are refused.
    type: str
  file:
    description:
      - The file to write to. It must be one of O(config_files), and be there.
      - Files that are generated (C(01_defaults.env), C(03_backend.env)) are refused, because the next update of the backend overwrites them.
      - A link is refused.
    type: path
    default: /home/opensafely/config/04_local.env
  service:
    description: Unit of job-runner, whose running process is compared with the files.
    type: str
    default: jobrunner
notes:
  - Run it as root, or as the owner of the files (C(opensafely)).
  - The service reads its files when it is started, and at no other time.
seealso:
  - module: fieldops.runbooks.jobrunner_deploy
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: Let fewer jobs run at a time, until further notice
  fieldops.runbooks.jobrunner_setting:
    name: MAX_WORKERS
    value: "4"
  become: true

- name: Back to what the backend's own configuration says
  fieldops.runbooks.jobrunner_setting:
    name: MAX_WORKERS
    state: absent
  become: true

- name: A new token; the old one is lost
  fieldops.runbooks.jobrunner_setting:
    name: JOB_SERVER_TOKEN
    secret_value: "{{ vault_job_server_token }}"
    file: /home/opensafely/config/02_secrets.env
    accept_data_loss:
      - the present value of JOB_SERVER_TOKEN in /home/opensafely/config/02_secrets.env (a secret, of which nothing is kept)
  become: true
"""

RETURN = r"""
setting:
  description: What the service reads, or in check mode will read, when it is started the next time.
  returned: always
  type: dict
  contains:
    name:
      description: The variable.
      type: str
      sample: MAX_WORKERS
    file:
      description: The file that was asked for.
      type: str
      sample: /home/opensafely/config/04_local.env
    value:
      description: The value that counts, stars in place of a secret, null where no file sets it.
      type: str
      sample: "4"
    origin:
      description: The file that it comes from. Null where no file sets it.
      type: str
      sample: /home/opensafely/config/04_local.env
    secret:
      description: Whether it is treated as a secret.
      type: bool
      sample: false
restart_needed:
  description:
    - Whether the running service was started with another value. False when it does not run.
    - Null when nobody knows whether it runs, because there is no systemd.
  returned: always
  type: bool
  sample: true
changed:
  description: Whether anything was changed; in check mode, whether anything would be.
  returned: always
  type: bool
  sample: true
changes:
  description: The plan, and what became of it. At most one change.
  returned: always
  type: list
  elements: dict
  contains:
    n:
      description: Number of the change within the run, as M(fieldops.runbooks.runbook_undo) takes it.
      type: int
      sample: 0
    action:
      description: What is done, one of V(set), V(replace), V(unset).
      type: str
      sample: replace
    subject:
      description: What is changed.
      type: str
      sample: MAX_WORKERS in /home/opensafely/config/04_local.env
    before:
      description: The lines that set it; null if there was none. Of a secret a fingerprint only.
      type: dict
      sample: {"path": "/home/opensafely/config/04_local.env", "name": "MAX_WORKERS", "lines": ["MAX_WORKERS=10"]}
    after:
      description: The lines that will set it; null if there will be none.
      type: dict
      sample: {"path": "/home/opensafely/config/04_local.env", "name": "MAX_WORKERS", "lines": ["MAX_WORKERS=4"]}
    reason:
      description: Why, in one sentence.
      type: str
      sample: it is asked for
    reversible:
      description: Whether the change can be undone. The replacement of a secret cannot.
      type: bool
      sample: true
    data_loss:
      description: What would be lost, if anything.
      type: str
      sample: the present value of JOB_SERVER_TOKEN in /home/opensafely/config/02_secrets.env (a secret, of which nothing is kept)
    done:
      description: Whether it was done. Always false in check mode.
      type: bool
      sample: true
    note:
      description: Why it was not done, if the file changed between plan and change.
      type: str
      sample: "the file was changed since it was looked at: left alone"
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
  sample: 20260131T235959-jobrunner_setting-0123abcd
refusals:
  description: Every guard that refused, why, and what would allow the plan. Nothing was changed.
  returned: when a guard refused
  type: list
  elements: dict
  sample: [{"guard": "rights", "reason": "the file belongs to another user, and must go on doing so.", "allow": "run it as root"}]
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
      sample: jobrunner.setting.restart_needed
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: info
    subject:
      description: What it is about.
      type: str
      sample: MAX_WORKERS
    summary:
      description: One sentence for a person.
      type: str
      sample: "MAX_WORKERS: the running service has another value than the files give it; it reads them only when it is started"
    detail:
      description: The same for a program.
      type: dict
      sample: {"file": "/home/opensafely/config/04_local.env"}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample:
        playbook: fieldops.runbooks.jobrunner_setting
        vars: {"jobrunner_settings": [{"name": "MAX_WORKERS", "value": "4"}], "jobrunner_setting_restart": true}
        text: restart the service; running jobs go on
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "opensafely-jobrunner.md", "heading": "Configuring the job-runner"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.041
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.jobrunner.argspec import CONFIG
from ..module_utils.jobrunner.errors import JobRunnerError
from ..module_utils.jobrunner.setting_run import Setting
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix

OPTIONS = ArgumentSpec(
    {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "value": {"type": "str"},
        "secret_value": {"type": "str", "no_log": True},
        "file": {"type": "path", "default": "/home/opensafely/config/04_local.env"},
        "service": {"type": "str", "default": "jobrunner"},
    },
    mutually_exclusive=[("value", "secret_value")],
    required_if=[("state", "present", ("value", "secret_value"), True)],
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(CONFIG, GUARDS).to_kwargs())
    run_fix(module, Setting, (JobRunnerError,))


if __name__ == "__main__":
    main()
