#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sesam_profile
short_description: Profile a call of a Sesam node's API, or a run of a pipe
version_added: 1.0.0
description:
  - With O(path), the node makes one call of its API with the profiler, and answers with the profile in place of the answer. The call is
    really made and only its answer is discarded, so only calls that ask are made. The profile is kept on the managed node.
  - With O(pipe), the pump of a pipe is run once with the profiler. The node writes the profiles into its log folder, where they are found by
    the id of the pipe and the time, once they are whole. Files of another pipe whose id begins or ends with this one's are not taken for them.
  - A pump that runs already answers a start with 409 and gives no profile. That run is never stopped. O(if_running) says whether its end is
    waited for.
  - Profiles are handed on as they are. One for pstats is never loaded here, since it runs what is in it; it is told by its first bytes.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.sesam
  - fieldops.runbooks.sesam.container
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  check_mode:
    details:
      - With O(path), nothing is asked in check mode, since the call would be made. With O(pipe), the run is predicted and not started.
  idempotent:
    support: partial
    details:
      - Each run takes new profiles, unless O(max_age) lets a profile that is there count. With O(path), RV(changed) is false, since nothing
        of the node is changed. The file that is kept is the result.
options:
  path:
    description:
      - What to ask, below C(/api), with its query if it has one, for example V(/pipes?fields=runtime). Ids in it are percent-encoded.
      - Paths and parameters that are known to do something, or to hand the call on to another system, are refused.
    type: str
  method:
    description: Method of the call. Any other than V(GET) is refused, since it would do its work and only hide the answer.
    type: str
    default: GET
  format:
    description:
      - V(pstats) is for Python's module of that name, V(calltree) for KCachegrind. V(both) makes the call twice.
      - With O(pipe) the node writes both.
    type: str
    choices: [pstats, calltree, both]
    default: both
  max_bytes:
    description: A profile of O(path) that is larger is not kept, and the module fails. It is held in memory while it is read.
    type: int
    default: 67108864
  dest:
    description:
      - Directory on the managed node for the profiles of O(path). It is made, for its owner only, where it is not there. Nothing in it is replaced.
      - The default is a new directory for each run in C(evidence) below O(journal_dir), of which the newest 100 are kept.
    type: path
  pipe:
    description: Id of the pipe whose pump is run. It moves data, which no undo takes back.
    type: str
  if_running:
    description: What to do when the pump runs already. V(wait) waits for its end, within O(timeout), and then starts it.
    type: str
    choices: [fail, wait]
    default: fail
  run_disabled:
    description: Whether a pipe that is disabled may be run. It can be started by hand, and stays disabled.
    type: bool
    default: false
  timeout:
    description: Seconds to wait until the run is over and its profiles are whole. It must be less than O(lock_expiry). A run that takes longer goes on.
    type: float
    default: 600.0
  max_age:
    description: When whole profiles of O(pipe) are there that are not older than so many seconds, they count and the pipe is not run.
    type: float
    default: 0.0
notes:
  - With O(request_timeout), give O(path) the time that the slow call takes, and more, since it is slower with the profiler.
  - The node never removes the profiles of pumps from its log folder.
  - The log folder is read as it is on the managed node. Run it as a user who may read there.
seealso:
  - module: fieldops.runbooks.sesam_api_profiler
  - module: fieldops.runbooks.sesam_node_info
"""

EXAMPLES = r"""
- name: Why is the list of pipes slow?
  fieldops.runbooks.sesam_profile:
    path: /pipes
    jwt: "{{ vault_sesam_jwt }}"
    request_timeout: 300
  register: profiled

- name: Fetch the profiles
  ansible.builtin.fetch:
    src: "{{ item.path }}"
    dest: profiles/
  loop: "{{ profiled.profiles }}"
  become: true

- name: Run a pipe once with the profiler, after the run that may be under way
  fieldops.runbooks.sesam_profile:
    pipe: orders:enrich
    if_running: wait
    timeout: 800
    jwt: "{{ vault_sesam_jwt }}"
  become: true
"""

RETURN = r"""
profiles:
  description: The profiles on the managed node.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
      sample: /sesam/node-00/logs/pump-orders%3Aenrich-2026-01-31T23-59-59.pstat
    kind:
      description: What it is, V(pstats), V(calltree), or V(unknown).
      type: str
      sample: pstats
    size:
      description: Its size in bytes.
      type: int
      sample: 48210
    mtime:
      description: When it was written, in seconds since the epoch.
      type: float
      sample: 1769903999.123
    given_name:
      description: What the node calls it, without what has no place in a name. With O(path) only.
      type: str
      sample: pipes.pstat
    seconds:
      description: How long the call took with the profiler. With O(path) only.
      type: float
      sample: 12.5
run:
  description: The run of the pipe; null when there was none.
  returned: always
  type: dict
  contains:
    started:
      description: When it was started, in seconds since the epoch, by the managed node's clock.
      type: float
      sample: 1769903999.001
    seconds:
      description: How long it took, to half a second.
      type: float
      sample: 4.5
    waited:
      description: Seconds for which runs of others were waited for.
      type: float
      sample: 0.0
    success:
      description: Whether the node calls it a success; null when it does not say.
      type: bool
      sample: true
    reason:
      description: Why it failed, from the execution log; empty when it did not.
      type: str
      sample: ""
    others:
      description: New profiles of this pipe that are of another run.
      type: list
      elements: str
      sample: []
pipe:
  description: The pipe and its pump; null with O(path).
  returned: always
  type: dict
  contains:
    id:
      description: Its id.
      type: str
      sample: orders:enrich
    running:
      description: Whether it runs now.
      type: bool
      sample: false
    disabled:
      description: Whether it is disabled.
      type: bool
      sample: false
    mode:
      description: Mode of its pump; empty when the node does not say.
      type: str
      sample: scheduled
    success:
      description: Whether its last run was a success; null when the node does not say.
      type: bool
      sample: true
    last_run:
      description: When it ran last, as the node writes it; null when it never did.
      type: str
      sample: "2026-01-31T23:59:59Z"
log_folder:
  description: The log folder as the managed node has it; null with O(path).
  returned: always
  type: str
  sample: /sesam/node-00/logs
changed:
  description: Whether a pipe was run; in check mode, whether one would be.
  returned: always
  type: bool
  sample: true
changes:
  description: The plan, and what became of it. At most 1000 are shown; the journal has all.
  returned: with O(pipe)
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
      sample: profile
    subject:
      description: What is changed.
      type: str
      sample: "pipe:orders:enrich"
    before:
      description: The subject as it was; null if it did not exist.
      type: dict
      sample: {"profiled": false}
    after:
      description: The subject as it will be; null if it will not exist.
      type: dict
      sample: {"profiled": true}
    reason:
      description: Why, in one sentence.
      type: str
      sample: "to see where pipe orders:enrich spends its time: it is run once, and what it moves is moved for good"
    reversible:
      description: Whether the change can be undone. Never, since the run moves data.
      type: bool
      sample: false
    data_loss:
      description: What would be lost, if anything.
      type: str
      sample: ""
    done:
      description: Whether it was done. Always false in check mode.
      type: bool
      sample: true
    note:
      description: Why it was not done, if the subject changed between plan and change.
      type: str
      sample: "pipe orders:enrich was started by somebody else in the same moment (409): no profile, and that run is left alone"
changes_total:
  description: Number of changes in the plan.
  returned: with O(pipe)
  type: int
  sample: 1
plan_sha256:
  description: Hash of the plan. The same plan has the same hash in check mode and in the real run.
  returned: with O(pipe)
  type: str
  sample: 6b1f0c3f5f6d2d3a7f7c8f0d4f3c2a1b0e9d8c7b6a5948372615f4e3d2c1b0a9
undo_id:
  description: Names this run in the journal. It cannot be undone. Null when nothing was changed.
  returned: with O(pipe)
  type: str
  sample: 20260131T235959-sesam_profile-0123abcd
refusals:
  description: Every guard that refused, why, and what would allow the plan. Nothing was changed.
  returned: when a guard refused
  type: list
  elements: dict
  sample: [{"guard": "running", "reason": "pipe orders:enrich runs already.", "allow": "wait for its end: if_running: wait."}]
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
  description: What is so, worst or not; after a run, what came of it.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: sesam.profile.written
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: info
    subject:
      description: The pipe, or the path.
      type: str
      sample: orders:enrich
    summary:
      description: One sentence for a person.
      type: str
      sample: "the run of pipe orders:enrich took 4.5 s; its profiles are /sesam/node-00/logs/pump-orders%3Aenrich-2026-01-31T23-59-59.pstat"
    detail:
      description: The same for a program.
      type: dict
      sample: {"seconds": 4.5, "success": true}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": null, "vars": {}, "text": "fetch them, then remove them: the node never does"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "sesam.rst", "heading": "Profiling a pump run"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"api_url": "http://localhost:9042/api", "log_folder": "/sesam/node-00/logs", "pipe": "orders:enrich"}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 6.45
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.docker import DockerError
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.info import run_info
from ..module_utils.procedure.module import run_fix
from ..module_utils.sesam.argspec import API, CONTAINER
from ..module_utils.sesam.errors import SesamError
from ..module_utils.sesam.profile import PumpProfile
from ..module_utils.sesam.profile_call import CallProfile

OPTIONS = ArgumentSpec(
    {
        "path": {"type": "str"},
        "method": {"type": "str", "default": "GET"},
        "format": {"type": "str", "choices": ["pstats", "calltree", "both"], "default": "both"},
        "max_bytes": {"type": "int", "default": 67108864},
        "dest": {"type": "path"},
        "pipe": {"type": "str"},
        "if_running": {"type": "str", "choices": ["fail", "wait"], "default": "fail"},
        "run_disabled": {"type": "bool", "default": False},
        "timeout": {"type": "float", "default": 600.0},
        "max_age": {"type": "float", "default": 0.0},
    },
    mutually_exclusive=[("path", "pipe")],
    required_one_of=[("path", "pipe")],
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **API.merge(CONTAINER, OPTIONS, GUARDS).to_kwargs())
    errors = (SesamError, DockerError)
    if module.params["path"] is not None:
        run_info(module, lambda params: CallProfile(params, ask=not module.check_mode), errors)
    run_fix(module, PumpProfile, errors)


if __name__ == "__main__":
    main()
