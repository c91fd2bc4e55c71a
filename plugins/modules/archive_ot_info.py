#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: archive_ot_info
short_description: Tell why the OT says that observations are not in the public archive
version_added: 1.0.0
description:
  - Asks the archive's search for files or programs, looks at its certificate, and gives one verdict.
  - The OT's host does not get along with a certificate that was renewed, as Let's Encrypt's is every 60 to 90 days, and then
    takes every observation for missing. Nothing on the archive shows that, so the dates of the certificate are compared with the
    time of the first complaint.
  - Can run on any host that reaches the archive, for example the one that runs the playbook.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  archive_url:
    description: The archive. Its certificate is looked at when this is an V(https) URL.
    type: str
    default: https://archive.gemini.edu
  filename:
    description: Files that the OT does not find, with or without C(.bz2).
    type: list
    elements: str
    default: []
  program_id:
    description: Programs whose observations the OT does not find, for example V(GN-2019A-FT-211).
    type: list
    elements: str
    default: []
  since:
    description:
      - Time of the first complaint, as V(2026-01-31), V(2026-01-31T08:00:00), or with V(Z) or an offset such as V(-10:00). Without
        one, it is UTC.
      - Without O(since), the age of the certificate is told but not judged.
    type: str
  window:
    description:
      - Seconds before and after O(since) within which a renewal of the certificate counts as the cause. The default is two days,
        since nobody complains at once.
    type: float
    default: 172800.0
  min_days:
    description: Warn when the certificate is valid for fewer days than this.
    type: float
    default: 14.0
  ca_cert:
    description:
      - File with the certificates of the authorities that may have signed the archive's. Without it, those that this node trusts.
      - What this node trusts is not what the OT's host trusts.
    type: path
  timeout:
    description: Seconds to wait for each answer. The questions are asked in parallel.
    type: float
    default: 10.0
notes:
  - At least one of O(filename) and O(program_id) is needed.
  - Whether a file is there is asked without regard to the certificate, so that the one does not hide the other.
seealso:
  - module: fieldops.runbooks.fits_notification_info
"""

EXAMPLES = r"""
- name: The OT has not seen new observations since yesterday morning
  fieldops.runbooks.archive_ot_info:
    filename:
      - N20200804S0091.fits
      - N20200804S0092.fits
    since: "2020-08-05T08:00:00-10:00"
  delegate_to: localhost

- name: Another archive, with a certificate of its own authority
  fieldops.runbooks.archive_ot_info:
    archive_url: https://archive.example.org
    ca_cert: /etc/ssl/example-ca.pem
    program_id: GN-2019A-FT-211
"""

RETURN = r"""
verdict:
  description: >-
    The first of these that holds. V(archive_down) the archive does not answer, or not as it should. V(missing) something is not
    in the archive. V(engineering_only) something is there, but as engineering data, which a search hides. V(certificate_bad) the
    certificate has expired, is not valid yet, is for another name, or is not trusted by this node. V(certificate_renewed) it was
    renewed about when the trouble began. V(nothing_wrong) nothing of this is so.
  returned: always
  type: str
  sample: certificate_renewed
searches:
  description: What the archive has of each file and program.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The file or program.
      type: str
      sample: N20200804S0091.fits
    kind:
      description: V(filename) or V(program_id).
      type: str
      sample: filename
    found:
      description: Whether anything is there; null if that is not known.
      type: bool
      sample: true
    count:
      description: Number of files that are present, engineering data included; null if that is not known.
      type: int
      sample: 1
    at_least:
      description: Whether the list was too long to be read to its end, so that RV(searches[].count) is a minimum.
      type: bool
      sample: false
    visible:
      description: Whether a search shows them without asking for engineering data; null if that is not known.
      type: bool
      sample: true
    pending_ingest:
      description: Whether the archive still works on it; null if that is not known.
      type: bool
      sample: false
    url:
      description: The search page for a person with a browser, engineering data included.
      type: str
      sample: https://archive.example.org/searchform/includeengineering/filename=N20200804S0091.fits
    error:
      description: Why it is not known; else empty.
      type: str
      sample: ""
search_page:
  description: Whether the page that people search with answers.
  returned: always
  type: dict
  contains:
    status:
      description: HTTP status; null when no answer came.
      type: int
      sample: 200
    error:
      description: Why no answer came; else empty.
      type: str
      sample: ""
certificate:
  description: The archive's certificate; null without TLS, or when it could not be had.
  returned: always
  type: dict
  contains:
    subject:
      description: Whose it is.
      type: str
      sample: CN=archive.example.org
    issuer:
      description: Who signed it.
      type: str
      sample: C=US, O=Example Encrypt, CN=E7
    names:
      description: Names that it is for.
      type: list
      elements: str
      sample: [archive.example.org]
    not_before:
      description: Since when it is valid (UTC), which is about when it was renewed.
      type: str
      sample: "2026-01-30T11:59:59Z"
    not_after:
      description: Until when it is valid (UTC).
      type: str
      sample: "2026-04-30T11:59:58Z"
    days_left:
      description: Days until then.
      type: float
      sample: 89.2
    serial:
      description: Its serial number, in hexadecimal digits.
      type: str
      sample: 04ab12
    sha256:
      description: Its fingerprint.
      type: str
      sample: 3f5f6d2d3a7f7c8f0d4f3c2a1b0e9d8c7b6a5948372615f4e3d2c1b0a96b1f0c
    self_signed:
      description: Whether it is signed by itself.
      type: bool
      sample: false
    trusted:
      description: Whether this node trusts it for that name.
      type: bool
      sample: true
    reason:
      description: Why not; else empty.
      type: str
      sample: ""
    renewed:
      description: Whether it became valid within O(window) of O(since); null without O(since).
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
      sample: fits.ot.certificate_renewed
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: critical
    subject:
      description: What it is about.
      type: str
      sample: archive.example.org
    summary:
      description: One sentence for a person.
      type: str
      sample: "the archive's certificate was renewed on 2026-01-30, 12 hours before the first complaint: the OT's host needs the new certificate"
    detail:
      description: The same for a program.
      type: dict
      sample: {"not_before": "2026-01-30T11:59:59Z", "since": "2026-01-31T00:00:00Z"}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": null, "vars": {}, "text": "have the new certificate installed on the OT's host"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "fits.rst", "heading": "OT Shows Observations \"Not in Public Archive\""}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"node": "fits.example.org", "asked": ["https://archive.example.org/jsonfilelist/present/filename=N20200804S0091.fits"]}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.732
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.fits.errors import FitsError
from ..module_utils.fits.ot import OtInfo
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

OPTIONS = ArgumentSpec(
    {
        "archive_url": {"type": "str", "default": "https://archive.gemini.edu"},
        "filename": {"type": "list", "elements": "str", "default": []},
        "program_id": {"type": "list", "elements": "str", "default": []},
        "since": {"type": "str"},
        "window": {"type": "float", "default": 172800.0},
        "min_days": {"type": "float", "default": 14.0},
        "ca_cert": {"type": "path"},
        "timeout": {"type": "float", "default": 10.0},
    },
    required_one_of=[("filename", "program_id")],
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.to_kwargs())
    run_info(module, OtInfo, (FitsError,))


if __name__ == "__main__":
    main()
