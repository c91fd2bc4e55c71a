#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sesam_restart
short_description: Restart a Sesam node, with the evidence kept before and the restart proven after
version_added: 1.0.0
description:
  - Restarts a node by its API or by the Docker Engine, and reports success only when the node tells another start time than before and answers,
    its health was asked, and nothing of it has ended again. Where the node does not tell its start time, the start of its container is the proof.
  - Before that, what a person would ask for tomorrow is kept on the managed node. The container with its log, its processes and what their threads wait
    for, the last lines of the node's logs, the stack traces that are left, and what the API says of its state.
  - While the node is down its API refuses and breaks off. That is expected, and waited for.
  - Never calls the operation C(reset) of the API, which wipes a node.
  - Takes no stack trace itself; M(fieldops.runbooks.sesam_stacktrace) does that, and is to be run first on a node that is frozen.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.sesam
  - fieldops.runbooks.sesam.container
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: partial
    details:
      - With O(policy=unhealthy) a node that works is left alone. With O(policy=always) each run restarts it.
options:
  method:
    description:
      - V(auto) asks the API where that tells its start time, and the engine where it does not. Where the API refuses, or nothing comes of it, the
        engine is asked after all.
      - V(api) never touches the container. V(container) does not ask the API, and starts a container that has ended.
    type: str
    choices: [auto, api, container]
    default: auto
  policy:
    description:
      - Whether to restart in any case. V(unhealthy) leaves a node alone that runs, whose API answers, and that does not say that it is unwell.
    type: str
    choices: [always, unhealthy]
    default: always
  allow_running_pipes:
    description:
      - Whether to restart although pipes run, whose runs are cut off then. Without it, the plan is refused and names them.
      - Where the API cannot tell, as that of a frozen node, nothing is refused for that.
    type: bool
    default: false
  timeout:
    description: Seconds for all of it, looking, keeping, stopping, starting, health and O(settle) included.
    type: float
    default: 600.0
  stop_timeout:
    description: Seconds that the container gets to stop before the engine kills it. At most a third of what is left of O(timeout).
    type: int
    default: 60
  health_timeout:
    description: Seconds to wait until the node says that it is well, after it answers. Where it does not say so in that time, that is a finding and no failure.
    type: float
    default: 60.0
  settle:
    description: Seconds that it must stay up after that, without being started again.
    type: float
    default: 10.0
  evidence:
    description:
      - Whether to keep the state before. It is kept in a directory of its own in C(evidence) below O(journal_dir), readable by its owner only.
        The newest 100 are kept.
      - Each file has 256 KiB at most, stack traces 2 MiB. Values of environment variables, tokens and what follows a name such as password are left out,
        but for stack traces, which are kept as they are.
      - Where neither the API nor the engine answers, nothing can be restarted. What lies in the log folder is kept then (not in check mode); O(log_folder)
        names it, else it is looked for by the node's process.
    type: bool
    default: true
notes:
  - A restart cannot be undone, and the plan says so.
  - Run it as root, or as a user who may use the engine. Without root, what the threads wait for is not seen.
  - An updater such as watchtower makes the container anew by itself. A container that was started or made anew between the look and the restart is left alone.
seealso:
  - module: fieldops.runbooks.sesam_stacktrace
  - module: fieldops.runbooks.sesam_node_info
  - module: fieldops.runbooks.service_restart
"""

EXAMPLES = r"""
- name: Restart a node that is frozen or unwell, and leave one alone that works
  fieldops.runbooks.sesam_restart:
    jwt: "{{ vault_sesam_jwt }}"
    policy: unhealthy
    timeout: 300
    cooldown: 3600
  register: restarted

- name: Fetch what it was like before
  ansible.builtin.fetch:
    src: "{{ item.path }}"
    dest: evidence/
  loop: "{{ restarted.evidence.files }}"

- name: Restart the container although pipes run
  fieldops.runbooks.sesam_restart:
    method: container
    container: sesam-node
    allow_running_pipes: true
"""

RETURN = r"""
container:
  description: The node's container as it is now, and as it was; null where it is not known.
  returned: always
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: sesam-node
    id:
      description: Its id.
      type: str
      sample: 4c01db0b339c
    image:
      description: Image, as it was created with.
      type: str
      sample: sesam/sesam-node:weekly-prod
    status:
      description: State, in the engine's words.
      type: str
      sample: running
    started:
      description: When it was started, in UTC.
      type: str
      sample: "2026-01-31T23:59:59Z"
    restarts:
      description: How often the engine has started it again by its restart policy.
      type: int
      sample: 0
    exit_code:
      description: Of the last end; null while it runs.
      type: int
      sample: 137
    oom_killed:
      description: Whether it was killed for want of memory.
      type: bool
      sample: false
    pid:
      description: Its first process on this machine, 0 when it does not run.
      type: int
      sample: 6280
    previous:
      description: The same before the change.
      type: dict
      sample: {"name": "sesam-node", "status": "running", "pid": 4711}
node:
  description:
    - Its API. C(url), C(start_time) as the node tells it, C(health) (V(ok), V(unwell) or V(unknown)), and C(trouble), which says why it does not
      work and is empty where it does.
  returned: always
  type: dict
  sample: {"url": "http://localhost:9042/api", "start_time": "2026-01-31T23:59:59Z", "health": "ok", "trouble": ""}
method:
  description: How it was restarted, or would be; null where there is no way.
  returned: always
  type: str
  sample: container
restart:
  description: What the restart was proven by, and how it went; null where there was none.
  returned: always
  type: dict
  sample:
    method: container
    why: the API does not answer
    proof: container
    start_time_before: null
    start_time_after: "2026-01-31T23:59:59Z"
    health: ok
    seconds: 41.5
    notes: []
running_pipes:
  description: Ids of pipes that run; null where the API does not tell.
  returned: always
  type: list
  elements: str
  sample: ["salesforce-account"]
log_folder:
  description: The node's log folder on this machine; null where it is not known.
  returned: always
  type: str
  sample: /sesam/node-00/logs
changed:
  description: Whether it was restarted; in check mode, whether it would be.
  returned: always
  type: bool
  sample: true
changes:
  description: The plan, and what became of it.
  returned: always
  type: list
  elements: dict
  contains:
    n:
      description: Number of the change within the run.
      type: int
      sample: 0
    action:
      description: V(restart), or V(start) of a container that does not run.
      type: str
      sample: restart
    subject:
      description: The container, or the node by its URL.
      type: str
      sample: "container:sesam-node"
    before:
      description: Whether it runs.
      type: dict
      sample: {"running": true, "restarted": false}
    after:
      description: The same afterwards.
      type: dict
      sample: {"running": true, "restarted": true}
    reason:
      description: Why, and by what.
      type: str
      sample: it is asked for, and the API does not answer, by the engine
    reversible:
      description: Always false.
      type: bool
      sample: false
    data_loss:
      description: What would be lost. Nothing that this module knows of.
      type: str
      sample: ""
    done:
      description: Whether it was done. Always false in check mode.
      type: bool
      sample: true
    note:
      description: How it went.
      type: str
      sample: "sesam-node was restarted by the engine in 41 s: its container was started anew and the API answers"
changes_total:
  description: Number of changes in the plan.
  returned: always
  type: int
  sample: 1
plan_sha256:
  description: Hash of the plan. The same plan has the same hash in check mode and in the real run.
  returned: always
  type: str
  sample: 9d1f0c3f5f6d2d3a7f7c8f0d4f3c2a1b0e9d8c7b6a5948372615f4e3d2c1b0a9
undo_id:
  description: The run in the journal. Null when nothing was done. M(fieldops.runbooks.runbook_undo) refuses it, since a restart cannot be taken back.
  returned: always
  type: str
  sample: 20260131T235959-sesam_restart-0123abcd
refusals:
  description: Every guard that refused, why, and what would allow the plan. Nothing was changed.
  returned: when a guard refused
  type: list
  elements: dict
  sample: [{"guard": "running_pipes", "reason": "1 pipes run now, and their runs would be cut off: salesforce-account.", "allow": "allow_running_pipes: true."}]
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
  description: What is so; after a restart, what is so now.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: sesam.api.frozen
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: critical
    subject:
      description: What it is about, the API by its URL or the container by its name.
      type: str
      sample: http://localhost:9042/api
    summary:
      description: One sentence for a person.
      type: str
      sample: "the API takes connections and does not answer: no answer to /ping of http://localhost:9042/api: timed out"
    detail:
      description: The same for a program.
      type: dict
      sample: {"kind": "timeout"}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": "fieldops.runbooks.sesam_frozen", "vars": {"sesam_repair": true}, "text": "take stack traces, then restart it"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "sesam.rst", "heading": "Getting a stacktrace of all the threads in the node"}
evidence:
  description: Where on the managed node the state before was kept (C(directory), null where none was), and its files with their sizes.
  returned: always
  type: dict
  sample:
    directory: /var/lib/fieldops/runbooks/evidence/20260131T235959-471100815
    files: [{"path": "/var/lib/fieldops/runbooks/evidence/20260131T235959-471100815/container.json", "bytes": 8123}]
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 55.5
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.docker import DockerError
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix
from ..module_utils.sesam.argspec import API, CONTAINER
from ..module_utils.sesam.errors import SesamError
from ..module_utils.sesam.restart_run import SesamRestart

OPTIONS = ArgumentSpec(
    {
        "method": {"type": "str", "choices": ["auto", "api", "container"], "default": "auto"},
        "policy": {"type": "str", "choices": ["always", "unhealthy"], "default": "always"},
        "allow_running_pipes": {"type": "bool", "default": False},
        "timeout": {"type": "float", "default": 600.0},
        "stop_timeout": {"type": "int", "default": 60},
        "health_timeout": {"type": "float", "default": 60.0},
        "settle": {"type": "float", "default": 10.0},
        "evidence": {"type": "bool", "default": True},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **API.merge(CONTAINER, OPTIONS, GUARDS).to_kwargs())
    run_fix(module, lambda params: SesamRestart(params, bool(module.check_mode)), (SesamError, DockerError))


if __name__ == "__main__":
    main()
