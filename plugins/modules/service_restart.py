#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_restart
short_description: Restart, start or stop services and prove that it worked
version_added: 1.0.0
description:
  - Stops services, waits until their processes are really gone, starts them, and waits until they answer and stay up.
  - Several services are stopped from the last to the first and started from the first to the last, so name first what the
    others need.
  - One look at a service that its manager starts again whenever it ends proves nothing, because it is active for a moment each
    time. A service counts as up when a probe answers, or its processes run, and when it has then stayed up for O(settle) seconds
    without being started again.
  - Units that systemd stops together with one of the services (C(Requires), C(Requisite), C(BindsTo), C(PartOf),
    C(PropagatesStopTo)) are part of the plan, and are started again after it.
  - The state before is kept in a directory beside the journal, for whoever asks tomorrow why the service hung.
  - When something goes wrong half way, the services that had been stopped are started again as far as possible, and the error
    says what is up and what is down.
  - Start and stop can be undone with M(fieldops.runbooks.runbook_undo). A restart cannot.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: partial
    details:
      - With O(state=restarted) and O(policy=always) the services are restarted at every call.
options:
  services:
    description:
      - The services, in the order in which they are started. Each is a name, or a dictionary.
      - A name may be an alias, but two names of the same unit are refused, and so are templates and patterns.
    type: list
    elements: raw
    required: true
    suboptions:
      name:
        description: Name of the service, with or without C(.service).
        type: str
        required: true
      processes:
        description:
          - Processes that belong to the service. When it is stopped none of them may be left, even if the manager knows nothing of
            them, and when it is up there must be at least one of each.
          - The processes of the unit's own control group always count, unless O(services[].spare_children) spares them.
          - Those in containers of the node do not count, and are left alone, unless they are in that control group.
          - They are needed where the manager does not tell whether the service is up, as with an init script without C(status)
            and without a pid file; without them such a service is refused.
        type: list
        elements: dict
        default: []
        suboptions:
          program:
            description:
              - The program, or the script that an interpreter runs. With a slash the whole path is compared as the command line
                has it, without one the last part of the path.
            type: str
          args:
            description: Words that must all be on the command line, each of them whole.
            type: list
            elements: str
            default: []
          title:
            description: Regular expression that must match the whole command line.
            type: str
          owner:
            description: User who runs them.
            type: str
      probe:
        description:
          - What tells that the service works. Without it, a service is up when its manager and O(services[].processes) say so.
          - Exactly one of O(services[].probe.http), O(services[].probe.tcp) and O(services[].probe.unix).
        type: dict
        suboptions:
          http:
            description: An HTTP request and the answer that is right.
            type: dict
            suboptions:
              url:
                description: URL to ask, of scheme C(http) or C(https), without user and password.
                type: str
                required: true
              method:
                description: Method of the request.
                type: str
                default: GET
              body:
                description: Text to send.
                type: str
              json:
                description: Value to send as JSON.
                type: raw
              headers:
                description: Header lines to send.
                type: dict
                default: {}
              secret_headers:
                description: More header lines, which are not shown, for example C(Authorization).
                type: dict
                default: {}
              status:
                description: Status codes that are right.
                type: list
                elements: int
                default: [200]
              contains:
                description: Texts that must all be in the answer.
                type: list
                elements: str
                default: []
              json_has:
                description: What the answer, read as JSON, must have, as in M(fieldops.runbooks.node_health_info).
                type: raw
              timeout:
                description: Seconds to wait for one answer.
                type: float
                default: 10.0
              verify:
                description: Whether the certificate must be valid.
                type: bool
                default: true
              ca_cert:
                description: File with the certificates of the authorities that may have signed the server's certificate.
                type: path
              address:
                description: Host or address to connect to, in place of the one that the URL names.
                type: str
              unix_socket:
                description: Unix socket to connect to.
                type: str
              follow:
                description: Redirections to follow.
                type: int
                default: 3
          tcp:
            description: A port that must accept a connection.
            type: dict
            suboptions:
              host:
                description: Host or address.
                type: str
                default: 127.0.0.1
              port:
                description: Number of the port.
                type: int
                required: true
              greeting:
                description: Text that the server itself must send first.
                type: str
                default: ""
              timeout:
                description: Seconds to wait for one connection.
                type: float
                default: 5.0
          unix:
            description: Path of a Unix socket that must accept a connection.
            type: path
      stop_timeout:
        description: In place of O(stop_timeout).
        type: float
      start_timeout:
        description: In place of O(start_timeout).
        type: float
      settle:
        description: In place of O(settle).
        type: float
      spare_children:
        description:
          - Of a unit of systemd with C(KillMode=process), which itself ends only its main process, leave the others alone as well. They are meant
            to go on without it, as the virtual machines and name servers of libvirtd are.
          - Without it, such a process counts as one that was left behind.
        type: bool
        default: false
      log_files:
        description: Logs of this service, whose last lines are kept as evidence.
        type: list
        elements: path
        default: []
  state:
    description:
      - V(restarted) restarts services that are up and starts those that are down.
      - V(started) and V(stopped) leave alone what is so already.
    type: str
    choices: [restarted, started, stopped]
    default: restarted
  policy:
    description:
      - Which services to restart. V(unhealthy) leaves those alone that are up, stay up, have all their processes and answer
        their probe. A service that came up less than O(settle) seconds ago is watched for the rest of that time first.
      - Only with O(state=restarted).
    type: str
    choices: [always, unhealthy]
    default: always
  stop_timeout:
    description:
      - Seconds to wait until a service is stopped and its processes are gone.
      - The default is what the unit gives itself (C(TimeoutStopSec) of systemd) and 10 seconds more, or 100 seconds where it
        sets no limit. systemd kills what has not ended in that time; the result says so.
    type: float
  start_timeout:
    description: Seconds to wait until a service is up and its probe answers.
    type: float
    default: 60.0
  settle:
    description:
      - Seconds that a service must stay up after that, without being started again.
      - The default is 5 seconds more than the manager waits before it starts the service again (C(RestartSec) of systemd), 60 at most,
        so that a service that ends soon after its start is seen at it.
    type: float
  force_kill:
    description:
      - Whether to kill processes that are left when O(stop_timeout) is over. Each is killed by itself, after its start time was
        compared again, and never one that belongs to another unit. Processes that the manager does not reach are asked to end first.
      - Without it such a process is a failure that names it.
    type: bool
    default: false
  manager:
    description: What manages the services. V(auto) takes what is in charge of the node.
    type: str
    choices: [auto, systemd, upstart, sysv]
    default: auto
  evidence:
    description:
      - Whether to keep the state of the services before anything is done to them. Status and last log lines, and for each process
        its command line with secrets left out, its state, its kernel stack, and how many files it has open.
      - It is kept in C(evidence) below O(journal_dir), readable by its owner only. The newest 100 are kept.
    type: bool
    default: true
  log_files:
    description: Logs whose last lines are kept as evidence.
    type: list
    elements: path
    default: []
notes:
  - Needs the rights to steer services, usually those of root.
  - Waiting takes time. The longest that a run may take must be less than O(lock_expiry); otherwise it is refused before anything is done.
  - A service whose processes include this module's own, such as the SSH server of a host without sessions of systemd, is not stopped
    or restarted, because nothing would be left to start it again.
  - A unit of systemd with C(Restart=always) comes back when its processes are killed. Only a stop through systemd keeps it down,
    and that is what this module does.
seealso:
  - module: fieldops.runbooks.node_health_info
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: Restart the web server, and believe it when the page is there
  fieldops.runbooks.service_restart:
    services:
      - name: fits-httpd
        processes:
          - program: httpd
        probe:
          http:
            url: http://localhost/searchform
            contains: [Gemini]

- name: Restart what is broken of a chain; the first is started first
  fieldops.runbooks.service_restart:
    services:
      - name: fits-api-backend
        probe:
          http:
            url: http://localhost:8000/log
            method: POST
            json: {message: probe}
      - fits-httpd
    policy: unhealthy
    cooldown: 600

- name: Stop a worker that hangs, whatever it takes
  fieldops.runbooks.service_restart:
    services:
      - name: fits-service_ingest_queue1
        processes:
          - program: service_ingest_queue.py
            args: ["--name=1"]
        log_files: [/data/logs/service_ingest_queue.py-1.log]
    state: stopped
    stop_timeout: 600
    force_kill: true
"""

RETURN = r"""
services:
  description: The services as they are now, and as they were.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name as it was given; of units that are only in the plan because they are stopped with another, their own.
      type: str
      sample: fits-httpd
    id:
      description: Full name of the unit.
      type: str
      sample: fits-httpd.service
    manager:
      description: What manages it.
      type: str
      sample: systemd
    active:
      description: State, in systemd's words.
      type: str
      sample: active
    sub:
      description: The manager's own word for it.
      type: str
      sample: running
    main_pid:
      description: Main process.
      type: int
      sample: 4802
    since:
      description: Since when it is in this state, in UTC.
      type: str
      sample: "2026-01-31T23:59:59Z"
    restarts:
      description: How often the manager has started it again by itself.
      type: int
      sample: 0
    result:
      description: How it last ended, in systemd's words. C(timeout) means that it did not stop in time and was killed.
      type: str
      sample: success
    healthy:
      description: Whether it is up, stays up, and answers.
      type: bool
      sample: true
    problems:
      description: Why not.
      type: list
      elements: str
      sample: []
    previous:
      description: The same before the change.
      type: dict
      sample: {"active": "active", "sub": "running", "main_pid": 4711, "since": "2026-01-01T00:00:00Z", "restarts": 3, "result": "success"}
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
      sample: restart
    subject:
      description: What is changed.
      type: str
      sample: "service:fits-httpd.service"
    before:
      description: The subject as it was; null if it did not exist.
      type: dict
      sample: {"active": "active", "restarted": false}
    after:
      description: The subject as it will be; null if it will not exist.
      type: dict
      sample: {"active": "active", "restarted": true}
    reason:
      description: Why, in one sentence.
      type: str
      sample: it is asked for
    reversible:
      description: Whether the change can be undone. A restart cannot; a start and a stop can.
      type: bool
      sample: false
    data_loss:
      description: What would be lost, if anything. This fix loses nothing that it knows of.
      type: str
      sample: ""
    done:
      description: Whether it was done. Always false in check mode.
      type: bool
      sample: true
    note:
      description: How it went, or why it was not done.
      type: str
      sample: "main process 4711 ended after 1.2 s; main process 4802 is up since 2026-01-31T23:59:59Z"
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
  description: Takes this run back, with M(fieldops.runbooks.runbook_undo). Null when nothing was changed.
  returned: always
  type: str
  sample: 20260131T235959-service_restart-0123abcd
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
      sample: node.service.flapping
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: critical
    subject:
      description: What it is about.
      type: str
      sample: fits-service_ingest_queue1.service
    summary:
      description: One sentence for a person.
      type: str
      sample: "fits-service_ingest_queue1.service flaps: it has ended and waits to be started again (12 times so far, last with exit code 0)"
    detail:
      description: The same for a program.
      type: dict
      sample: {"restarts": 12, "exit_code": 0}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": null, "vars": {}, "text": "read its log; a service that ends at once with exit code 0 may have found a lock file"}
    runbook:
      description: File and heading of the runbook. Null here.
      type: dict
      sample: null
evidence:
  description: Where on the node the state before the change was kept (C(directory), null where none was), and what manages the services.
  returned: always
  type: dict
  sample: {"directory": "/var/lib/fieldops/runbooks/evidence/20260131T235959-471100815", "manager": "systemd"}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 21.5
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.services import ServiceError
from ..module_utils.node.restart_options import OPTIONS, secrets
from ..module_utils.node.restart_run import ServiceRestart
from ..module_utils.procedure.argspec import GUARDS
from ..module_utils.procedure.module import run_fix


class Module(AnsibleModule):
    """Ansible writes its arguments to the log of the node before anybody else sees them."""

    def _log_invocation(self) -> None:
        self.no_log_values.update(secrets(self.params))
        super()._log_invocation()


def main() -> None:
    module = Module(supports_check_mode=True, **OPTIONS.merge(GUARDS).to_kwargs())
    module.no_log_values.update(secrets(module.params))
    run_fix(module, ServiceRestart, (ServiceError,))


if __name__ == "__main__":
    main()
