#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: runbook_bundle
short_description: Writes an evidence bundle, or takes one apart to be judged again
version_added: 1.0.0
description:
  - With O(dest), writes what the looks of this run have recorded and found on the hosts of the play into one archive with a manifest and checksums.
  - With O(bundle), verifies one and lays out what judges its records again, without access to the hosts.
  - It runs on the controller and connects to no host. The playbooks P(fieldops.runbooks.collect#role) and P(fieldops.runbooks.diagnose#role) are built on it.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.attributes
attributes:
  check_mode:
    support: full
    details:
      - In check mode no bundle is written.
  diff_mode:
    support: none
  action_group:
    support: none
    membership: []
  idempotent:
    support: none
    details:
      - Each run writes a bundle of its own.
options:
  dest:
    description: Folder on the controller for the new archive. It is made, for its owner alone, where it is not there.
    type: path
  max_bytes:
    description:
      - Bytes of all files of the bundle together, before they are packed. What looks have recorded goes in first, then what they found, then logs and states;
        of each the small ones first. What is left out is told in the manifest.
    type: int
    default: 104857600
  seconds:
    description: The limit of time that the looks of each host had, for the manifest.
    type: float
  bundle:
    description:
      - An archive, or the folder that it was unpacked to. It may come from anywhere. A file that is not as its manifest says is an error.
      - Nothing of it is run, and no value of it is taken for a template.
    type: path
  sha256:
    description: The RV(sha256) that was told when the bundle was written. With it, not even somebody who writes a new manifest can change the bundle.
    type: str
    default: ""
seealso:
  - module: fieldops.runbooks.node_evidence_info
  - module: fieldops.runbooks.runbook_plan
"""

EXAMPLES = r"""
- name: Keep what was seen
  fieldops.runbooks.runbook_bundle:
    dest: bundles
  run_once: true

- name: Is this bundle whole?
  fieldops.runbooks.runbook_bundle:
    bundle: bundles/fieldops-20260131T235959Z.tar.gz
  run_once: true
"""

RETURN = r"""
path:
  description: The bundle; nothing in check mode.
  returned: success
  type: str
  sample: bundles/fieldops-20260131T235959Z.tar.gz
sha256:
  description: Checksum of the manifest, and so of all that the bundle holds.
  returned: success
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
hosts:
  description: How many hosts it is of; with O(bundle) a list of these, each with C(name), C(groups) and C(tasks_file).
  returned: success
  type: raw
  sample: 7
files:
  description: How many files are in it, beside the manifest.
  returned: success
  type: int
  sample: 42
bytes:
  description: Bytes of these before they are packed.
  returned: success
  type: int
  sample: 123456
left_out:
  description: What is not in it, in whole or in part, each with C(host), C(what) and C(why). At most 50 when it is written; the manifest has all.
  returned: success
  type: list
  elements: dict
  sample: []
made:
  description: When it was made.
  returned: with O(bundle)
  type: str
  sample: "2026-01-31T23:59:59Z"
versions:
  description: What has made it.
  returned: with O(bundle)
  type: dict
  sample: {"collection": "1.0.0"}
"""
