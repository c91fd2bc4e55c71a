#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: jobrunner_output_remove
short_description: Remove files from level 4, and from what would bring them back
version_added: 1.0.0
description:
  - Removes exactly the named files of one workspace from the medium privacy storage and, before that, from the directories that the
    level 3 sync copies there.
  - A file is moved to quarantine and not deleted, so a removal can be taken back with M(fieldops.runbooks.runbook_undo), with owner, mode and
    times as they were. O(purge) deletes quarantined copies for good.
  - The original at level 3 (high privacy) stays, and places that hold originals are refused. The next run of the action that makes the file
    copies it to level 4 again, unless it is V(highly_sensitive) by now; which action and which job that is, and whether one is under way, is a
    finding. A file that came back after an earlier removal is one as well.
  - What was copied to the level 4 server itself cannot be reached from here. A finding says which file a person must delete there.
  - The whole plan is refused, naming why, when a name is a link, a directory, a pipe or has other hard links, and when a directory on the way
    to it is a link. Absolute paths, C(..), job-runner's metadata and names that are not UTF-8 are refused before anything is looked at.
    Characters like C(*) stand for themselves.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.jobrunner
  - fieldops.runbooks.jobrunner.files
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: full
options:
  workspace:
    description: The workspace, which is the name of its directory.
    type: str
    required: true
  files:
    description:
      - The files, as exact paths relative to the workspace's directory. Files that are not there need nothing; a finding says what is known
        of them.
      - Give a list, even of one. A text in its place is taken apart at its commas, which names of files may have.
    type: list
    elements: str
    required: true
  sync_sources:
    description:
      - Directories with one directory per workspace, from which the level 3 sync copies files to the medium privacy storage.
      - A file is removed from them first. One that cannot be looked into, or is as empty as a mount point with nothing
        mounted, is a finding, because a file in it comes back.
    type: list
    elements: path
    default: [/e/FILESFORL4/workspaces]
  manifest_entry:
    description:
      - What becomes of the file's entry in C(metadata/manifest.json), which job-runner writes since 2024-04-23. Earlier manifests have none.
      - V(keep) reports it. Airlock, which builds its tree from the manifest, may then show a file that is not there.
      - V(drop) takes it out, in one stroke and with owner and mode kept, unless the file is there again by then. The manifest itself always stays.
    type: str
    choices: [keep, drop]
    default: keep
  quarantine_dir:
    description:
      - Directory for removed files. It is made if it is missing, for its owner only, in a directory that must exist.
      - The default is C(quarantine) in the high privacy storage, which is neither copied to level 4 nor read by output checkers.
      - On the same file system as a file it takes no space and no time; to another one files are copied, checked and then removed, which is
        refused where there is no room for all of them.
    type: path
  purge:
    description:
      - Whether quarantined copies of the named files are deleted for good, those of this run and of earlier ones.
      - Needs O(accept_data_loss), and cannot be undone. That there was a copy stays known.
    type: bool
    default: false
  level4_path:
    description:
      - Directory of the workspaces on the level 4 server, as Windows spells it, for the finding that says what to delete there.
      - Empty for a backend without such a server.
    type: str
    default: D:\Level4Files\workspaces
notes:
  - A job that ends in the very moment in which its workspace's manifest is rewritten could lose or bring back an entry, because job-runner
    knows no lock. The file is written again when it has changed, within microseconds of looking.
seealso:
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: What would be removed, and what would bring it back?
  fieldops.runbooks.jobrunner_output_remove:
    workspace: my-study
    files: [output/table1.csv]
  check_mode: true
  diff: true

- name: Remove two files from level 4
  fieldops.runbooks.jobrunner_output_remove:
    workspace: my-study
    files:
      - output/table1.csv
      - output/plot 1.png
  register: removed

- name: Delete what was quarantined, for good
  fieldops.runbooks.jobrunner_output_remove:
    workspace: my-study
    files: [output/table1.csv]
    purge: true
    accept_data_loss:
      - the quarantined copy 1 of my-study/output/table1.csv from /srv/medium_privacy/workspaces (1204 bytes, sha256 9f86d081884c)
"""

RETURN = r"""
files:
  description: What is known of each file; after a fix, what is so now.
  returned: always
  type: list
  elements: dict
  contains:
    file:
      description: Path relative to the workspace.
      type: str
      sample: output/table1.csv
    present:
      description: Where it lies, of the places that it is removed from.
      type: list
      elements: str
      sample: []
    quarantined:
      description: Copies that removals left, oldest first.
      type: list
      elements: str
      sample: [/srv/high_privacy/quarantine/srv/medium_privacy/workspaces/my-study/output/table1.csv/removed.1]
    removals:
      description: How often it was removed, from all places together. Removals that were taken back do not count.
      type: int
      sample: 1
    last_removed:
      description: When it was removed last, in UTC; null if never.
      type: str
      sample: "2026-01-31T23:59:59Z"
    original:
      description: Its original at level 3; null where there is none.
      type: str
      sample: /srv/high_privacy/workspaces/my-study/output/table1.csv
    producers:
      description: The job that made it last, and jobs under way that will make it again, as far as the database and the manifest tell.
      type: list
      elements: dict
      sample: [{"job_id": "ab2cd3ef4gh5ij6k", "action": "make_table", "status_code": "succeeded", "active": false, "level": "moderately_sensitive"}]
    manifest_entry:
      description: Its entry in the manifest; null where there is none.
      type: dict
      sample: {"level": "moderately_sensitive", "job_id": "ab2cd3ef4gh5ij6k", "action": "make_table", "size": 1204, "excluded": false}
    level4_path:
      description: What a person must delete on the level 4 server; null where there is no such server.
      type: str
      sample: D:\Level4Files\workspaces\my-study\output\table1.csv
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
      description: V(remove), V(drop_entry), V(purge), or V(finish) for what a run that was killed left in quarantine.
      type: str
      sample: remove
    subject:
      description: What is changed.
      type: str
      sample: /srv/medium_privacy/workspaces/my-study/output/table1.csv
    before:
      description: The subject as it was.
      type: dict
      sample:
        root: /srv/medium_privacy/workspaces
        path: my-study/output/table1.csv
        size: 1204
        sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
        mode: "0640"
        uid: 10000
        gid: 10010
        mtime_ns: 1769903999000000000
    after:
      description: The subject as it will be; null if it will not exist.
      type: dict
      sample:
        root: /srv/medium_privacy/workspaces
        path: my-study/output/table1.csv
        size: 1204
        sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
        quarantine: /srv/high_privacy/quarantine/srv/medium_privacy/workspaces/my-study/output/table1.csv/removed.1
    reason:
      description: Why, in one sentence.
      type: str
      sample: it is to go from level 4
    reversible:
      description: Whether the change can be undone.
      type: bool
      sample: true
    data_loss:
      description: What would be lost, if anything.
      type: str
      sample: the quarantined copy 1 of my-study/output/table1.csv from /srv/medium_privacy/workspaces (1204 bytes, sha256 9f86d081884c)
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
  sample: 20260131T235959-jobrunner_output_remove-0123abcd
refusals:
  description: Every guard that refused, why, and what would allow the plan. Nothing was changed.
  returned: when a guard refused
  type: list
  elements: dict
  sample:
    - guard: link
      reason: /srv/medium_privacy/workspaces/my-study/output/table1.csv is a link, and no link is followed.
      allow: name the file that it leads to, or remove the link by hand.
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
      sample: jobrunner.output.level4
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: warning
    subject:
      description: What it is about.
      type: str
      sample: D:\Level4Files\workspaces\my-study\output\table1.csv
    summary:
      description: One sentence for a person.
      type: str
      sample: >-
        delete D:\Level4Files\workspaces\my-study\output\table1.csv on the level 4 server by hand, for good (SHIFT+DEL): what was copied there
        is never taken away by the copying
    detail:
      description: The same for a program.
      type: dict
      sample: {"path": "D:\\Level4Files\\workspaces\\my-study\\output\\table1.csv"}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample:
        playbook: null
        vars: {}
        text: log in to level 4, browse to D:\Level4Files\workspaces\my-study\output, and delete table1.csv with SHIFT+DEL
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "opensafely-jobrunner.md", "heading": "Removing a Level 4 file from TPP"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample:
    places: [/e/FILESFORL4/workspaces, /srv/medium_privacy/workspaces]
    unreachable: []
    originals: /srv/high_privacy/workspaces
    quarantine: /srv/high_privacy/quarantine
    manifest: /srv/medium_privacy/workspaces/my-study/metadata/manifest.json
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.041
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.jobrunner.argspec import FILES, WORKDIR
from ..module_utils.jobrunner.errors import JobRunnerError
from ..module_utils.jobrunner.output import OutputRemove
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix

OPTIONS = ArgumentSpec(
    {
        "workspace": {"type": "str", "required": True},
        "files": {"type": "list", "elements": "str", "required": True},
        "sync_sources": {"type": "list", "elements": "path", "default": ["/e/FILESFORL4/workspaces"]},
        "manifest_entry": {"type": "str", "choices": ["keep", "drop"], "default": "keep"},
        "quarantine_dir": {"type": "path"},
        "purge": {"type": "bool", "default": False},
        "level4_path": {"type": "str", "default": "D:\\Level4Files\\workspaces"},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(WORKDIR, FILES, GUARDS).to_kwargs())
    run_fix(module, OutputRemove, (JobRunnerError,))


if __name__ == "__main__":
    main()
