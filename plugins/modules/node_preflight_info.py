#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_preflight_info
short_description: Tell what a managed node lacks for the modules of this collection
version_added: 1.0.0
description:
  - Looks for a Python that is new enough, for Python libraries that can really be imported, and for programs; names what is
    missing, and the package of the node's distribution that holds it.
  - Installs nothing. The role P(fieldops.runbooks.preflight#role) does, when asked.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  python_min:
    description: Oldest version of Python that will do.
    type: str
    default: "3.8"
  libraries:
    description: Python libraries that must be there, for the very interpreter that runs modules.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name under which Python imports it.
        type: str
        required: true
      min_version:
        description: Oldest version that will do, compared number by number.
        type: str
      reason:
        description: What it is for.
        type: str
      packages:
        description: Package that holds it, by family of distributions (V(debian), V(redhat), V(suse)).
        type: dict
        default: {}
  programs:
    description: Programs that must be on the search path, or in one of the system's own directories of programs.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the program, without a directory.
        type: str
        required: true
      reason:
        description: What it is for.
        type: str
      packages:
        description: Package that holds it, by family of distributions (V(debian), V(redhat), V(suse)).
        type: dict
        default: {}
"""

EXAMPLES = r"""
- name: Can the FITS modules work here?
  fieldops.runbooks.node_preflight_info:
    libraries:
      - name: psycopg2
        min_version: "2.7"
        reason: to read the database
        packages:
          debian: python3-psycopg2
          redhat: python3-psycopg2
    programs:
      - name: setpriv
        reason: to run scripts as another user
        packages:
          debian: util-linux
"""

RETURN = r"""
distribution:
  description: The node's distribution, from C(os-release); its family is empty where it is not one that packages are named for.
  returned: always
  type: dict
  sample: {"id": "debian", "version": "12", "family": "debian"}
python:
  description: The interpreter that runs modules.
  returned: always
  type: dict
  sample: {"version": "3.11.2", "executable": "/usr/bin/python3"}
missing:
  description: What is not there, or too old.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: One of V(python), V(library), V(program).
      type: str
      sample: library
    name:
      description: Its name.
      type: str
      sample: psycopg2
    problem:
      description: What is wrong with it.
      type: str
      sample: "Python cannot import psycopg2: No module named 'psycopg2'"
    reason:
      description: What it is for.
      type: str
      sample: to read the database
    package:
      description: The package that holds it; null when none is known for this distribution.
      type: str
      sample: python3-psycopg2
packages:
  description: The packages that hold what is missing, each once.
  returned: always
  type: list
  elements: str
  sample: [python3-psycopg2]
found:
  description: What is there, with versions and paths.
  returned: always
  type: list
  elements: dict
  sample: [{"kind": "program", "name": "setpriv", "version": "", "where": "/usr/bin/setpriv"}]
findings:
  description: What is so, one for each thing that is missing.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: node.preflight.library_missing
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: warning
    subject:
      description: What it is about.
      type: str
      sample: psycopg2
    summary:
      description: One sentence for a person.
      type: str
      sample: "Python cannot import psycopg2: No module named 'psycopg2' (to read the database)"
    detail:
      description: The same for a program.
      type: dict
      sample: {"kind": "library", "name": "psycopg2", "package": "python3-psycopg2"}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": "fieldops.runbooks.preflight", "vars": {"preflight_install": true}, "text": "install the distribution's package python3-psycopg2"}
    runbook:
      description: File and heading of the runbook; null here.
      type: dict
      sample:
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.041
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.node.preflight import OLDEST_PYTHON, Preflight
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

_THING = {"name": {"type": "str", "required": True}, "reason": {"type": "str"}, "packages": {"type": "dict", "default": {}}}

OPTIONS = ArgumentSpec(
    {
        "python_min": {"type": "str", "default": OLDEST_PYTHON},
        "libraries": {"type": "list", "elements": "dict", "default": [], "options": dict(_THING, min_version={"type": "str"})},
        "programs": {"type": "list", "elements": "dict", "default": [], "options": dict(_THING)},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.to_kwargs())
    run_info(module, Preflight)


if __name__ == "__main__":
    main()
