#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sesam_stacktrace
short_description: Take stack traces of all threads of a Sesam node
version_added: 1.0.0
description:
  - Takes a stack trace by the API, or by the signal SIGUSR1 to the node's process where the API gives none. Which one, and why, is in the result.
  - The signal is sent only after the kernel has said that the process catches it (C(SigCgt) of C(/proc/PID/status)). The default action
    of SIGUSR1 is to end a process, and the first process of the container may be a shell that starts the node, or still hands the folders to
    their owner. The process is found among those of the container, and its start time is compared again right before.
  - A signal counts only when a new C(stacktrace.html) is in the log folder, does not grow any more and is HTML. The health checker of the node
    writes such files as well; one that came at the same time is counted in RV(stacktraces[].others).
  - The copies are kept on the managed node, each whole under its name, readable by their owner only. Their content is not looked at.
  - Several stack traces, some seconds apart, tell a node that hangs from one that is at work.
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
      - The API is asked for one stack trace, since only that tells whether it gives any, and nothing is kept. A signal is not sent;
        the plan names the process that would get it.
  idempotent:
    support: partial
    details:
      - By the API each run takes new stack traces, which changes nothing of the node. By signal each run sends one, unless O(max_age) lets
        the one count that is there.
options:
  method:
    description:
      - V(auto) asks the API, and sends the signal when the API gives no stack trace because it is frozen, down, or does not have them.
        When the API works and only refuses who asks, the signal is not sent; see O(signal_without_admin).
      - V(api) never sends a signal. V(signal) does not ask the API.
    type: str
    choices: [auto, api, signal]
    default: auto
  count:
    description: How many to take, 100 at most.
    type: int
    default: 1
  interval:
    description: Seconds between two of them.
    type: float
    default: 5.0
  timeout:
    description: Seconds to wait after a signal until its stack trace is complete. After one that gave nothing, no other is sent.
    type: float
    default: 30.0
  max_bytes:
    description: Keep at most this many bytes of each. What is cut off is told in RV(stacktraces[].truncated).
    type: int
    default: 10485760
  max_age:
    description:
      - Where a signal would be sent, take the newest stack trace of the log folder instead if it is at most this many seconds old. The node's health
        checker writes one as soon as its own call of the API fails.
    type: float
    default: 0.0
  dest:
    description:
      - Directory on the managed node to keep the copies in. It is made, for its owner only, where it is not there.
      - The default is a new directory for each run in C(evidence) below O(journal_dir), of which the newest 100 are kept.
    type: path
  signal_without_admin:
    description: Whether V(auto) may send the signal also when the API answers that the token is not that of an administrator.
    type: bool
    default: false
notes:
  - The endpoint of the API is not official, and needs a token with the role C(group:Admin) on a node with authentication.
  - Run it as root. Without the right to signal the process the engine is asked to do it, which reaches only the first process of the container.
  - A signal renames the stack traces that are there. It cannot be undone, and does no harm.
seealso:
  - module: fieldops.runbooks.sesam_restart
  - module: fieldops.runbooks.sesam_node_info
"""

EXAMPLES = r"""
- name: Two stack traces, ten seconds apart, by whatever way works
  fieldops.runbooks.sesam_stacktrace:
    jwt: "{{ vault_sesam_jwt }}"
    count: 2
    interval: 10
  register: taken

- name: Fetch them
  ansible.builtin.fetch:
    src: "{{ item.path }}"
    dest: evidence/
  loop: "{{ taken.stacktraces }}"

- name: The API is known to hang
  fieldops.runbooks.sesam_stacktrace:
    method: signal
    container: sesam-node
    timeout: 60
"""

RETURN = r"""
method:
  description: Which way was taken, or would be (V(api), V(signal), or V(left) for a stack trace that was there); null when there is none.
  returned: always
  type: str
  sample: signal
why:
  description: Why that one.
  returned: always
  type: str
  sample: "the API gives none: no answer to /status/stacktrace of http://localhost:9042/api: timed out"
stacktraces:
  description: The copies, in the order in which they were taken. Also returned when the module fails after some of them.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The copy on the managed node.
      type: str
      sample: /var/lib/fieldops/runbooks/evidence/20260131T235959-471100815/stacktrace-signal-20260131T235959-123.html
    source:
      description: V(api), V(signal), or V(left) for one that was there.
      type: str
      sample: signal
    bytes:
      description: Size of the stack trace; null when the API did not tell it and more than O(max_bytes) was to come.
      type: int
      sample: 279164
    kept_bytes:
      description: Size of the copy.
      type: int
      sample: 279164
    truncated:
      description: Whether the copy was cut to O(max_bytes).
      type: bool
      sample: false
    sha256:
      description: Hash of the copy.
      type: str
      sample: 9d1f0c3f5f6d2d3a7f7c8f0d4f3c2a1b0e9d8c7b6a5948372615f4e3d2c1b0a9
    taken:
      description: When it was kept, in UTC.
      type: str
      sample: "2026-01-31T23:59:59Z"
    seconds:
      description: How long the node took for it.
      type: float
      sample: 1.2
    original:
      description: Where the node wrote it; null for one by the API. Later ones rename it.
      type: str
      sample: /sesam/node-00/logs/stacktrace.html
    others:
      description: Further stack traces that came at the same time, by the node's health checker.
      type: int
      sample: 0
container:
  description: The node's container; null where it is not known and was not needed.
  returned: always
  type: dict
  sample: {"name": "sesam-node", "id": "4c01db0b339c", "status": "running"}
process:
  description: The node's process, how the kernel calls its state, and whether it catches SIGUSR1; null where it is not known.
  returned: always
  type: dict
  sample: {"pid": 6280, "program": "lake", "owner": "sesam", "first": true, "state": "S", "catches_sigusr1": true, "threads": 41}
log_folder:
  description: The node's log folder on this machine; null where it is not known.
  returned: always
  type: str
  sample: /sesam/node-00/logs
left:
  description: Stack traces that were in the log folder before, the newest first, 20 at most.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: Where it was.
      type: str
      sample: /sesam/node-00/logs/stacktrace.html
    bytes:
      description: Its size.
      type: int
      sample: 279164
    modified:
      description: When it was written, in UTC.
      type: str
      sample: "2026-01-31T12:00:00Z"
changed:
  description: Whether a signal was sent; in check mode, whether one would be.
  returned: always
  type: bool
  sample: true
changes:
  description: The signals, and what became of them. Empty when the API gives the stack traces.
  returned: always
  type: list
  elements: dict
  contains:
    n:
      description: Number of the change within the run.
      type: int
      sample: 0
    action:
      description: What is done to the subject.
      type: str
      sample: signal
    subject:
      description: The container, and which stack trace of it.
      type: str
      sample: "container:sesam-node/stacktrace-1"
    before:
      description: Whether the stack trace is written.
      type: dict
      sample: {"written": false}
    after:
      description: The same afterwards.
      type: dict
      sample: {"written": true}
    reason:
      description: Which process gets the signal, and why.
      type: str
      sample: "SIGUSR1 to pid 6280, which catches it: it is asked for"
    reversible:
      description: Always false; a signal cannot be taken back.
      type: bool
      sample: false
    data_loss:
      description: What would be lost. Nothing is; the older stack traces are renamed.
      type: str
      sample: ""
    done:
      description: Whether it was sent. Always false in check mode.
      type: bool
      sample: true
    note:
      description: What came of it.
      type: str
      sample: "stacktrace.html of 279164 bytes after 1.2 s"
changes_total:
  description: Number of signals in the plan.
  returned: always
  type: int
  sample: 1
plan_sha256:
  description: Hash of the plan. The same plan has the same hash in check mode and in the real run.
  returned: always
  type: str
  sample: 9d1f0c3f5f6d2d3a7f7c8f0d4f3c2a1b0e9d8c7b6a5948372615f4e3d2c1b0a9
undo_id:
  description: The run in the journal. Null when no signal was sent. M(fieldops.runbooks.runbook_undo) refuses it, since a signal cannot be taken back.
  returned: always
  type: str
  sample: 20260131T235959-sesam_stacktrace-0123abcd
refusals:
  description: Every guard that refused, why, and what would allow it. Nothing was sent.
  returned: when a guard refused
  type: list
  elements: dict
  sample: [{"guard": "not_caught", "reason": "pid 6280 does not catch SIGUSR1 yet, which would end it.", "allow": "nothing."}]
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
  description: What is so.
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
      description: What it is about.
      type: str
      sample: http://localhost:9042/api
    summary:
      description: One sentence for a person.
      type: str
      sample: "the API takes connections and does not answer: no answer to /status/stacktrace of http://localhost:9042/api: timed out"
    detail:
      description: The same for a program.
      type: dict
      sample: {"kind": "timeout", "seconds": 30.0}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": "fieldops.runbooks.sesam_frozen", "vars": {}, "text": "take the evidence and restart the node"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "sesam.rst", "heading": "Getting a stacktrace of all the threads in the node"}
evidence:
  description: The directory of the copies, null where none was kept, and the URL that was asked.
  returned: always
  type: dict
  sample: {"directory": "/var/lib/fieldops/runbooks/evidence/20260131T235959-471100815", "api_url": "http://localhost:9042/api"}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 31.5
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.docker import DockerError
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix
from ..module_utils.sesam.argspec import API, CONTAINER
from ..module_utils.sesam.errors import SesamError
from ..module_utils.sesam.stacktrace_run import Stacktrace

OPTIONS = ArgumentSpec(
    {
        "method": {"type": "str", "choices": ["auto", "api", "signal"], "default": "auto"},
        "count": {"type": "int", "default": 1},
        "interval": {"type": "float", "default": 5.0},
        "timeout": {"type": "float", "default": 30.0},
        "max_bytes": {"type": "int", "default": 10485760},
        "max_age": {"type": "float", "default": 0.0},
        "dest": {"type": "path"},
        "signal_without_admin": {"type": "bool", "default": False},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **API.merge(CONTAINER, OPTIONS, GUARDS).to_kwargs())
    run_fix(module, lambda params: Stacktrace(params, bool(module.check_mode)), (SesamError, DockerError))


if __name__ == "__main__":
    main()
