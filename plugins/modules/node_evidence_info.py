#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_evidence_info
short_description: What a person would ask for tomorrow, from units, containers, logs and processes
version_added: 1.0.0
description:
  - Returns states and journals of units, states and logs of containers, the ends of log files and the command lines of processes, as texts.
  - Each text, all of them together, and the time are bounded. What was cut or could not be had is told, and stops nothing else.
  - Secrets are taken out. Of the environment of a container only names are returned.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  units:
    description: Units of systemd, as patterns with C(*) and C(?).
    type: list
    elements: str
    default: []
  containers:
    description: Names of containers, as patterns.
    type: list
    elements: str
    default: []
  logs:
    description: Absolute paths of log files, as patterns; the newest first. A link is not followed.
    type: list
    elements: str
    default: []
  processes:
    description: Whether the command lines of processes are returned.
    type: bool
    default: true
  lines:
    description: Lines of each log and journal, the last ones.
    type: int
    default: 500
  max_bytes:
    description: Bytes of each text; its end is kept.
    type: int
    default: 262144
  max_total:
    description: Bytes of all texts together.
    type: int
    default: 4194304
  timeout:
    description: Seconds for all of it.
    type: float
    default: 60.0
  docker_host:
    description: Address of the Docker Engine. Without it E(DOCKER_HOST), and then the socket of this node.
    type: str
    default: unix:///var/run/docker.sock
seealso:
  - module: fieldops.runbooks.runbook_bundle
"""

EXAMPLES = r"""
- name: What do the services of FITS Storage say?
  fieldops.runbooks.node_evidence_info:
    units: [fits-*]
    logs: [/data/logs/*.log]
  register: evidence
"""

RETURN = r"""
files:
  description: What was found.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: A name for it.
      type: str
      sample: unit-fits-httpd.service.txt
    text:
      description: What it says, without secrets.
      type: str
      sample: "ActiveState=failed"
    bytes:
      description: How long it was.
      type: int
      sample: 1234
    cut:
      description: Whether its beginning was cut off.
      type: bool
      sample: false
missing:
  description: What could not be had, and why.
  returned: success
  type: dict
  sample: {"log-data-logs-x.log": "No such file or directory"}
findings:
  description: None. It judges nothing.
  returned: success
  type: list
  elements: dict
  sample: []
evidence:
  description: Nothing more.
  returned: success
  type: dict
  sample: {}
elapsed:
  description: Seconds it took.
  returned: always
  type: float
  sample: 0.42
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.parameters import env_fallback

from ..module_utils.connect.docker import DEFAULT_HOST
from ..module_utils.node.evidence import Evidence
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

OPTIONS = ArgumentSpec(
    {
        "units": {"type": "list", "elements": "str", "default": []},
        "containers": {"type": "list", "elements": "str", "default": []},
        "logs": {"type": "list", "elements": "str", "default": []},
        "processes": {"type": "bool", "default": True},
        "lines": {"type": "int", "default": 500},
        "max_bytes": {"type": "int", "default": 262144},
        "max_total": {"type": "int", "default": 4194304},
        "timeout": {"type": "float", "default": 60.0},
        "docker_host": {"type": "str", "default": DEFAULT_HOST, "fallback": (env_fallback, ["DOCKER_HOST"])},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.to_kwargs())
    run_info(module, Evidence)


if __name__ == "__main__":
    main()
