#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: jobrunner_update_info
short_description: Tell what the next update of a backend would bring, and what has drifted from the last one
version_added: 1.0.0
description:
  - Reads the checkout of backend-server, compares it with its remote, and says which commits it lacks and whether somebody has changed it.
  - Compares the generated files of job-runner's configuration with what they are generated from, and says which variables differ. Says what
    the last update overwrote, which secrets are missing, which files others can read, and which lines the service and shells read differently.
  - Says by a simulation of apt whether the update would upgrade Docker, which ends every container. Upstream's update
    upgrades all packages on some backends.
  - Changes nothing, not even what the checkout knows of its remote. Values of secrets are never returned.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.jobrunner.config
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  backend_server_dir:
    description: Checkout of backend-server.
    type: path
    default: /srv/backend-server
  ref:
    description: What the checkout is compared with, as a branch of the remote, a tag, or a whole commit id.
    type: str
    default: origin/main
  timeout:
    description: Seconds that one command may take, such as a fetch.
    type: float
    default: 120.0
requirements:
  - git >= 2.25 on the managed node, for the checkout
notes:
  - Run it as root, or as a user who may read the configuration and owns the checkout. What cannot be read is a finding.
  - apt is asked by the lists of packages that the node has now. The update itself fetches new ones first.
seealso:
  - module: fieldops.runbooks.jobrunner_info
  - module: fieldops.runbooks.jobrunner_setting
"""

EXAMPLES = r"""
- name: What would an update bring, and what has drifted?
  fieldops.runbooks.jobrunner_update_info:
  become: true
"""

RETURN = r"""
backend:
  description: Whose configuration an update would install. Null where that is set nowhere.
  returned: always
  type: str
  sample: tpp
checkout:
  description: The checkout of backend-server. Null where there is none.
  returned: always
  type: dict
  sample:
    path: /srv/backend-server
    head: ca53c8661c9d3b0bd1b9f6a3c2b7e5b6a7f8c9d0
    target: bb6fcbe41c9d3b0bd1b9f6a3c2b7e5b6a7f8c9d0
    incoming: 3
    commits: ["bb6fcbe Update the playbook"]
    changed: []
packages:
  description: Packages that would be upgraded or installed. Null where the update of this backend upgrades none, or that cannot be told.
  returned: always
  type: list
  elements: dict
  sample: [{"name": "docker.io", "before": "20.10.21-0ubuntu1~20.04.2", "after": "24.0.5-0ubuntu1~20.04.1", "docker": true}]
restarts_docker:
  description: Whether one of them restarts Docker.
  returned: always
  type: bool
  sample: true
findings:
  description: What is so, worst or not.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: jobrunner.config.drift
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: warning
    subject:
      description: What it is about.
      type: str
      sample: /home/opensafely/config/01_defaults.env
    summary:
      description: One sentence for a person.
      type: str
      sample: "01_defaults.env is not what defaults.env makes of it: it sets otherwise POLL_INTERVAL. The next update of the backend writes it anew"
    detail:
      description: The same for a program.
      type: dict
      sample: {"added": [], "missing": [], "changed": ["POLL_INTERVAL"]}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": "fieldops.runbooks.jobrunner_update_backend", "vars": {}, "text": "put what is to stay into 04_local.env, then update the backend"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "opensafely-jobrunner.md", "heading": "Configuring the job-runner"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"sources": ["/srv/backend-server/services/jobrunner/defaults.env"]}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 1.2
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.git import GitError
from ..module_utils.jobrunner.argspec import CONFIG
from ..module_utils.jobrunner.config_update import UpdateInfo
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

OPTIONS = ArgumentSpec(
    {
        "backend_server_dir": {"type": "path", "default": "/srv/backend-server"},
        "ref": {"type": "str", "default": "origin/main"},
        "timeout": {"type": "float", "default": 120.0},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(CONFIG).to_kwargs())
    run_info(module, UpdateInfo, (GitError,))


if __name__ == "__main__":
    main()
