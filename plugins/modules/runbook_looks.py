#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: runbook_looks
short_description: Several checks of one host in one round trip
version_added: 1.0.0
description:
  - Runs several modules that only look, side by side, in one task. One connection is made, Python starts once, and the node's processors share the work, so
    that a look at a whole host costs little more than the longest of its checks.
  - Each module gets the same arguments, connection, user and environment as in a task of its own, and returns the same.
  - A check that fails stops no other. The task fails at the end, and RV(results) has what the others have seen.
  - Checks that need different users (C(become_user)) go into tasks of their own.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
attributes:
  action_group:
    support: none
    membership: []
options:
  looks:
    description: The checks. When O(looks[].when) leaves none, the task is skipped.
    type: list
    elements: dict
    required: true
    suboptions:
      module:
        description:
          - Name of a module of this collection that ends in C(_info), with or without its namespace.
          - Its C(module_defaults) count here as they do for a task.
        type: str
        required: true
      args:
        description: Its options.
        type: dict
        default: {}
      when:
        description: Whether to run it.
        type: bool
        default: true
seealso:
  - module: fieldops.runbooks.node_health_info
  - plugin: fieldops.runbooks.summary
    plugin_type: callback
"""

EXAMPLES = r"""
- name: A FITS host at one look
  fieldops.runbooks.runbook_looks:
    looks:
      - module: node_health_info
        args:
          paths:
            - path: /data
              min_free: 5%
      - module: fits_queue_info
        args:
          queues: [ingest]
        when: "{{ 'database' not in group_names }}"
  register: seen

- name: What is wrong
  ansible.builtin.debug:
    msg: "{{ seen.results | map(attribute='findings', default=[]) | flatten | rejectattr('severity', 'in', ['ok', 'info']) | map(attribute='summary') }}"
"""

RETURN = r"""
results:
  description: What each check returned, in the order of O(looks), without those that were left out.
  returned: always
  type: list
  elements: dict
  sample:
    - {"look": "fieldops.runbooks.node_health_info", "changed": false, "findings": [], "evidence": {}, "elapsed": 0.02}
    - {"look": "fieldops.runbooks.fits_queue_info", "failed": true, "msg": "fits_queue_info: cannot connect to the database fitsdata: Connection refused"}
  contains:
    look:
      description: Full name of the module. Beside it stands all that the module returns.
      type: str
      sample: fieldops.runbooks.node_health_info
"""
