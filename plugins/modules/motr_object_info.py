#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: motr_object_info
short_description: What Motr knows an S3 object by, from its name or a fid
version_added: 1.0.0
description:
  - Follows the records from the name of an object to its object in Motr, and returns its fid, pool version, layout id, size of a unit, size and parts.
  - Knows the records of s3server, old and new ones, and those of RGW. With s3server the account of a bucket is looked up where it is not given.
  - Parts and fragments of an object come from the extended index of its bucket (s3server) or from the index of its parts (RGW).
  - Takes a fid in any spelling as well, that of an object, or of one of its component objects.
  - An object that is not a plain one, such as a composite object, is told by the finding C(motr.object.not_plain), and has no size of a unit.
  - What is not there is a finding and no failure, and so is a record that cannot be read. The finding says which record of which index it is.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.motr
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  objects:
    description: The objects. Each has a O(objects[].bucket) and a O(objects[].key), or a O(objects[].fid).
    type: list
    elements: dict
    required: true
    suboptions:
      bucket:
        description: Name of the bucket.
        type: str
      key:
        description: Key of the object in its bucket.
        type: str
      account:
        description: Id of the account that the bucket belongs to (s3server). By default O(account).
        type: str
      tenant:
        description: Tenant that the bucket belongs to (RGW). By default O(tenant).
        type: str
      version:
        description: Version id of the object, where the bucket keeps versions (RGW).
        type: str
      fid:
        description:
          - Fid of the object, or of one of its component objects, in any spelling, for example V(<4700000000000001:2a>), V(0x1:0x2a) or V(^G|1:42).
          - It says nothing of the pool version and of the layout. The records of the cob namespace on a server of the object do, which
            M(fieldops.runbooks.motr_btree_info) prints.
        type: str
  schema:
    description: Whose records they are.
    type: str
    choices: [s3server, rgw]
    default: s3server
  account:
    description: Id of the account that buckets belong to. Without it, the list of all buckets is asked.
    type: str
  tenant:
    description: Tenant that buckets belong to.
    type: str
  transport:
    description:
      - How the records are read. V(m0kv) runs Motr's tool as a client of the cluster and needs O(endpoint), O(ha_endpoint), O(profile) and O(process).
      - V(s3) asks the internal interface of s3server, which needs none of these.
    type: str
    choices: [m0kv, s3]
    default: m0kv
  s3_url:
    description: Where the internal interface of s3server is.
    type: str
    default: http://localhost:28049
  ca_cert:
    description: File with the authorities that are trusted for O(s3_url). Without it, those of the system.
    type: path
  validate_certs:
    description: Whether the certificate of O(s3_url) is verified.
    type: bool
    default: true
notes:
  - m0kv reads no start key of a listing from a file. The key of an object with parts is seen among the arguments of m0kv for a second.
  - Ids of s3server are random, so a name alone does not tell its object. RV(objects[].murmurhash_oid) is what it would be with
    C(S3_ENABLE_MURMURHASH_OID), as long as no other name has the same hash.
seealso:
  - module: fieldops.runbooks.motr_layout_info
  - module: fieldops.runbooks.motr_cob_info
  - module: fieldops.runbooks.motr_record
"""

EXAMPLES = r"""
- name: Which object is it?
  fieldops.runbooks.motr_object_info:
    objects:
      - bucket: backups
        key: 2026/01/31/database.tar
    endpoint: inet:tcp:192.168.1.1@22501
    ha_endpoint: inet:tcp:192.168.1.1@22001
    profile: "0x7000000000000001:0x5b"
    process: "0x7200000000000001:0x25"
  become: true

- name: The same without Motr's tools
  fieldops.runbooks.motr_object_info:
    transport: s3
    objects:
      - bucket: backups
        key: 2026/01/31/database.tar

- name: One of RGW, and a fid from a log
  fieldops.runbooks.motr_object_info:
    schema: rgw
    objects:
      - bucket: backups
        key: database.tar
        tenant: finance
      - fid: "<4300001706480abe:99f0000000000047>"
    endpoint: inet:tcp:192.168.1.1@22501
    ha_endpoint: inet:tcp:192.168.1.1@22001
    profile: "0x7000000000000001:0x5b"
    process: "0x7200000000000001:0x25"
  become: true
"""

RETURN = r"""
objects:
  description: The objects, in the order in which they were asked for.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Bucket and key, or the fid as it was asked for.
      type: str
      sample: backups/2026/01/31/database.tar
    bucket:
      description: The bucket. Null for one that was asked for by a fid.
      type: str
      sample: backups
    key:
      description: The key. Null for one that was asked for by a fid.
      type: str
      sample: 2026/01/31/database.tar
    found:
      description: Whether it was found.
      type: bool
      sample: true
    oid:
      description: Its id, as clients have it. Null where it was not found, and of one that consists of its parts alone.
      type: str
      sample: "6480abe:99f0000000000047"
    fid:
      description: Its fid in Motr, that of a gob.
      type: str
      sample: "<4700000006480abe:99f0000000000047>"
    pver:
      description: Its pool version. Null where nothing tells it.
      type: str
      sample: "<7600000000000001:a>"
    layout_id:
      description: Its layout id. Null where nothing tells it.
      type: int
      sample: 9
    unit_size:
      description: Bytes of a unit, by the layout id.
      type: int
      sample: 1048576
    size:
      description: Bytes of the object. Null where nothing tells it.
      type: int
      sample: 73400320
    parts:
      description:
        - Its parts and fragments, which are objects themselves. Empty for an object that was written as one.
        - Each has what an object has, and C(part), C(fragment) and C(version), null where it has none.
      type: list
      elements: dict
      sample:
        - oid: "6480abe:99f0000000000048"
          fid: "<4700000006480abe:99f0000000000048>"
          pver: "<7600000000000001:a>"
          layout_id: 9
          unit_size: 1048576
          size: 16777216
          part: 1
          fragment: 1
          version: "18446742434312"
    murmurhash_oid:
      description: The id that the name has where s3server makes ids of names. Null for others.
      type: str
      sample: "11d9d25:c7b4d9b6bd2f6a1e"
findings:
  description: What is so of each object.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: motr.object.found
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: ok
    subject:
      description: What it is about.
      type: str
      sample: backups/2026/01/31/database.tar
    summary:
      description: One sentence for a person.
      type: str
      sample: "backups/2026/01/31/database.tar is the object <4700000006480abe:99f0000000000047>"
    detail:
      description: The same for a program.
      type: dict
      sample: {"fid": "<4700000006480abe:99f0000000000047>", "layout_id": 9}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": null, "vars": {}, "text": "check the spelling of bucket and key"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "motr-run-time-instruments.rst", "heading": "Clarification (CLARIFY)"}
evidence:
  description: How the records were read, and which ones, in the order in which they were asked for.
  returned: always
  type: dict
  sample:
    transport: m0kv
    lookups:
      backups/2026/01/31/database.tar:
        - {"index": "<7800000000000000:100001>", "key": "backups"}
        - {"index": "<7800000000000000:100002>", "key": "12345/backups"}
        - {"index": "<7800000001234567:2>", "key": "2026/01/31/database.tar"}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 1.318
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.motr.client.options import CLIENT
from ..module_utils.motr.errors import MotrError
from ..module_utils.motr.object_info import ObjectInfo
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

OPTIONS = ArgumentSpec(
    {
        "objects": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "bucket": {"type": "str"},
                "key": {"type": "str", "no_log": False},
                "account": {"type": "str"},
                "tenant": {"type": "str"},
                "version": {"type": "str"},
                "fid": {"type": "str"},
            },
        },
        "schema": {"type": "str", "choices": ["s3server", "rgw"], "default": "s3server"},
        "account": {"type": "str"},
        "tenant": {"type": "str"},
        "transport": {"type": "str", "choices": ["m0kv", "s3"], "default": "m0kv"},
        "s3_url": {"type": "str", "default": "http://localhost:28049"},
        "ca_cert": {"type": "path"},
        "validate_certs": {"type": "bool", "default": True},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(CLIENT).to_kwargs())
    run_info(module, ObjectInfo, (MotrError,))


if __name__ == "__main__":
    main()
