#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sesam_node_info
short_description: Tell how a Sesam node stands
version_added: 1.0.0
description:
  - Looks at the API, the pipes, the scheduler, the container and the folders of a node in one call, and says what is wrong.
  - A node is well only if it says so of itself. C(/ping), or the status 200 alone, proves nothing, and a status 503 of C(/health) is an answer.
  - An API that takes connections and does not answer is told from one that nobody listens for, and from a node that is starting. In each of
    these cases, container, process, logs and stack traces are told all the same.
  - Pipes are read from one answer, piece by piece, in bounded memory. What the node does not tell of a pipe, and what is only the old answer of
    a subnode that does not answer, counts as unknown and never as well.
  - The scheduler may be off by the node's metadata, or by C(startup_options.json), which a node reads only when it starts. A file that is newer
    than the start of the node was not read by it.
  - Whatever cannot be seen is a finding and is named in RV(missing), with the right that is missing.
  - The token, the licence and values of the configuration are never returned, and nothing is changed.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.record
  - fieldops.runbooks.sesam
  - fieldops.runbooks.sesam.container
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  parts:
    description:
      - What to look at. By default everything.
      - V(health), V(status), V(license) and V(pipes) are asked for at the API, V(scheduler) at the API and in the data folder, the others on the
        machine of the node alone.
    type: list
    elements: str
    choices: [health, status, license, pipes, scheduler, stacktraces, health_log, container, profiler, space]
  max_pipes:
    description:
      - How many pipes to return in full, 100000 at most. Those come first of which nothing is known, and that are in trouble.
      - All pipes are read and counted, whatever this is.
    type: int
    default: 100
  running_after:
    description: Seconds after its last run that a pipe which runs counts as running too long.
    type: float
    default: 21600.0
  overdue_after:
    description: Seconds after the time of its next run that a pipe which does not run counts as overdue. While the scheduler is off, none is.
    type: float
    default: 3600.0
  recent:
    description: Seconds for which stack traces, and failures in C(node_health.log), count as being of now.
    type: float
    default: 86400.0
  settle:
    description: Seconds that a node may take to start.
    type: float
    default: 600.0
  min_free:
    description: Per cent of space and inodes, below which too little is left for data or logs. Below a third of it is critical.
    type: float
    default: 10.0
  max_profiles:
    description: Bytes that profiles in the log folder may take.
    type: int
    default: 1073741824
notes:
  - Run it as root on the machine of the node. Other users may not reach the Docker Engine, see the node's process or read its folders.
  - Five questions are asked. Where one is not answered in time, C(/ping) is asked as well, and a node that does not answer two of them is not
    asked any more. Only where no pipe at all has a next run, the configurations of pipes are read as well, to see whether one should have.
  - The Docker Engine is asked only where the container is looked at, or a folder is not named.
seealso:
  - module: fieldops.runbooks.sesam_stacktrace
  - module: fieldops.runbooks.sesam_scheduler
  - module: fieldops.runbooks.sesam_restart
"""

EXAMPLES = r"""
- name: How does the node stand?
  fieldops.runbooks.sesam_node_info:
    jwt: "{{ sesam_jwt }}"
  become: true
  register: sesam

- name: Which pipes are in trouble?
  fieldops.runbooks.sesam_node_info:
    api_url: https://datahub.example.org/api
    jwt: "{{ sesam_jwt }}"
    parts: [pipes, scheduler]
    data_folder: /srv/data/sesam/node-00/data

- name: Has the health checker left stack traces?
  fieldops.runbooks.sesam_node_info:
    parts: [stacktraces, health_log]
    container: sesam-node
  become: true
"""

RETURN = r"""
healthy:
  description:
    - Whether the node says that it is well, nothing critical was found, and nothing of what was asked for is unknown.
    - Null when its health was not asked for.
  returned: always
  type: bool
  sample: true
condition:
  description:
    - V(running) for a node that answers and says that it is well, V(unwell) for one that says that it is not.
    - V(frozen) for one that takes connections and does not answer, V(starting) for one that answers everything with 503, V(down) where nobody
      answers, and V(unknown) for all else.
  returned: always
  type: str
  sample: running
api:
  description:
    - How the API was asked. C(ping) is null unless another question was not answered in time.
  returned: always
  type: dict
  sample: {"url": "http://localhost:9042/api", "authenticated": true, "ping": null, "requests": 5}
health:
  description:
    - What the node says of its health. C(well) is null where the answer does not tell, C(body) the answer without what may be a secret.
    - Null when it was not asked, or did not answer.
  returned: always
  type: dict
  sample: {"status": 200, "well": true, "body": {"status": "ok"}, "seconds": 0.012}
status:
  description: What the node says of itself. Null when it was not asked, or did not answer.
  returned: always
  type: dict
  sample:
    node_id: 8f4b6c1e-2d0a-4d5e-9b1f-77aa00bb11cc
    version: 2.0.14
    start_time: "2026-01-31T23:58:12.125Z"
    uptime: 86400.5
    memory: {"total": 33567891456, "available": 21567891456, "percent": 35.7}
license:
  description:
    - C(state) is V(present), V(absent), V(invalid), or V(unknown) where the answer does not tell; null where there is none. C(file) says whether
      there is a licence in the data folder, C(enforced) whether pipes stop without one.
    - The licence itself is not read. Null when it was not asked for.
  returned: always
  type: dict
  sample: {"state": "present", "file": true, "enforced": true}
pipes:
  description: The pipes. Null when they were not asked for, or not told.
  returned: always
  type: dict
  contains:
    total:
      description: How many there are.
      type: int
      sample: 2000
    complete:
      description: Whether all of them came.
      type: bool
      sample: true
    queued:
      description: What waits at the sources of those that tell it.
      type: int
      sample: 1200
    queues_unknown:
      description: How many do not tell what waits, or not of all their sources.
      type: int
      sample: 12
    scheduled:
      description: How many have a next run.
      type: int
      sample: 1950
    by_state:
      description: How many pipes are in each state. A pipe is in the first that is so, in this order.
      type: dict
      sample: {"unknown": 0, "invalid": 0, "failed": 2, "removing": 0, "deploying": 0, "running_long": 0, "overdue": 0, "disabled": 0,
               "running": 3, "idle": 5, "ok": 1990}
    list:
      description:
        - At most O(max_pipes) of them, those in trouble first. C(reasons) are all states that are so. Null is what the node does not tell.
        - C(cached_age) are the seconds since which a subnode has not told anything new.
      type: list
      elements: dict
      sample:
        - id: crm-person
          state: failed
          reasons: [failed]
          running: false
          disabled: false
          valid: true
          success: false
          queue: 12
          cached_age:
          message: Connection refused
          errors: []
          last_run_age: 61.2
          next_run_in: 28.5
scheduler:
  description: Whether pipes start by themselves. Null when that was not asked for.
  returned: always
  type: dict
  contains:
    enabled:
      description: Whether the scheduler runs; null where that is not known.
      type: bool
      sample: false
    stopped_by:
      description:
        - What stops it, V(metadata) or V(startup_options) or both.
        - Empty with a scheduler that is off, where nothing that is seen stops it. The node was then started with a C(startup_options.json) that has
          gone since, or it has no licence.
      type: list
      elements: str
      sample: [startup_options]
    after_restart:
      description: Whether it would run if the node were started now; null where that is not known.
      type: bool
      sample: false
    metadata:
      description: The switches in the metadata; null where those are not known.
      type: dict
      sample: {}
    startup_options:
      description: The file and its switches. C(read) says whether the running node has read it as it is; null where there is none, or that is not known.
      type: dict
      sample: {"path": "/srv/data/sesam/node-00/data/startup_options.json", "exists": true, "age": 86400.5,
               "switches": {"disable_pump_scheduler": true}, "read": true, "problem": ""}
stacktraces:
  description: Stack traces in the log folder, the newest 20 of them listed. Null when they were not looked at.
  returned: always
  type: dict
  sample:
    count: 1
    list: [{"path": "/srv/data/sesam/node-00/logs/stacktrace.html", "bytes": 279164, "modified": "2026-01-31T23:58:12Z", "age": 61.2}]
health_log:
  description:
    - The log of the node's health checker with its rotations, of which the last 8 MiB are read. C(failures) are those of the time O(recent).
    - Null when it was not looked at.
  returned: always
  type: dict
  sample:
    path: /srv/data/sesam/node-00/logs/node_health.log
    exists: true
    failures: 0
    last_failures: []
    last_line: "2026-01-31 23:58:12,125 INFO health-checker: /api/health: 200"
    bytes_read: 35058
    complete: true
    age: 12.1
    last_failure_age:
container:
  description:
    - The container of the node. C(process) is null where it was not found.
    - Null when it was not looked for, or not found.
  returned: always
  type: dict
  sample:
    id: 0e7dbe0b5bd6d1c0a7bd0e7dbe0b5bd6d1c0a7bd0e7dbe0b5bd6d1c0a7bd1234
    name: sesam-node
    image: sesam/sesam-node:weekly-prod
    status: running
    running: true
    paused: false
    restarting: false
    exit_code:
    oom_killed: false
    health: ""
    restart_policy: always
    pid: 6280
    argv: [/entrypoint.sh, lake, -l, /sesam/logs, -d, /sesam/data]
    mounts: [{"source": "/srv/data/sesam/node-00", "destination": "/sesam", "writable": true}]
    restarts: 0
    age: 86412.1
    process: {"pid": 6280, "first": true, "state": "S", "threads": 61, "owner": "sesam", "age": 86411.9, "handles_sigusr1": true}
profiler:
  description:
    - Whether the profiler of all API calls is on, and what profiles take. C(files) and C(size) are null where its folder does not exist.
    - C(enabled) is null where the command of the node is not known. Null when it was not looked at.
  returned: always
  type: dict
  sample: {"enabled": false, "folder": "/srv/data/sesam/node-00/logs/api_profiler", "files": null, "size": null, "complete": true,
           "pump_files": 0, "pump_size": 0}
space:
  description: Free space where data and logs are. Null when it was not looked at.
  returned: always
  type: dict
  sample:
    data: {"path": "/srv/data/sesam/node-00/data", "size": 107374182400, "available": 53687091200, "percent": 50.0, "inodes_percent": 97.2}
    logs: {"path": "/srv/data/sesam/node-00/logs", "size": 107374182400, "available": 53687091200, "percent": 50.0, "inodes_percent": 97.2}
folders:
  description: The folders of the node on its machine. Null where one was not looked for, or not found.
  returned: always
  type: dict
  sample: {"data": "/srv/data/sesam/node-00/data", "logs": "/srv/data/sesam/node-00/logs"}
missing:
  description:
    - What could not be seen, and why, by part. C(startup_options) and C(license_file) are the files that belong to the parts V(scheduler) and
      V(license).
  returned: always
  type: dict
  sample: {}
findings:
  description: What is so, worst or not.
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
      sample: "the node is frozen: its API takes connections and does not answer /health"
    detail:
      description: The same for a program.
      type: dict
      sample: {"paths": ["health"], "kind": "timeout", "cause": "timeout", "status": null, "ping": false, "process_state": "S", "container": "sesam-node"}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": "fieldops.runbooks.sesam_frozen", "vars": {"sesam_repair": true},
               "text": "keep stack traces, logs and the container's state, then restart it and see that it has come back"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "sesam.rst", "heading": "Getting a stacktrace of all the threads in the node"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"parts": ["health", "pipes"], "uid": 0, "time": 1769904000.25, "request_timeout": 30.0}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.42
record:
  description: What was read, without secrets, for O(replay).
  returned: when O(record)
  type: dict
  sample: {"version": 1, "check": "sesam_node_info", "state": {}, "judged_by": {}}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.docker import DockerError
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info
from ..module_utils.sesam.argspec import API, CONTAINER
from ..module_utils.sesam.container import ContainerError
from ..module_utils.sesam.errors import SesamError
from ..module_utils.sesam.info import NodeInfo

OPTIONS = API.merge(
    CONTAINER,
    ArgumentSpec(
        {
            "parts": {
                "type": "list",
                "elements": "str",
                "choices": ["health", "status", "license", "pipes", "scheduler", "stacktraces", "health_log", "container", "profiler", "space"],
            },
            "max_pipes": {"type": "int", "default": 100},
            "running_after": {"type": "float", "default": 21600.0},
            "overdue_after": {"type": "float", "default": 3600.0},
            "recent": {"type": "float", "default": 86400.0},
            "settle": {"type": "float", "default": 600.0},
            "min_free": {"type": "float", "default": 10.0},
            "max_profiles": {"type": "int", "default": 1073741824},
        }
    ),
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.recordable().to_kwargs())
    run_info(module, NodeInfo, (SesamError, ContainerError, DockerError))


if __name__ == "__main__":
    main()
