#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: jobrunner_info
short_description: Tell how an OpenSAFELY backend's job-runner stands
version_added: 1.0.0
description:
  - Looks at the service, the database, the Docker objects of jobs, the configuration and the disks of a backend in one call, and says
    what is wrong between them.
  - Tells a service that works from one that is only "active". An error in one job ends the whole program on purpose and systemd starts it
    again after 60 seconds, so the age of the main process, the number of restarts and the last time that the main loop touched an active
    job are looked at.
  - Lists the running jobs, and what jobs left behind that do not run. Jobs whose preparation for a reboot was cut off are told from others,
    because job-runner would file those as failed.
  - Whatever cannot be read is named in RV(missing), and the rest is told all the same. The module fails only when nothing can be said.
  - Reads the database in one transaction, as the user who owns it, and changes nothing.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.record
  - fieldops.runbooks.jobrunner
  - fieldops.runbooks.jobrunner.docker
  - fieldops.runbooks.jobrunner.files
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  service:
    description: The unit of job-runner.
    type: str
    default: jobrunner
  backend_server_dir:
    description:
      - Checkout of backend-server, which the managed environment files are generated from. What differs from it has drifted.
      - Where there is none, drift is not looked for.
    type: path
    default: /srv/backend-server
  stats:
    description:
      - Whether to measure what each running job's container uses (processors and memory). It takes a second more.
    type: bool
    default: false
  loop_timeout:
    description:
      - Seconds after which a main loop that touched no active job counts as stuck, 60 or more. It touches each at least once a minute.
    type: float
    default: 300.0
  finalise_timeout:
    description: Seconds after which a job that has ended, and whose results are not filed away, is worth a finding.
    type: float
    default: 600.0
  disk_min_percent:
    description: Share of space and of inodes that must be left on the file systems of jobs. A quarter of it is critical.
    type: float
    default: 10.0
  wait:
    description:
      - Look again for up to this many seconds, an hour at most, until RV(healthy) is true. What was seen last is returned either way.
    type: float
    default: 0.0
  settle:
    description: Seconds that the main process must be old before the service is believed to stay up.
    type: float
    default: 10.0
  timeout:
    description: Seconds to wait for one answer of the Docker Engine.
    type: float
    default: 30.0
notes:
  - The state of the unit and its log are read by systemctl and journalctl. As another user than root, the log is read by the one command
    that the backend's sudoers file allows.
  - C(updated_at) of active jobs is the main loop's sign of life. A loop that copies a very large output shows none meanwhile.
seealso:
  - module: fieldops.runbooks.jobrunner_job_info
  - module: fieldops.runbooks.jobrunner_debug
"""

EXAMPLES = r"""
- name: How does the backend stand?
  fieldops.runbooks.jobrunner_info:
  become: true
  register: backend

- name: What do the running jobs use?
  fieldops.runbooks.jobrunner_info:
    stats: true
  become: true
  become_user: opensafely

- name: Wait until it works again after a reboot
  fieldops.runbooks.jobrunner_info:
    wait: 180
  become: true

- name: A backend whose files are elsewhere
  fieldops.runbooks.jobrunner_info:
    workdir: /srv/jobrunner/workdir
    config_files: [/etc/jobrunner/jobrunner.env]
    high_privacy_base: /data/high_privacy
    medium_privacy_base: /data/medium_privacy
  become: true
"""

RETURN = r"""
healthy:
  description:
    - Whether the service is up and stays so, its main loop turns, database and engine can be read, and no job waits for a reboot any more.
  returned: always
  type: bool
  sample: true
service:
  description: The unit, as systemd sees it, and its signs of life. Null when systemd could not be asked.
  returned: always
  type: dict
  contains:
    unit:
      description: Its name.
      type: str
      sample: jobrunner.service
    known:
      description: Whether there is such a unit.
      type: bool
      sample: true
    active:
      description: State in systemd's words.
      type: str
      sample: active
    sub:
      description: The same in detail.
      type: str
      sample: running
    enabled:
      description: Whether it is started at boot, in systemd's words.
      type: str
      sample: enabled
    result:
      description: How it last ended.
      type: str
      sample: success
    exit_code:
      description: Exit code of its last end, if it ended by itself.
      type: int
      sample: 1
    main_pid:
      description: Its main process.
      type: int
      sample: 812
    age:
      description: Seconds since its main process was started.
      type: float
      sample: 86400.2
    restarts:
      description: How often systemd has started it again by itself.
      type: int
      sample: 0
    since:
      description: Since when it is in this state, in UTC.
      type: str
      sample: "2026-01-30T23:59:59Z"
    working_directory:
      description: Its checkout.
      type: str
      sample: /home/opensafely/jobrunner/code
    reload_needed:
      description: Whether the unit file has changed since systemd read it.
      type: bool
      sample: false
    last_line_at:
      description: When it last wrote a line to its log, in UTC.
      type: str
      sample: "2026-01-31T23:59:50Z"
    last_line_age:
      description: The same in seconds before now.
      type: float
      sample: 9.1
    heartbeat_age:
      description: Seconds since the main loop last touched an active job. Null without active jobs.
      type: float
      sample: 12.0
database:
  description: The database. Null when it could not be read, or is of a layout that is not supported.
  returned: always
  type: dict
  contains:
    path:
      description: Its path.
      type: str
      sample: /home/opensafely/jobrunner/workdir/db.sqlite
    user_version:
      description: Version of its layout.
      type: int
      sample: 3
    journal_mode:
      description: C(delete), or C(wal) from 2024-05 on.
      type: str
      sample: delete
flags:
  description: All flags by name, with value and time stamp as they are stored.
  returned: always
  type: dict
  sample: {"paused": {"value": null, "timestamp": 1769904000.25}}
paused:
  description: Whether job-runner takes the flag C(paused) for true.
  returned: always
  type: bool
  sample: false
jobs:
  description: Numbers of jobs.
  returned: always
  type: dict
  contains:
    total:
      description: All of them.
      type: int
      sample: 4711
    active:
      description: Those that are pending or running.
      type: int
      sample: 3
    by_state:
      description: Their number by state.
      type: dict
      sample: {"succeeded": 4400, "failed": 308, "running": 2, "pending": 1}
    by_code:
      description: Their number by status code.
      type: dict
      sample: {"succeeded": 4400, "nonzero_exit": 308, "executing": 2, "waiting_on_workers": 1}
running:
  description: The running jobs, oldest first.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Id of the job.
      type: str
      sample: ab2cd3ef4gh5ij6k
    action:
      description: Name of its action.
      type: str
      sample: generate_dataset
    workspace:
      description: Name of its workspace.
      type: str
      sample: my-workspace
    status_code:
      description: Status code.
      type: str
      sample: executing
    status_message:
      description: Status message.
      type: str
      sample: Executing job on the backend
    cancelled:
      description: Whether its user cancelled it.
      type: bool
      sample: false
    age:
      description: Seconds since it was started.
      type: float
      sample: 3600.5
    code_age:
      description: Seconds since its status code changed.
      type: float
      sample: 3540.0
    container:
      description: Its container, if there is one.
      type: dict
      sample: {"name": "os-job-ab2cd3ef4gh5ij6k", "state": "running", "status": "Up About an hour", "image": "ehrql:v1", "created": 1769900400}
    cpus:
      description: Processors that it uses, with O(stats).
      type: float
      sample: 1.85
    memory:
      description: Memory that it uses, in bytes, with O(stats).
      type: int
      sample: 2147483648
    memory_limit:
      description: Memory that it may use, in bytes, with O(stats).
      type: int
      sample: 4294967296
leftovers:
  description: Docker objects of jobs that do not run.
  returned: always
  type: list
  elements: dict
  sample:
    - job_id: ab2cd3ef4gh5ij6k
      state: failed
      status_code: internal_error
      workspace: my-workspace
      action: generate_dataset
      container: {"name": "os-job-ab2cd3ef4gh5ij6k", "state": "exited", "status": "Exited (0) 2 days ago", "image": "ehrql:v1", "created": 1769731200}
      manager:
      volume: os-volume-ab2cd3ef4gh5ij6k
      directory:
docker:
  description: Version and root directory of the engine. Null when it did not answer.
  returned: always
  type: dict
  sample: {"version": "20.10.25", "root": "/var/lib/docker"}
machine:
  description: Processors, load and memory of the node; sizes in bytes.
  returned: always
  type: dict
  sample: {"cpus": 16, "load": [3.2, 2.9, 2.5], "memory_total": 67108864000, "memory_available": 33554432000, "swap_total": 0, "swap_free": 0}
disks:
  description: The file systems of the files, the database and the containers, each once; sizes in bytes.
  returned: always
  type: list
  elements: dict
  sample:
    - mount_point: /srv
      places: {"high privacy files": "/srv/high_privacy", "medium privacy files": "/srv/medium_privacy"}
      size: 1099511627776
      available: 549755813888
      available_percent: 50.0
      inodes_available: 60000000
      inodes_available_percent: 91.5
      read_only: false
config:
  description: Every assignment of O(config_files) in the order in which they are read. Values of secrets are hidden.
  returned: always
  type: list
  elements: dict
  sample:
    - {"name": "MAX_WORKERS", "value": "5", "path": "/home/opensafely/config/04_local.env", "line": 3, "secret": false, "shadowed": false}
    - {"name": "JOB_SERVER_TOKEN", "value": "********", "path": "/home/opensafely/config/02_secrets.env", "line": 1, "secret": true, "shadowed": false}
missing:
  description: What could not be read, by part (C(service), C(database), C(docker)), and why.
  returned: always
  type: dict
  sample: {}
findings:
  description: What is so, worst or not; after a fix, what is so now.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: jobrunner.service.restart_loop
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: critical
    subject:
      description: What it is about.
      type: str
      sample: jobrunner.service
    summary:
      description: One sentence for a person.
      type: str
      sample: "jobrunner.service is active, yet in a restart loop: systemd has started it again 12 times, the last time 8 s ago"
    detail:
      description: The same for a program.
      type: dict
      sample: {"active": "active", "sub": "running", "restarts": 12, "exit_code": null, "age": 8.0}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": null, "vars": {}, "text": "read the end of its log (journalctl -u jobrunner)"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "opensafely-jobrunner.md", "heading": "Viewing job-runner logs"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"places": {"database": "/home/opensafely/jobrunner/workdir/db.sqlite"}, "docker_host": "unix:///var/run/docker.sock", "missing": {}, "uid": 0}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.21
record:
  description: What was read, without secrets, for O(replay).
  returned: when O(record)
  type: dict
  sample: {"version": 1, "check": "jobrunner_info", "state": {}, "judged_by": {}}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.jobrunner.argspec import PLACE
from ..module_utils.jobrunner.errors import JobRunnerError
from ..module_utils.jobrunner.info import BackendInfo
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

OPTIONS = ArgumentSpec(
    {
        "service": {"type": "str", "default": "jobrunner"},
        "backend_server_dir": {"type": "path", "default": "/srv/backend-server"},
        "stats": {"type": "bool", "default": False},
        "loop_timeout": {"type": "float", "default": 300.0},
        "finalise_timeout": {"type": "float", "default": 600.0},
        "disk_min_percent": {"type": "float", "default": 10.0},
        "wait": {"type": "float", "default": 0.0},
        "settle": {"type": "float", "default": 10.0},
        "timeout": {"type": "float", "default": 30.0},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **PLACE.merge(OPTIONS).recordable().to_kwargs())
    run_info(module, BackendInfo, (JobRunnerError,))


if __name__ == "__main__":
    main()
