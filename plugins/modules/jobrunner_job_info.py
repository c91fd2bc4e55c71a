#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: jobrunner_job_info
short_description: Tell all there is to know of single jobs of an OpenSAFELY backend
version_added: 1.0.0
description:
  - Returns the row of a job, its container and volume, its log directories of whatever month, the end of its log, its metadata, what the
    service wrote about it, and the database query that it waits for.
  - Jobs are named by their whole ids. A fragment is refused with the ids that it is part of, since a fragment means another job tomorrow.
  - Shows no secrets. Of a container's environment only the variables that job-runner itself shows have values; the others' values, the
    secrets of O(config_files) and passwords in URLs are hidden wherever they turn up, also in lines of logs.
  - job-runner leaves the environment of a job that was killed in its C(metadata.json) in clear, C(DATABASE_URL) included. It is hidden here,
    and such a file is a finding.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.jobrunner
  - fieldops.runbooks.jobrunner.docker
  - fieldops.runbooks.jobrunner.files
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  job_id:
    description: Ids of jobs, whole. The name of a job's container is taken for its id.
    type: list
    elements: str
    required: true
  log_lines:
    description: Lines to return from the end of a job's log.
    type: int
    default: 50
  follow_seconds:
    description:
      - Watch the log of a running job for this many seconds, 600 at most, and return what comes. It ends sooner when the job does.
      - Each job that is named takes this time.
    type: float
    default: 0.0
  query_lines:
    description:
      - Lines from the end of the log in which the last database query is looked for, as cohortextractor and ehrQL write it.
      - V(0) looks for none.
    type: int
    default: 10000
  statement:
    description: Whether to return the statement of the query, which can be very long.
    type: bool
    default: false
  max_query_age:
    description: Seconds after which a query that runs is worth a warning.
    type: float
    default: 14400.0
  metadata:
    description: Whether to return the metadata of the newest log directory, and the container as the engine describes it.
    type: bool
    default: true
  service_lines:
    description:
      - Lines of the service's log about a job to return, from the end. V(0) does not read that log.
      - It is read from the time at which the job was made.
    type: int
    default: 50
  service_timeout:
    description: Seconds to read the service's log; what was found until then is returned.
    type: float
    default: 20.0
  service:
    description: The unit of job-runner.
    type: str
    default: jobrunner
  timeout:
    description: Seconds to wait for one answer of the Docker Engine.
    type: float
    default: 30.0
notes:
  - The month of a log directory is that in which it was written, when the job ended or was killed. A job can have several.
  - As another user than root, the service's log is read by the one command that the backend's sudoers file allows.
seealso:
  - module: fieldops.runbooks.jobrunner_info
  - module: fieldops.runbooks.jobrunner_debug
  - module: fieldops.runbooks.mssql_table_progress_info
"""

EXAMPLES = r"""
- name: What is with this job?
  fieldops.runbooks.jobrunner_job_info:
    job_id: ab2cd3ef4gh5ij6k
  become: true

- name: Watch it for a minute
  fieldops.runbooks.jobrunner_job_info:
    job_id: ab2cd3ef4gh5ij6k
    follow_seconds: 60
    metadata: false
  become: true

- name: How long do these wait for the database, and for what?
  fieldops.runbooks.jobrunner_job_info:
    job_id: "{{ backend.running | map(attribute='id') }}"
    statement: true
    log_lines: 0
    service_lines: 0
  become: true
"""

RETURN = r"""
jobs:
  description: The jobs, in the order in which they were named.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Id of the job.
      type: str
      sample: ab2cd3ef4gh5ij6k
    row:
      description: Its row in the database. Columns that hold JSON are read.
      type: dict
      sample: {"id": "ab2cd3ef4gh5ij6k", "state": "running", "status_code": "executing", "action": "generate_dataset", "workspace": "my-workspace"}
    objects:
      description: Its Docker objects. C(directory) is a volume in its other form.
      type: dict
      sample:
        container: {"name": "os-job-ab2cd3ef4gh5ij6k", "state": "running", "status": "Up", "image": "ehrql:v1", "created": 1769900400}
        manager: {"name": "os-volume-ab2cd3ef4gh5ij6k-manager", "state": "running", "status": "Up", "image": "busybox", "created": 1769900390}
        volume: os-volume-ab2cd3ef4gh5ij6k
        directory:
    container:
      description: How its container stands, if there is one.
      type: dict
      sample:
        name: os-job-ab2cd3ef4gh5ij6k
        status: running
        pid: 4711
        exit_code:
        oom_killed: false
        started_at: "2026-01-31T23:00:00Z"
        finished_at:
    folders:
      description: Its log directories, the newest last.
      type: list
      elements: dict
      sample: [{"path": "/srv/high_privacy/logs/2026-01/os-job-ab2cd3ef4gh5ij6k", "modified": 1769904000.5, "log_size": 5120, "problem": ""}]
    log:
      description:
        - The end of its log, from the container if there is one, else from the newest log directory.
        - C(complete) says whether that is all of the log, C(followed) how many of the lines came while it was watched, C(ended) whether the
          job ended meanwhile.
      type: dict
      sample:
        source: container os-job-ab2cd3ef4gh5ij6k
        lines: ["2026-01-31T23:00:01.123456789Z [info   ] Running query 001 / 012"]
        complete: true
        followed: 0
        ended:
    query:
      description: The last query in the log. C(running) says whether it has not been answered, C(age) how many seconds ago it was sent.
      type: dict
      sample:
        program: ehrql
        name: query 001 / 012
        issued_at: "2026-01-31T23:00:01Z"
        age: 3599.5
        running: true
        statement:
        statement_length: 812
    service_log:
      description: What the service wrote about it, oldest first.
      type: list
      elements: dict
      sample: [{"time": "2026-01-31T23:00:00Z", "text": "Executing job on the backend workspace=my-workspace action=generate_dataset id=ab2cd3ef4gh5ij6k"}]
    service_log_complete:
      description: Whether all of the service's log was read. Null when it was not.
      type: bool
      sample: true
    metadata:
      description: The C(metadata.json) of the newest log directory that has one, without secrets.
      type: dict
      sample: {"job_definition_id": "ab2cd3ef4gh5ij6k", "exit_code": "0", "outputs": {"output/dataset.csv.gz": "highly_sensitive"}}
    container_metadata:
      description: Its container as the engine describes it, without secrets.
      type: dict
      sample: {"Id": "1f0c3f5f6d2d", "Config": {"Env": ["PATH=/usr/bin", "DATABASE_URL=********"]}}
    missing:
      description: What could not be read, and why.
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
      sample: jobrunner.job.query_running
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: warning
    subject:
      description: What it is about.
      type: str
      sample: ab2cd3ef4gh5ij6k
    summary:
      description: One sentence for a person.
      type: str
      sample: "job ab2cd3ef4gh5ij6k has been waiting for the database for 5:12:09, since 2026-01-31T18:47:51Z (query 001 / 012)"
    detail:
      description: The same for a program.
      type: dict
      sample: {"age": 18729.4, "program": "ehrql", "query": "query 001 / 012"}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample:
        playbook:
        vars: {}
        text: see with fieldops.runbooks.mssql_table_progress_info whether the table that it writes grows
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "opensafely-jobrunner.md", "heading": "Debugging slow queries"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample:
    database: /home/opensafely/jobrunner/workdir/db.sqlite
    logs: /srv/high_privacy/logs
    docker_host: unix:///var/run/docker.sock
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.31
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.sqlite import SqliteError
from ..module_utils.jobrunner.argspec import PLACE
from ..module_utils.jobrunner.errors import JobRunnerError
from ..module_utils.jobrunner.jobinfo import JobInfo
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

OPTIONS = ArgumentSpec(
    {
        "job_id": {"type": "list", "elements": "str", "required": True},
        "log_lines": {"type": "int", "default": 50},
        "follow_seconds": {"type": "float", "default": 0.0},
        "query_lines": {"type": "int", "default": 10000},
        "statement": {"type": "bool", "default": False},
        "max_query_age": {"type": "float", "default": 14400.0},
        "metadata": {"type": "bool", "default": True},
        "service_lines": {"type": "int", "default": 50},
        "service_timeout": {"type": "float", "default": 20.0},
        "service": {"type": "str", "default": "jobrunner"},
        "timeout": {"type": "float", "default": 30.0},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **PLACE.merge(OPTIONS).to_kwargs())
    run_info(module, JobInfo, (JobRunnerError, SqliteError))


if __name__ == "__main__":
    main()
