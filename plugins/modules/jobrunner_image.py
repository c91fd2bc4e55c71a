#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: jobrunner_image
short_description: Have an image of jobs on an OpenSAFELY backend under all of its names
version_added: 1.0.0
description:
  - Pulls an image that jobs run, and names it as jobs ask for it. job-runner itself pulls nothing, and a job whose image is not there ends
    with an internal error.
  - Asks the registry first, so that check mode says whether there is a newer image, and pulls that very image by its digest.
  - Old names are journaled, and come back with M(fieldops.runbooks.runbook_undo) as long as the old image is there.
  - In contrast to upstream's script nothing is removed along the way. With O(state=pruned), images without a name are removed that nothing
    uses, after each was named in the plan.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.jobrunner.config
  - fieldops.runbooks.jobrunner.docker
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: full
options:
  name:
    description:
      - The image, without host and organisation, as jobs name it, for example V(ehrql) or V(ehrql:v1).
      - Required with O(state=present).
    type: str
  tag:
    description: The tag, unless O(name) has one. The default is V(latest).
    type: str
  state:
    description:
      - V(present) has the image under all of its names.
      - V(pruned) removes images without a name that no container, running or not, was made from. They cannot be brought back, so each must
        be accepted with O(accept_data_loss).
    type: str
    choices: [present, pruned]
    default: present
  registry:
    description:
      - Host and organisation of the images as jobs name them.
      - Without it, E(DOCKER_REGISTRY) of O(config_files). job-runner has a default of its own, the organisation C(opensafely-core) of the public
        registry. No registry is assumed here, so where the configuration has none, it must be given.
    type: str
  proxy:
    description:
      - Host and organisation to pull from in place of O(registry), as on backends that reach the registry only through OpenSAFELY's own proxy.
    type: str
  aliases:
    description:
      - More places under which the image is named.
      - Without it, the organisation C(opensafely) beside C(opensafely-core), as upstream's script does it for old projects, and none beside any
        other.
    type: list
    elements: str
  allowed:
    description: Images that may be named, besides V(tools).
    type: list
    elements: str
    default: [cohortextractor, databuilder, ehrql, stata-mp, r, jupyter, python, sqlrunner]
  pull:
    description:
      - Whether to ask the registry. Without it, the image must be on the node under the name of its source, and only the other names are given.
    type: bool
    default: true
  pull_timeout:
    description: Seconds that a pull may take.
    type: float
    default: 1800.0
  timeout:
    description: Seconds to wait for any other answer of the Docker Engine, and through it of the registry.
    type: float
    default: 60.0
notes:
  - The engine asks the registry, with its own proxy, certificates and mirrors.
  - Running jobs keep the image that they were started with.
  - What was pulled stays on the node after an undo, unless it has no name then.
seealso:
  - module: fieldops.runbooks.jobrunner_debug
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: Is there a newer image for R?
  fieldops.runbooks.jobrunner_image:
    name: r
    registry: registry.example.org/opensafely-core
    proxy: proxy.example.org/opensafely-core
  become: true
  check_mode: true

- name: Get it
  fieldops.runbooks.jobrunner_image:
    name: r
    registry: registry.example.org/opensafely-core
    proxy: proxy.example.org/opensafely-core
  become: true

- name: Remove one image without a name that a plan has named
  fieldops.runbooks.jobrunner_image:
    state: pruned
    accept_data_loss:
      - image 1a2b3c4d5e6f
  become: true
"""

RETURN = r"""
images:
  description: What each name stands for, null where there is no such image. Empty with O(state=pruned).
  returned: always
  type: dict
  sample:
    registry.example.org/opensafely-core/r:latest:
      id: sha256:1a2b3c4d5e6f
      tags: ["registry.example.org/opensafely-core/r:latest"]
      digests: ["registry.example.org/opensafely-core/r@sha256:9f8e7d6c5b4a"]
      created: "2026-01-30T12:00:00Z"
      size: 1500000000
offered:
  description: Digest that the registry has under the name. Null where it was not asked.
  returned: always
  type: str
  sample: sha256:9f8e7d6c5b4a
dangling:
  description: Images without a name that nothing uses, with O(state=pruned).
  returned: always
  type: list
  elements: dict
  sample: []
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
      sample: pull
    subject:
      description: What is changed.
      type: str
      sample: "image:registry.example.org/opensafely-core/r:latest"
    before:
      description: The subject as it was; null if it did not exist.
      type: dict
      sample: {"id": "sha256:0a1b2c3d4e5f"}
    after:
      description: The subject as it will be; null if it will not exist.
      type: dict
      sample: {"digest": "sha256:9f8e7d6c5b4a"}
    reason:
      description: Why, in one sentence.
      type: str
      sample: the registry has another one under this name
    reversible:
      description: Whether the change can be undone.
      type: bool
      sample: true
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
      sample: "the name stands for another image than when it was looked at: left alone"
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
  sample: 20260131T235959-jobrunner_image-0123abcd
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
      sample: jobrunner.image.outdated
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: warning
    subject:
      description: What it is about.
      type: str
      sample: "r:latest"
    summary:
      description: One sentence for a person.
      type: str
      sample: "image r:latest is another one than the registry has under registry.example.org/opensafely-core/r:latest"
    detail:
      description: The same for a program.
      type: dict
      sample: {"names": ["registry.example.org/opensafely-core/r:latest"], "wanted": {"digest": "sha256:9f8e7d6c5b4a"}}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample:
        playbook:
        vars: {}
        text: run fieldops.runbooks.jobrunner_image without check mode; running jobs keep the image that they were started with
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "opensafely-jobrunner.md", "heading": "Update docker image"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"docker_host": "unix:///var/run/docker.sock", "source": "proxy.example.org/opensafely-core/r:latest"}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 12.5
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.docker import DockerError
from ..module_utils.jobrunner.argspec import CONFIG, DOCKER
from ..module_utils.jobrunner.errors import JobRunnerError
from ..module_utils.jobrunner.image import JobImage
from ..module_utils.jobrunner.image_state import ALLOWED
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix

OPTIONS = ArgumentSpec(
    {
        "name": {"type": "str"},
        "tag": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "pruned"], "default": "present"},
        "registry": {"type": "str"},
        "proxy": {"type": "str"},
        "aliases": {"type": "list", "elements": "str"},
        "allowed": {"type": "list", "elements": "str", "default": list(ALLOWED)},
        "pull": {"type": "bool", "default": True},
        "pull_timeout": {"type": "float", "default": 1800.0},
        "timeout": {"type": "float", "default": 60.0},
    },
    required_if=[("state", "present", ["name"])],
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **CONFIG.merge(DOCKER, OPTIONS, GUARDS).to_kwargs())
    run_fix(module, JobImage, (JobRunnerError, DockerError))


if __name__ == "__main__":
    main()
