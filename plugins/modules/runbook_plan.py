#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: runbook_plan
short_description: How the hosts of a run stand, and what would mend them
version_added: 1.0.0
description:
  - Sums up what P(fieldops.runbooks.triage#role) has seen on the hosts of the play, or what an earlier report has, and says which shipped playbooks
    would mend it, with which variables, on which hosts, in which order.
  - It runs on the controller, connects to no host, and changes nothing. The playbooks P(fieldops.runbooks.triage#role) and
    P(fieldops.runbooks.remediate#role) are built on it.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
attributes:
  action_group:
    support: none
    membership: []
  idempotent:
    support: full
options:
  report:
    description:
      - A report of P(fieldops.runbooks.summary#callback) as JSON, on the controller. Without it, what the hosts of the play were found to be in this run.
      - It may come from anywhere. It only ever chooses from the playbooks of this collection and sets only variables of their systems.
      - No value of it is taken for a template.
    type: path
  report_max_age:
    description: Refuse a report that is older than this many seconds. V(0) takes any.
    type: float
    default: 86400.0
  systems:
    description: Only what mends these systems, such as V(fits). Empty means all.
    type: list
    elements: str
    default: []
  codes:
    description:
      - Only what mends findings with these codes; C(*) and C(?) stand for any text and any character.
      - Some remedies are only chosen when their code is asked for here, since a person has to want them.
      - A code that no finding has is told in RV(text) and is no error, since what it names may be well again.
    type: list
    elements: str
    default: []
  approved_plan:
    description: The RV(plan.sha256) that somebody has approved. It fails when today's plan is another one, unless that is empty.
    type: str
  hosts_at_once:
    description: Hosts that a step works on at the same time. V(0) is all. A playbook that needs all of its hosts at once has them.
    type: int
    default: 0
  failures_allowed:
    description: Hosts that may fail before no further stage is begun, over the whole run. A host on which a step failed gets no further one.
    type: int
    default: 0
  write:
    description: Whether the tasks of the steps are written to RV(tasks_file), to be included.
    type: bool
    default: false
  mended:
    description: Findings that should be gone, each with C(host), C(code) and C(subject), as RV(mends) has them. Those that are not are told in RV(standing).
    type: list
    elements: dict
    default: []
seealso:
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: What would mend what yesterday's triage has found?
  fieldops.runbooks.runbook_plan:
    report: reports/20260131T235959Z.json
    report_max_age: 172800
  run_once: true
"""

RETURN = r"""
status:
  description: How the hosts stand. A host that was not reached or not looked at whole counts as critical. Lists have 50 names, numbers are complete.
  returned: always
  type: dict
  contains:
    worst:
      description: The worst severity of all.
      type: str
      sample: critical
    hosts:
      description: Number of hosts.
      type: int
      sample: 7
    broken:
      description: Hosts with something critical or a warning.
      type: list
      elements: str
      sample: [fits-a]
    broken_total:
      description: How many these are.
      type: int
      sample: 1
    unreachable:
      description: Hosts that were not reached.
      type: list
      elements: str
      sample: []
    failed_looks:
      description: Hosts on which a look failed.
      type: list
      elements: str
      sample: []
    critical:
      description: Findings, counted on each host.
      type: int
      sample: 2
    warning:
      description: The same for warnings.
      type: int
      sample: 0
    info:
      description: The same for what is only told.
      type: int
      sample: 1
    ok:
      description: The same for what is well.
      type: int
      sample: 40
    codes:
      description: Codes of what is critical or a warning.
      type: list
      elements: str
      sample: [fits.ingest.orphaned]
plan:
  description: What would mend it.
  returned: always
  type: dict
  contains:
    sha256:
      description: Hash of what would be run where, for O(approved_plan).
      type: str
      sample: 6b1f0c3f5f6d2d3a7f7c8f0d4f3c2a1b0e9d8c7b6a5948372615f4e3d2c1b0a9
    steps:
      description: The steps in their order.
      type: list
      elements: dict
      contains:
        n:
          description: Number of the step.
          type: int
          sample: 1
        playbook:
          description: The playbook.
          type: str
          sample: fieldops.runbooks.fits_ingest_queue
        hosts:
          description: The hosts it would be run on.
          type: list
          elements: str
          sample: [fits-a]
        vars:
          description: The variables it would be given.
          type: dict
          sample: {"fits_repair": true, "fits_conditions": ["orphaned"]}
        codes:
          description: Codes of the findings that ask for it.
          type: list
          elements: str
          sample: [fits.ingest.orphaned]
        text:
          description: The same in words.
          type: str
          sample: repair the queue
    left:
      description: What no step takes up, each with C(codes), C(hosts), C(text) and C(why).
      type: list
      elements: dict
      sample: [{"codes": ["fits.disk.space"], "hosts": ["fits-a"], "text": "make room", "why": "a person has to do it"}]
text:
  description: The plan for a person, line by line.
  returned: always
  type: list
  elements: str
  sample: ["Plan 6b1f0c3f: 0 steps."]
troubles:
  description: Looks that failed, each with C(host), C(system), C(task) and C(reason).
  returned: always
  type: list
  elements: dict
  sample: []
standing:
  description: Those of O(mended) that are still so.
  returned: always
  type: list
  elements: dict
  sample: []
tasks_file:
  description: The tasks of the steps, on the controller; removed when the run ends.
  returned: with O(write)
  type: str
  sample: /home/operator/.ansible/tmp/ansible-local-4711abc/remediation-x1.yml
hosts:
  description: The hosts of all steps.
  returned: with O(write)
  type: list
  elements: str
  sample: [fits-a]
mends:
  description: The findings that the steps are for, each with C(host), C(code) and C(subject).
  returned: with O(write)
  type: list
  elements: dict
  sample: [{"host": "fits-a", "code": "fits.ingest.orphaned", "subject": "ingest queue"}]
"""
