#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: runbook_limits_info
short_description: What keeps fixes from being made on a node right now
version_added: 1.0.0
description:
  - Tells who holds the lock of the node, whether the fixes are paused, by whom and why, what the maintenance windows say of this moment,
    and which subjects the same fix was made on too often.
  - The journal is that of one user. What other users' runs have done is not in it; the lock and the pause hold for all.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
  - fieldops.runbooks.guards.limits
options:
  journal_dir:
    description:
      - Directory of the journal on the node.
      - The default is C(/var/lib/fieldops/runbooks) for root, and C(fieldops/runbooks) below E(XDG_STATE_HOME) or
        C(~/.local/state) for any other user.
    type: path
seealso:
  - module: fieldops.runbooks.runbook_pause
  - module: fieldops.runbooks.runbook_journal_info
"""

EXAMPLES = r"""
- name: May anything be mended on this host now, and if not, why?
  fieldops.runbooks.runbook_limits_info:

- name: The same with the windows of the site, and with what came back three times within a day
  fieldops.runbooks.runbook_limits_info:
    windows: ["mon-fri 22:00-06:00", "sat+sun 00:00-24:00"]
    windows_timezone: local
    escalate_after: 3
"""

RETURN = r"""
limits:
  description: Where the lock and the pause lie, and for whom they hold.
  returned: always
  type: dict
  sample: {"directory": "/run/lock/fieldops-runbooks", "common": true, "scope": "for all users, in /run/lock/fieldops-runbooks"}
lock:
  description: Who holds the node's lock; null when nobody does.
  returned: always
  type: dict
  sample:
pauses:
  description: The pauses that hold now.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The file; null where the option O(paused) says so.
      type: str
      sample: /run/lock/fieldops-runbooks/pause
    reason:
      description: Why, as every refusal shows it.
      type: str
      sample: storage moves
    who:
      description: Who paused the fixes, with the owner of the file where that is another one.
      type: str
      sample: operator as root
    since:
      description: Since when, in UTC.
      type: str
      sample: "2026-01-31T23:59:59Z"
    until:
      description: When it ends by itself, in UTC; null when it does not.
      type: str
      sample:
windows:
  description: What the O(windows) say of this moment; null where there are none.
  returned: always
  type: dict
  contains:
    allowed:
      description: Whether fixes may be made now.
      type: bool
      sample: true
    inside:
      description: Whether it is inside a window.
      type: bool
      sample: true
    until:
      description: Until when, in UTC; null where it never changes.
      type: str
      sample: "2026-02-01T06:00:00Z"
escalations:
  description: Subjects that the same fix was made on O(escalate_after) times or more within O(escalate_within) seconds.
  returned: always
  type: list
  elements: dict
  contains:
    fix:
      description: The module.
      type: str
      sample: service_restart
    subject:
      description: What it was made on.
      type: str
      sample: service:fits-api_backend.service
    times:
      description: How often.
      type: int
      sample: 3
    runs:
      description: Its runs, newest first, as M(fieldops.runbooks.runbook_journal_info) takes them.
      type: list
      elements: str
      sample: ["20260131T235959-service_restart-0123abcd"]
    last:
      description: When it was made last, in UTC.
      type: str
      sample: "2026-01-31T23:59:59Z"
findings:
  description: What is so, worst or not; after a fix, what is so now.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: limits.paused
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: warning
    subject:
      description: What it is about.
      type: str
      sample: /run/lock/fieldops-runbooks/pause
    summary:
      description: One sentence for a person.
      type: str
      sample: "all fixes are paused: storage moves (by operator, since 2026-01-31T23:59:59Z, /run/lock/fieldops-runbooks/pause)"
    detail:
      description: The same for a program.
      type: dict
      sample: {"reason": "storage moves", "who": "operator", "since": "2026-01-31T23:59:59Z", "until": null}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample:
    runbook:
      description: File and heading of the runbook.
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

from ..module_utils.procedure.argspec import JOURNAL, LIMITS
from ..module_utils.procedure.info import run_info
from ..module_utils.procedure.limits_info import NodeLimits


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **LIMITS.merge(JOURNAL).to_kwargs())
    run_info(module, NodeLimits)


if __name__ == "__main__":
    main()
