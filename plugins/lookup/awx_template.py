# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: awx_template
short_description: What a job template of AWX says of a shipped playbook
version_added: 1.0.0
author: fieldops.runbooks contributors (@fieldops)
description:
  - Makes the survey of a playbook from the argument specs of the roles that it runs, so that both say the same.
options:
  _terms:
    description: Names of playbooks of this collection, such as V(triage). None at all means every one.
    type: list
    elements: str
  leave_out:
    description: Variables that are not asked for, such as those that a credential sets; C(*) and C(?) stand for any text and any character.
    type: list
    elements: str
    default: []
  apply:
    description: Fail at once where the collection C(awx.awx), whose modules make the objects of AWX, is not installed.
    type: bool
    default: false
  schedule:
    description: Answers for a schedule. It fails where one that must be given is missing, or where AWX would refuse it.
    type: dict
"""

EXAMPLES = r"""
- name: Which questions does a job of this playbook ask
  ansible.builtin.debug:
    msg: "{{ query('fieldops.runbooks.awx_template', 'fits_ingest_queue')[0].survey.spec }}"
"""

RETURN = r"""
_raw:
  description: For each playbook what a job template needs.
  type: list
  elements: dict
  contains:
    name:
      description: Name of the template.
      type: str
      sample: triage
    playbook:
      description: Name of the playbook.
      type: str
      sample: triage
    description:
      description: What it does.
      type: str
      sample: "How does everything stand: one look at the hosts of every system, and what would mend them. Reads only."
    survey:
      description: Its survey, as C(awx.awx.job_template) takes it.
      type: dict
      sample: {"name": "triage", "description": "How does everything stand", "spec": []}
    not_asked:
      description: Variables that no survey can ask for, since they are no text. They are given as extra variables.
      type: list
      elements: str
      sample: [triage_mended]
    extra_data:
      description: What a schedule has to say.
      returned: when O(schedule) is given
      type: dict
      sample: {"triage_fail_on": "never"}
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List, Optional

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.awx_survey import SurveyError, extra_data, playbooks, template

ABSENT = (
    "The collection awx.awx is not installed here, and its modules make what AWX is to have: ansible-galaxy collection install awx.awx, "
    "or use the Python package ansible 12, which has it."
)
ROOT = Path(__file__).resolve().parents[2]


def _installed() -> bool:
    try:
        return find_spec("ansible_collections.awx.awx") is not None
    except ImportError:
        return False


class LookupModule(LookupBase):
    """Reads the collection that it lies in."""

    def run(self, terms: List[str], variables: Optional[Dict[str, Any]] = None, **kwargs: Any) -> List[Dict[str, Any]]:
        self.set_options(var_options=variables, direct=kwargs)
        if self.get_option("apply") and not _installed():
            raise AnsibleError(ABSENT)
        found = []
        try:
            for name in terms or playbooks(ROOT):
                one = template(ROOT, str(name), self.get_option("leave_out"))
                if self.get_option("schedule") is not None:
                    one["extra_data"] = extra_data(one, self.get_option("schedule"))
                found.append(one)
        except SurveyError as error:
            raise AnsibleError(str(error)) from error
        return found
