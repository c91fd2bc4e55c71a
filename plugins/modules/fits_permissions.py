#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fits_permissions
short_description: Let the user of FITS Storage read files that others copied in
version_added: 1.0.0
description:
  - Finds the files and directories below O(storage_root) that O(user) cannot read or enter, with the real rights of that user
    (groups and access control lists included), and makes the smallest change of mode that mends it. Observers copy GRACES data
    into C(graces), with whatever permissions they have.
  - A file gets the right to be read, a directory of O(path) the rights to be listed and entered, a directory on the way to it
    the right to be entered, each for the one class that O(user) is of. That is the owner if the user owns it, the group if it
    is one of the user's, and else all others. No right to write is ever given, and owners, groups, access control lists and the
    special bits stay as they are.
  - What no such change can mend is told with what would, and left alone. That is an access control list that decides for
    O(user), a directory above O(storage_root), an NFS server that maps root to nobody.
  - No link is ever followed below O(storage_root), and every inode is checked again in the moment of its change.
  - Old modes are journaled before anything is written, and come back with M(fieldops.runbooks.runbook_undo) unless somebody
    changed the file since.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: full
options:
  path:
    description:
      - Directories to look into, relative to O(storage_root), for example V(graces), or V(.) for the root itself, whose own mode is
        never changed. Directories below them are not looked into.
      - A link, and any path that leads out of the root, is refused.
    type: list
    elements: str
    required: true
  files:
    description:
      - Only files of these names, in whichever directory of O(path) they are. Without it, all files in those directories.
      - Names are taken as they are; a C(*) is a character like any other.
    type: list
    elements: str
    default: []
  user:
    description: The user who must be able to read the files.
    type: str
    default: fitsdata
  storage_root:
    description: Directory below which FITS Storage keeps its files. It may itself be a link.
    type: path
    default: /sci/dataflow
  max_entries:
    description:
      - Refuse a directory that has more entries than this, unless O(files) is given. The storage root itself may hold millions.
    type: int
    default: 100000
notes:
  - Must run as root. As O(user) it works too, and can then mend only what that user owns.
  - A file with several hard links has one mode, so all its names change; the plan says so.
seealso:
  - module: fieldops.runbooks.fits_enqueue
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: What can fitsdata not read in the GRACES folder?
  fieldops.runbooks.fits_permissions:
    path: graces
  become: true
  check_mode: true
  diff: true

- name: Let fitsdata read one night of two instruments
  fieldops.runbooks.fits_permissions:
    path:
      - zorro/20201023
      - alopeke/20201023
  become: true

- name: One file only
  fieldops.runbooks.fits_permissions:
    path: graces
    files: N20200926G0050.fits
  become: true
"""

RETURN = r"""
left:
  description: What O(user) cannot read or enter and was left as it is, why, and what would mend it. At most 1000.
  returned: always
  type: list
  elements: dict
  sample:
    - path: graces/N20200926G0051.fits
      why: its access control list decides for fitsdata
      mend: setfacl -m u:fitsdata:r /sci/dataflow/graces/N20200926G0051.fits
checked:
  description: Number of files and directories that were looked at.
  returned: always
  type: int
  sample: 412
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
      sample: chmod
    subject:
      description: What is changed.
      type: str
      sample: "graces/N20200926G0050.fits"
    before:
      description: The subject as it was; null if it did not exist.
      type: dict
      sample: {"path": "graces/N20200926G0050.fits", "mode": "0600", "uid": 1004, "gid": 1004, "inode": 1311}
    after:
      description: The subject as it will be; null if it will not exist.
      type: dict
      sample: {"path": "graces/N20200926G0050.fits", "mode": "0604", "uid": 1004, "gid": 1004, "inode": 1311}
    reason:
      description: Why, in one sentence.
      type: str
      sample: fitsdata is neither its owner nor in its group, so others get r
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
      sample: "it was changed, replaced or removed since it was looked at: left alone"
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
  sample: 20260131T235959-fits_permissions-0123abcd
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
      sample: fits.permissions.unreadable
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: warning
    subject:
      description: What it is about.
      type: str
      sample: graces
    summary:
      description: One sentence for a person.
      type: str
      sample: "fitsdata cannot read 2 files: graces/N20200926G0050.fits, graces/N20200926G0051.fits"
    detail:
      description: The same for a program.
      type: dict
      sample: {"count": 2, "paths": ["graces/N20200926G0050.fits", "graces/N20200926G0051.fits"]}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample:
        playbook: fieldops.runbooks.fits_ingest
        vars: {"fits_permissions": true, "fits_filename": ["N20200926G0050.fits", "N20200926G0051.fits"], "fits_path": ["graces"]}
        text: give fitsdata the rights to read and enter, nothing else
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "fits.rst", "heading": "GRACES"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"user": {"name": "fitsdata", "uid": 1001, "groups": [1001, 1010]}}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.041
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.command import CommandError
from ..module_utils.fits.errors import FitsError
from ..module_utils.fits.permissions import Permissions
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix

OPTIONS = ArgumentSpec(
    {
        "path": {"type": "list", "elements": "str", "required": True},
        "files": {"type": "list", "elements": "str", "default": []},
        "user": {"type": "str", "default": "fitsdata"},
        "storage_root": {"type": "path", "default": "/sci/dataflow"},
        "max_entries": {"type": "int", "default": 100000},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(GUARDS).to_kwargs())
    run_fix(module, Permissions, (FitsError, CommandError))


if __name__ == "__main__":
    main()
